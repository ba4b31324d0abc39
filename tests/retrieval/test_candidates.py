"""Reranking against loops, and ties against trec_eval."""

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from harness.embedding.ragged import Ragged
from harness.errors import BadInputError
from harness.retrieval import candidates as module
from harness.retrieval.candidates import dense_scores, rank_candidates, sparse_scores

DOCUMENTS = 12
ROWS = st.lists(st.lists(st.integers(0, DOCUMENTS - 1), unique=True), max_size=5)
FEW = st.sampled_from([-1.5, -0.0, 0.0, 1.0, 2.0])


@given(rows=ROWS, k=st.integers(0, 15), data=st.data())
def test_order_equals_a_plain_sort(pairs, rows, k, data):
    scores = [[data.draw(FEW) for _ in row] for row in rows]
    flat = np.array([score for row in scores for score in row], np.float32)
    found = rank_candidates(Ragged.from_rows(rows), flat, k)
    assert found.documents.shape == (len(rows), min(k, max(map(len, rows), default=0)))
    expected = [
        sorted(zip(row, own, strict=True), key=lambda pair: (-pair[1], -pair[0]))[:k]
        for row, own in zip(rows, scores, strict=True)
    ]
    assert pairs(found) == expected


def test_all_candidates_are_ranked_whatever_their_score(pairs):
    found = rank_candidates(
        Ragged.from_rows([[3, 1], [], [0]]), np.array([0, -2, -9], np.float32), 5
    )
    assert pairs(found) == [[(3, 0.0), (1, -2.0)], [], [(0, -9.0)]]


@pytest.mark.parametrize("rows", [[], [[]], [[], []]])
def test_no_candidates(rows):
    found = rank_candidates(Ragged.from_rows(rows), np.zeros(0, np.float32), 10)
    assert found.documents.shape == (len(rows), 0)


def test_a_nan_is_refused():
    with pytest.raises(BadInputError, match="NaN"):
        rank_candidates(Ragged.from_rows([[0, 1]]), np.array([1, np.nan], np.float32), 2)


@given(data=st.data())
def test_ties_stand_as_trec_eval_puts_them(pairs, data):
    """Each place's document is read off by making it the only relevant one."""
    rows = data.draw(st.lists(st.integers(0, 30), unique=True, min_size=2, max_size=7))
    scores = [data.draw(st.sampled_from([0.0, 0.5, 1.0])) for _ in rows]
    names = [f"{row:02d}" for row in range(31)]
    (found,) = pairs(rank_candidates(Ragged.from_rows([rows]), np.array(scores, np.float32), 9))
    run = {"q": {names[row]: score for row, score in zip(rows, scores, strict=True)}}
    for place, (row, _) in enumerate(found, start=1):
        evaluator = pytrec_eval.RelevanceEvaluator({"q": {names[row]: 1}}, {"recip_rank"})
        assert evaluator.evaluate(run)["q"]["recip_rank"] == pytest.approx(1 / place)


def random_rows(rng, queries):
    return [rng.permutation(DOCUMENTS)[: rng.integers(0, DOCUMENTS + 1)] for _ in range(queries)]


@pytest.mark.parametrize("held", [1, 7, 1 << 14])
def test_dense_scores_equal_loops(monkeypatch, held):
    monkeypatch.setattr(module, "_PAIRS", held)
    rng = np.random.default_rng(held)
    queries = rng.standard_normal((6, 9)).astype(np.float32)
    documents = rng.standard_normal((DOCUMENTS, 9)).astype(np.float32)
    rows = random_rows(rng, 6)
    found = dense_scores(queries, documents, Ragged.from_rows([row.tolist() for row in rows]))
    expected = [queries[q] @ documents[d] for q, row in enumerate(rows) for d in row]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("held", [1, 7, 1 << 14])
def test_sparse_scores_equal_loops(monkeypatch, held):
    monkeypatch.setattr(module, "_PAIRS", held)
    rng = np.random.default_rng(held)
    queries, documents = (
        rng.integers(-3, 4, (count, 8)) * (rng.random((count, 8)) < 0.4) for count in (6, DOCUMENTS)
    )
    rows = random_rows(rng, 6)
    found, shared = sparse_scores(
        sparse.csr_array(queries.astype(np.float32)),
        sparse.csr_array(documents.astype(np.float32)),
        Ragged.from_rows([row.tolist() for row in rows]),
    )
    products = [queries[q] * documents[d] for q, row in enumerate(rows) for d in row]
    assert found.tolist() == [product.sum() for product in products]
    assert shared == sum(np.count_nonzero(product) for product in products)


@pytest.mark.parametrize("width", [1, 3, 50, 385])
@pytest.mark.parametrize("held", [5, 1 << 14])
def test_equal_candidates_score_the_same(monkeypatch, width, held):
    monkeypatch.setattr(module, "_PAIRS", held)
    rng = np.random.default_rng(width)
    queries = rng.standard_normal((3, width)).astype(np.float32)
    documents = np.tile(rng.standard_normal(width).astype(np.float32), (23, 1))
    candidates = Ragged.from_rows([range(23), range(0, 23, 2), [22, 3]])
    dense = dense_scores(queries, documents, candidates)
    few, _ = sparse_scores(sparse.csr_array(queries), sparse.csr_array(documents), candidates)
    for scores in (dense, few):
        for query in range(3):
            assert len(set(scores[candidates.row_numbers() == query].tolist())) == 1
