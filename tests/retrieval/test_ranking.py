"""Order under ties, and the TREC form that all evaluation tools score alike."""

import math
import random

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.errors import BadInputError
from harness.retrieval.ranking import Ranking, best_of, ranked, to_run, without_ties

FLOATS = st.floats(width=32, allow_nan=False)
FEW = st.sampled_from([-1.5, -0.0, 0.0, 1e-45, -1e-45, 1.0, 2.0, math.inf, 3e38])


@st.composite
def candidates(draw):
    """Distinct documents and scores with many ties, both as arrays."""
    queries, count = draw(st.integers(0, 4)), draw(st.integers(0, 12))
    rows = [draw(st.permutations(range(count))) for _ in range(queries)]
    documents = np.array(rows, np.int32).reshape(queries, count)
    scores = draw(hnp.arrays(np.float32, (queries, count), elements=st.one_of(FEW, FLOATS)))
    missing = draw(hnp.arrays(np.bool_, (queries, count)))
    return np.where(missing, -1, documents).astype(np.int32), scores


@given(given=candidates(), k=st.integers(0, 15))
def test_ranked_equals_a_plain_sort(pairs, given, k):
    documents, scores = given
    found = ranked(documents, scores, k)
    assert found.documents.shape == found.scores.shape == (len(documents), k)
    assert found.documents.dtype == np.int32
    assert found.scores.dtype == np.float32
    for row in range(len(documents)):
        real = [
            (d, s)
            for d, s in zip(documents[row].tolist(), scores[row].tolist(), strict=True)
            if d >= 0
        ]
        expected = sorted(real, key=lambda pair: (-pair[1], pair[0]))[:k]
        assert pairs(found)[row] == expected
        padding = slice(len(expected), None)
        assert (found.documents[row, padding] == -1).all()
        assert (found.scores[row, padding] == -np.inf).all()


@given(given=candidates(), k=st.integers(1, 15))
def test_best_of_equals_ranked(given, k):
    documents, scores = given
    expected = ranked(documents, scores, k)
    for row in range(len(documents)):
        real = documents[row] >= 0
        found = best_of(documents[row][real], scores[row][real], k)
        np.testing.assert_array_equal(found[0], expected.documents[row])
        np.testing.assert_array_equal(found[1], expected.scores[row])


def test_ties_are_ordered_by_document():
    found = ranked(np.array([[7, 3, 5, 1]], np.int32), np.array([[1, 2, 1, 1]], np.float32), 3)
    assert found.documents.tolist() == [[3, 1, 5]]
    assert found.scores.tolist() == [[2, 1, 1]]


@given(given=candidates(), k=st.integers(0, 15))
def test_descending_ties_equal_a_plain_sort(pairs, given, k):
    documents, scores = given
    found = ranked(documents, scores, k, descending_ties=True)
    assert found.documents.shape == (len(documents), k)
    for row in range(len(documents)):
        both = zip(documents[row].tolist(), scores[row].tolist(), strict=True)
        real = [(d, s) for d, s in both if d >= 0]
        assert pairs(found)[row] == sorted(real, key=lambda pair: (-pair[1], -pair[0]))[:k]
        assert (found.documents[row, len(real) :] == -1).all()


def test_descending_ties_of_the_first_and_the_last_row_that_there_may_be():
    rows = np.array([[0, 2**31 - 1, -1]], np.int32)
    found = ranked(rows, np.zeros((1, 3), np.float32), 3, descending_ties=True)
    assert found.documents.tolist() == [[2**31 - 1, 0, -1]]


def test_negative_zero_ties_with_zero():
    found = ranked(np.array([[4, 2]], np.int32), np.array([[0.0, -0.0]], np.float32), 2)
    assert found.documents.tolist() == [[2, 4]]


@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_nan_score_is_refused(k):
    documents = np.array([[0, 1, 2]], np.int32)
    scores = np.array([[1, np.nan, 2]], np.float32)
    for refused in (
        lambda: ranked(documents, scores, k),
        lambda: best_of(documents[0], scores[0], k),
    ):
        with pytest.raises(BadInputError, match="NaN") as caught:
            refused()
        assert "\n" not in str(caught.value)


