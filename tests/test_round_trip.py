"""Hostile collections all the way: folder, store, rankings, results, leaderboard, TREC files."""

import csv
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from harness.cli import _main
from harness.embedding.store import EmbeddingStore, text_keys
from harness.errors import BadInputError
from harness.evaluation.kept_texts import cut, read_texts
from harness.evaluation.results import details_folder, read_result, result_paths
from harness.evaluation.trec import read_scored, trec_id, write_trec_qrels, write_trec_run
from harness.reporting.collect import collect

# Every plane and all control characters but NUL, which no file of tabs can hold.
ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
HOSTILE = st.text("a/\\.\"'`<>&%~\n\r\t\x1b\x7f\u2028\u202e\ufeff\U0001f9ea ,{}$", max_size=6)
IDS = st.one_of(ANY, HOSTILE, st.sampled_from(["../../x", "</script>", "q1\nq1", "-0", "NaN"]))
IDS = IDS.filter(bool)
TEXTS = st.one_of(ANY, HOSTILE)

SLOW = settings(
    max_examples=5,
    deadline=None,
    phases=(Phase.reuse, Phase.generate),  # to make a failing corpus smaller takes many runs
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def write(folder, documents, queries, qrels):
    """A folder of a collection; judgements are quoted as the csv module quotes them."""
    (folder / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", documents), ("queries", queries)):
        lines = [json.dumps({"_id": key, "text": text}) + "\n" for key, text in texts.items()]
        (folder / f"{name}.jsonl").write_bytes("".join(lines).encode())
    rows = io.StringIO(newline="")
    writer = csv.writer(rows, delimiter="\t")
    writer.writerow(["query-id", "corpus-id", "score"])
    writer.writerows((q, d, grade) for q, grades in qrels.items() for d, grade in grades.items())
    (folder / "qrels" / "test.tsv").write_bytes(rows.getvalue().encode())
    return folder


@pytest.fixture
def command(monkeypatch, capfd):
    """Run commands that succeed, in a folder."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    before = Path.cwd()

    def run(folder, *arguments):
        os.chdir(folder)
        status = _main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert status == 0, err
        assert "\x1b" not in out + err
        return out

    yield run
    os.chdir(before)


@SLOW
@given(
    documents=st.dictionaries(IDS, TEXTS, min_size=1, max_size=6),
    queries=st.dictionaries(IDS, TEXTS, min_size=1, max_size=4),
    data=st.data(),
)
def test_through_the_command_line(command, tmp_path_factory, tiny_bert, documents, queries, data):
    """What is ranked, judged, kept and shown has the ids and texts that were given."""
    pairs = st.tuples(st.sampled_from(sorted(queries)), st.sampled_from(sorted(documents)))
    judged = data.draw(st.dictionaries(pairs, st.integers(1, 3), min_size=1, max_size=6))
    qrels: dict[str, dict[str, int]] = {}
    for (query, document), grade in judged.items():
        qrels.setdefault(query, {})[document] = grade
    root = tmp_path_factory.mktemp("any")
    write(root / "toy", documents, queries, qrels)
    command(
        root,
        *("run", "tasks=folder", "tasks.path=toy", "tasks.empty_text=keep", "cost=off"),
        *("model=local", f"model.path={tiny_bert}", "pooling=mean", "head=ridge"),
        *("retrieval=[bm25,dense]", "store_dir=store", "format=json"),
    )

    paths = result_paths(root / "results")
    assert len(paths) == 2
    for path in paths:
        assert read_result(path).result["task_name"] == "toy"
        ((run, judgements),) = read_scored(details_folder(path)).values()
        assert judgements == qrels
        assert list(run) == [query for query in queries if query in qrels]
        ranked = {query: set(found) for query, found in run.items()}
        assert all(found <= set(documents) for found in ranked.values())
        if "dense" in path.parent.name:
            assert all(set(documents) <= found | {query} for query, found in ranked.items())
        (kept,) = read_texts(details_folder(path)).values()
        assert kept.queries == {query: cut(queries[query]) for query in run}
        assert all(
            cut(documents[key]).strip() == text.strip() for key, text in kept.documents.items()
        )

    bodies = [text.strip() for text in documents.values()]  # as mteb joins a title and a text
    keys = set(text_keys(bodies)) | set(text_keys([queries[query] for query in qrels]))
    spaces = [json.loads(path.read_text()) for path in root.glob("store/embeddings/*/space.json")]
    found = set()
    for space in spaces:
        label = space.pop("label")
        store = EmbeddingStore(root / "store" / "embeddings", space, label=label)
        here = [key for key, place in zip(keys, store.find(list(keys)), strict=True) if place >= 0]
        vectors, _ = store.read(store.find(here))
        assert np.isfinite(vectors).all()
        found |= set(here)
    assert found == keys

    command(root, "report", "figures=false", "resamples=100", "pages=false")
    assert len(collect(root / "results").entries) == 2
    assert (root / "leaderboards" / "index.html").read_bytes().startswith(b"<!doctype html>")
    command(root, "export")
    (file,) = (path for path in (root / "trec" / "qrels").rglob("*") if path.is_file())
    lines = [line.split(" ") for line in file.read_bytes().decode().removesuffix("\n").split("\n")]
    expected = [
        [trec_id(query), "0", trec_id(document), str(grade)]
        for query, grades in qrels.items()
        for document, grade in grades.items()
    ]
    assert sorted(lines) == sorted(expected)


@settings(max_examples=200, deadline=None)
@given(
    run=st.dictionaries(
        IDS, st.dictionaries(IDS, st.floats(-1e6, 1e6, width=32), max_size=4), max_size=4
    ),
    tag=IDS,
)
@example(run={"a b": {"%20": 1.0, " ": 2.0, "%": 3.0, "%25": 4.0}}, tag="a\nb")
def test_trec_files(tmp_path_factory, run, tag):
    """Six columns a line whatever the ids hold, and scores with every digit."""
    path = tmp_path_factory.mktemp("trec") / "run"
    write_trec_run(path, run, tag=tag)
    rows = [line.split(" ") for line in path.read_bytes().decode().split("\n")[:-1]]
    names = {trec_id(name): name for name in [*run, *(d for found in run.values() for d in found)]}
    again: dict[str, dict[str, float]] = {}
    for query, zero, document, rank, score, shown in rows:
        assert (zero, shown) == ("Q0", trec_id(tag))
        assert int(rank) == len(again.get(names[query], {})) + 1
        again.setdefault(names[query], {})[names[document]] = float(score)
    assert again == {query: found for query, found in run.items() if found}

    grades = {query: dict.fromkeys(found, 1) for query, found in run.items()}
    write_trec_qrels(path, grades)
    rows = [line.split(" ") for line in path.read_bytes().decode().split("\n")[:-1]]
    assert [(names[q], zero, names[d], grade) for q, zero, d, grade in rows] == [
        (query, "0", document, "1") for query, found in grades.items() for document in found
    ]


@settings(max_examples=100, deadline=None)
@given(names=st.sets(st.one_of(IDS, st.text("%25aA0", max_size=5)), max_size=20))
def test_different_ids_stay_different_in_trec_files(names):
    assert len({trec_id(name) for name in names}) == len(names)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=12, unique=True))
@example(texts=["", " ", "\n", "\ufeff", "a" * 200_000, "\U0010ffff" * 999])
def test_the_store(tmp_path_factory, texts):
    """Every text has its own vector, whatever characters it is made of."""
    folder = tmp_path_factory.mktemp("store")
    vectors = np.arange(3 * len(texts), dtype=np.float32).reshape(-1, 3)
    tokens = np.arange(len(texts), dtype=np.int64)
    keys = text_keys(texts)
    EmbeddingStore(folder, {"of": "texts"}, label="any").add(keys, vectors, tokens)
    store = EmbeddingStore(folder, {"of": "texts"}, label="any")
    order = np.random.default_rng(1).permutation(len(texts))
    found, lengths = store.read(store.find([keys[row] for row in order]))
    np.testing.assert_array_equal(found, vectors[order])
    np.testing.assert_array_equal(lengths, tokens[order])


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The files of one result, made by hand and sealed with their checksums."""
    from harness.evaluation.digests import settle

    path = tmp_path_factory.mktemp("result") / "T.json"
    place = {"hf_subset": "default", "main_score": 0.25, "ndcg_at_10": 0.25}
    texts = {
        "result": json.dumps({"dataset_revision": "r", "scores": {"test": [place]}}),
        "experiment": json.dumps({"mode": "dense", "settings": {"version": 1}}),
        "environment": json.dumps({"hardware": {"cpu": "CPU"}}),
        "cost": json.dumps({"test/default": {"queries": 4}}),
    }
    details_folder(path).mkdir()
    for name, text in texts.items():
        file = path if name == "result" else details_folder(path) / f"{name}.json"
        file.write_text(text)
    settle(details_folder(path), texts)
    return path


NAMES = ["T.json", *(f"T/{name}.json" for name in ("experiment", "environment", "cost", "digests"))]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(NAMES), sealed=st.booleans(), data=st.data())
def test_any_damage_to_a_result_is_refused_in_one_line(stored, name, sealed, data):
    """With its checksums a result is what was written or is refused; without, it is sound."""
    whole = read_result(stored)
    file = stored.parent / name
    digests = stored.parent / "T" / "digests.json"
    seal, content = digests.read_bytes(), file.read_bytes()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    file.write_bytes(content[:start] + data.draw(st.binary(max_size=6)) + content[end:])
    if not sealed:
        digests.unlink()
    found, message = None, ""
    try:
        found = read_result(stored)
    except BadInputError as error:
        message = str(error)
    finally:
        file.write_bytes(content)
        digests.write_bytes(seal)
    if found is None:
        assert message.isprintable()
        assert str(stored) in message
        assert "delete" in message
    else:
        assert found == whole or not sealed
        assert all("main_score" in place for place in found.result["scores"].get("test", []))
