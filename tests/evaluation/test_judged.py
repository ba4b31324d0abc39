"""Which queries count, what was found for them, and what is relevant, by hand."""

import pytest

from harness.evaluation.judged import judged_queries, row_of
from tests.evaluation.kept import ranked


def found(**options):
    return {
        query.id: (query.row, query.found.tolist(), query.relevant)
        for query in judged_queries(ranked(**options))
    }


def test_queries_with_a_judgement():
    # Grades order what is relevant; a document that the corpus does not have is none of it.
    assert found() == {
        "q1": (0, [1, 0, 2], [2, 0]),
        "q2": (1, [3, 1], [3]),
        "q3": (2, [3], [1, 0]),
    }


def test_what_a_score_leaves_out_was_not_found():
    assert found(ignore_identical_ids=True)["q2"] == (1, [1], [3])
    assert found(skip_first_result=True)["q1"] == (0, [0, 2], [2, 0])
    both = found(ignore_identical_ids=True, skip_first_result=True)
    assert (both["q2"][1], both["q3"][1]) == ([], [])


def test_the_best_document_of_each_kind():
    first, second, third = judged_queries(ranked())
    assert (first.first(relevant=True), first.first(relevant=False)) == (1, 0)
    assert (second.first(relevant=True), second.first(relevant=False)) == (0, 1)
    assert (third.first(relevant=True), third.first(relevant=False)) == (None, 0)


@pytest.mark.parametrize(("name", "row"), [("a", 0), ("b", 1), ("", -1), ("aa", -1), ("c", -1)])
def test_rows_of_ascending_ids(name, row):
    assert row_of(["a", "b"], name) == row
