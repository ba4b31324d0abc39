"""Explanations by hand: a mode of words, whose weights are small integers."""

import pyarrow.parquet as pq
import pytest

from harness.evaluation import explanations
from harness.evaluation.explanations import Explanation, explanations_table, read_explanations
from tests.evaluation.kept import WordMode, ranked

PLACE = ("test", "default")
CAT_PURR = [("purr", 3.0), ("cat", 2.0)]
EXPECTED = {
    # Both are relevant; a is ranked second, c third.
    ("q1", "relevant"): Explanation("a", 2, 5.0, CAT_PURR, CAT_PURR, [("cat", 1.0), ("purr", 1.0)]),
    ("q1", "not_relevant"): Explanation("b", 1, 0.0, CAT_PURR, [], [("bark", 1.0), ("dog", 1.0)]),
    ("q2", "relevant"): Explanation("q2", 1, 0.0, [("dog", 2.0)], [], [("moon", 1.0)]),
    ("q2", "not_relevant"): Explanation(
        "b", 2, 2.0, [("dog", 2.0)], [("dog", 2.0)], [("bark", 1.0), ("dog", 1.0)]
    ),
    # No relevant one was found: the first of equal grades stands for them.
    ("q3", "relevant"): Explanation(
        "b", None, 0.0, [("moon", 2.0)], [], [("bark", 1.0), ("dog", 1.0)]
    ),
    ("q3", "not_relevant"): Explanation(
        "q2", 1, 2.0, [("moon", 2.0)], [("moon", 2.0)], [("moon", 1.0)]
    ),
}


def explained(folder, queries=("q1", "q2", "q3"), **options):
    table = explanations_table(*PLACE, ranked(**options), WordMode())
    pq.write_table(table, folder / "explanations.parquet")
    found = read_explanations(folder, queries)
    assert {place for place, _ in found} <= {PLACE}
    return {
        (query, role): one for (_, query), roles in found.items() for role, one in roles.items()
    }


@pytest.mark.parametrize("at_once", [1, 2, 1000])
def test_the_best_relevant_and_the_best_other_document(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(explanations, "_QUERIES_AT_ONCE", at_once)
    assert explained(tmp_path) == EXPECTED


def test_ranks_are_of_what_the_score_counts(tmp_path):
    found = explained(tmp_path, ignore_identical_ids=True)
    assert (found["q2", "not_relevant"].document_id, found["q2", "not_relevant"].rank) == ("b", 1)
    assert (found["q2", "relevant"].document_id, found["q2", "relevant"].rank) == ("q2", None)
    found = explained(tmp_path, skip_first_result=True)
    assert (found["q1", "relevant"].document_id, found["q1", "relevant"].rank) == ("a", 1)
    assert ("q1", "not_relevant") not in found


def test_a_document_shows_its_largest_terms(tmp_path, monkeypatch):
    monkeypatch.setattr(explanations, "_LARGEST_TERMS", 1)
    found = explained(tmp_path)
    assert found["q1", "relevant"].document == [("cat", 1.0)]  # the first of equal weights
    assert found["q1", "relevant"].matched == CAT_PURR


def test_only_the_queries_asked_for(tmp_path):
    assert set(explained(tmp_path, ["q2", "q9"])) == {("q2", "relevant"), ("q2", "not_relevant")}


def test_modes_that_explain_nothing_have_none(tmp_path):
    assert read_explanations(tmp_path, ["q1"]) == {}


@pytest.mark.parametrize("drop", ["score", "query_id", None])
def test_a_damaged_file_is_named(tmp_path, refusal, drop):
    file = tmp_path / "explanations.parquet"
    if drop is None:
        file.write_bytes(b"PAR1")
    else:
        pq.write_table(explanations_table(*PLACE, ranked(), WordMode()).drop_columns([drop]), file)
    message = refusal(lambda: read_explanations(tmp_path, ["q1"]))
    assert message.startswith(f"{file} is not as `harness run` writes it (")
