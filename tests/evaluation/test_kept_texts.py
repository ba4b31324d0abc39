"""Texts beside a result: which ones, how long, and read again."""

import pyarrow.parquet as pq
import pytest

from harness.evaluation import kept_texts
from harness.evaluation.kept_texts import KeptTexts, cut, read_texts, texts_table
from tests.evaluation.kept import DOCUMENTS, QUERIES, ranked

PLACE = ("test", "default")


def kept(table):
    return [(row["kind"], row["id"], row["text"]) for row in table.to_pylist()]


def test_judged_queries_and_their_documents(monkeypatch):
    monkeypatch.setattr(kept_texts, "_RELEVANT", 1)
    monkeypatch.setattr(kept_texts, "_FOUND", 1)
    table = texts_table(*PLACE, ranked())
    assert table.column_names == ["split", "subset", "kind", "id", "text"]
    assert {(row["split"], row["subset"]) for row in table.to_pylist()} == {PLACE}
    # q1: b is ranked first, c has the highest grade; q2: q2 both; q3: q2 first, b relevant.
    assert kept(table) == [
        *(("query", name, QUERIES[name]) for name in ("q1", "q2", "q3")),
        *(("document", name, DOCUMENTS[name]) for name in ("b", "c", "q2")),
    ]


def test_what_a_score_leaves_out_is_not_kept(monkeypatch):
    monkeypatch.setattr(kept_texts, "_RELEVANT", 0)
    monkeypatch.setattr(kept_texts, "_FOUND", 1)
    rows = kept(texts_table(*PLACE, ranked(ignore_identical_ids=True, skip_first_result=True)))
    # Left of q1 are a and c, of q2 nothing, of q3 nothing.
    assert [name for kind, name, _ in rows if kind == "document"] == ["a"]


def test_long_texts_are_cut():
    assert cut("x" * 400) == "x" * 400
    assert cut("x" * 401) == "x" * 399 + "…"
    assert cut("one two", 5) == "one…"
    long = dict.fromkeys(DOCUMENTS, "é" * 1000)
    rows = kept(texts_table(*PLACE, ranked(documents=long)))
    assert {len(text) for kind, _, text in rows if kind == "document"} == {400}


def test_texts_are_read_by_place(tmp_path):
    pq.write_table(texts_table(*PLACE, ranked()), tmp_path / "texts.parquet")
    judged = {name: QUERIES[name] for name in ("q1", "q2", "q3")}
    assert read_texts(tmp_path) == {PLACE: KeptTexts(judged, DOCUMENTS)}


def test_results_of_earlier_versions_have_none(tmp_path):
    assert read_texts(tmp_path) == {}


@pytest.mark.parametrize("drop", ["text", None])
def test_a_damaged_file_is_named(tmp_path, refusal, drop):
    file = tmp_path / "texts.parquet"
    if drop is None:
        file.write_bytes(b"PAR1")
    else:
        pq.write_table(texts_table(*PLACE, ranked()).drop_columns([drop]), file)
    message = refusal(lambda: read_texts(tmp_path))
    assert message.startswith(f"{file} is not as `harness run` writes it (")