def test_the_score_of_no_candidate_may_be_nan():
    found = ranked(np.array([[-1, 1]], np.int32), np.array([[np.nan, 2]], np.float32), 2)
    assert found.documents.tolist() == [[1, -1]]


def test_top_and_empty(ranking, pairs):
    assert pairs(ranking([(1, 3.0), (0, 2.0)], [(2, 1.0)]).top(1)) == [[(1, 3.0)], [(2, 1.0)]]
    nothing = Ranking.empty(2, 3)
    assert pairs(nothing) == [[], []]
    assert nothing.documents.shape == (2, 3)


STEP = np.float32(1) - np.nextafter(np.float32(1), np.float32(0))


@pytest.mark.parametrize(
    "scores",
    [
        [1, 1, 1, 1],
        [0, 0, 0, 0],
        [0.0, -0.0, 0.0],
        [1e-45, 1e-45, 0, 0, -1e-45],
        [1, 1, 1, 1 - STEP, 1 - 2 * STEP, 0.5],  # the next score is closer than the chain is long
        [np.inf, np.inf, 3.4028235e38, 3.4028235e38],
        [-5, -5, -5, -5.000001],
        [2, 1, 0],
        [7],
        [],
    ],
)
def test_without_ties_by_cases(scores):
    scores = np.array([scores, scores], np.float32)
    untied = without_ties(scores)
    assert untied.dtype == np.float32
    assert (np.diff(untied.astype(np.float64)) < 0).all()
    assert (untied <= scores).all()
    np.testing.assert_array_equal(untied[:, :1], scores[:, :1])


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=40),
        elements=st.one_of(
            st.sampled_from([0.0, 1.0, -1.0, 1e-45, -1e-45, float(1 - STEP)]),
            st.floats(-(2.0**100), 2.0**100, width=32),
        ),
    )
)
def test_without_ties_strictly_descends_and_moves_nothing_that_is_not_tied(scores):
    scores = -np.sort(-scores, axis=1)
    untied = without_ties(scores)
    assert (untied[:, 1:] < untied[:, :-1]).all()
    assert (untied <= scores).all()
    lowered = untied != scores
    # A score is lowered only to just below its predecessor.
    just_below = np.nextafter(untied[:, :-1], np.float32(-np.inf))
    np.testing.assert_array_equal(untied[:, 1:][lowered[:, 1:]], just_below[lowered[:, 1:]])
    assert not lowered[:, 0].any()


def test_to_run(ranking):
    run = to_run(
        ranking([(2, 5.0), (0, 5.0)], [], [(1, -1.0)]), ["q1", "q2", "q3"], ["a", "b", "c"]
    )
    assert list(run["q1"]) == ["c", "a"]
    assert run["q1"]["c"] == 5.0
    assert run["q1"]["a"] == float(np.nextafter(np.float32(5), np.float32(0)))
    assert run["q2"] == {}
    assert run["q3"] == {"b": -1.0}


@pytest.mark.parametrize("score", [0.0, 1.0, -0.25, 1e-45])
def test_pytrec_eval_scores_a_tied_ranking_alike_in_any_order(score):
    count = 40
    documents = np.arange(count, dtype=np.int32)[None]
    tied = ranked(documents, np.full((1, count), score, np.float32), count)
    ids = [f"d{row:02d}" for row in range(count)]
    run = to_run(tied, ["q"], ids)
    grades = {f"d{row:02d}": 1 for row in (1, 4, 6, 30)}
    ideal = sum(1 / math.log2(rank + 2) for rank in range(4))
    expected = sum(1 / math.log2(rank + 2) for rank in (1, 4, 6)) / ideal
    evaluator = pytrec_eval.RelevanceEvaluator({"q": grades}, {"ndcg_cut.10"})
    shuffled = list(run["q"].items())
    for seed in range(5):
        random.Random(seed).shuffle(shuffled)
        value = evaluator.evaluate({"q": dict(shuffled)})["q"]["ndcg_cut_10"]
        assert value == pytest.approx(expected, abs=1e-12)
