"""nDCG of arrays against pytrec_eval, and by hand."""

import math

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from harness.evaluation.ndcg import Ndcg
from harness.retrieval.ranking import Ranking


def ranking(rows, width):
    """A ranking of document rows, padded to a width."""
    found = Ranking.empty(len(rows), width)
    for number, documents in enumerate(rows):
        found.documents[number, : len(documents)] = documents
        found.scores[number, : len(documents)] = np.arange(len(documents), 0, -1)
    return found


def judgements(rows, documents):
    """CSR of a dict of grades a query; grades of 0 are entries."""
    entries = [(q, d, g) for q, grades in enumerate(rows) for d, g in grades.items()]
    queries, columns, grades = np.array(entries, np.int64).reshape(-1, 3).T
    return sparse.csr_array(
        (grades.astype(np.float32), (queries, columns)), shape=(len(rows), documents)
    )


def trec_eval(rows, grades, k):
    """pytrec_eval's; queries without judgements or results score 0.

    Grades of -2 and less corrupt its memory.
    """
    asked = [q for q, found in enumerate(rows) if found and grades[q]]
    qrels = {str(q): {str(d): g for d, g in grades[q].items()} for q in asked}
    run = {
        str(q): {str(d): float(len(rows[q]) - rank) for rank, d in enumerate(rows[q])}
        for q in asked
    }
    scored = {}
    if asked:
        scored = pytrec_eval.RelevanceEvaluator(qrels, {f"ndcg_cut.{k}"}).evaluate(run)
    return [scored.get(str(q), {}).get(f"ndcg_cut_{k}", 0.0) for q in range(len(rows))]


@st.composite
def cases(draw):
    documents = draw(st.integers(1, 16))
    queries = draw(st.integers(1, 4))
    grades = [
        draw(st.dictionaries(st.integers(0, documents - 1), st.integers(-1, 4), max_size=documents))
        for _ in range(queries)
    ]
    rows = [
        draw(st.permutations(range(documents)))[: draw(st.integers(0, documents))]
        for _ in range(queries)
    ]
    return documents, grades, rows


@given(cases(), st.sampled_from([1, 3, 10]))
def test_it_is_trec_eval_s(case, k):
    """Negative grades, no relevant documents, fewer than k documents, and padded ranks."""
    documents, grades, rows = case
    width = max(k, *map(len, rows))
    found = Ndcg(judgements(grades, documents), k).of(ranking(rows, width))
    np.testing.assert_allclose(found, trec_eval(rows, grades, k), atol=1e-12)


def test_large_random_rankings():
    rng = np.random.default_rng(0)
    grades = [
        dict(
            zip(
                rng.choice(400, 60, replace=False).tolist(),
                rng.integers(-1, 4, 60).tolist(),
                strict=True,
            )
        )
        for _ in range(50)
    ]
    rows = [rng.permutation(400)[:100].tolist() for _ in range(50)]
    found = Ndcg(judgements(grades, 400), 10).of(ranking(rows, 100))
    assert found.std() > 0.01
    np.testing.assert_allclose(found, trec_eval(rows, grades, 10), atol=1e-12)


def test_by_hand():
    """Grade 1 at rank 1 and 3 at rank 3, of an ideal of 3 then 1."""
    found = Ndcg(judgements([{0: 3, 4: 1, 2: -5}], 5), 10).of(ranking([[4, 2, 0]], 10))
    ideal = 3 + 1 / math.log2(3)
    assert found.tolist() == [pytest.approx((1 + 3 / math.log2(4)) / ideal)]


def test_a_ranking_may_be_narrower_than_k():
    grades = judgements([{0: 1}, {1: 1}], 3)
    found = Ndcg(grades, 10).of(ranking([[0], [0, 1]], 2))
    assert found.tolist() == [1.0, pytest.approx(1 / math.log2(3))]


def test_what_stands_below_k_does_not_count():
    found = Ndcg(judgements([{7: 1}], 8), 3).of(ranking([[0, 1, 2, 7]], 8))
    assert found.tolist() == [0.0]


def test_judged_columns_that_no_ranking_reaches_are_in_the_ideal():
    found = Ndcg(judgements([{0: 1, 5: 1}], 6), 10).of(ranking([[0, 1]], 2))
    assert found.tolist() == [pytest.approx(1 / (1 + 1 / math.log2(3)))]


def test_no_judgement_at_all_and_no_query():
    assert Ndcg(judgements([{}, {}], 3), 10).of(ranking([[0], []], 3)).tolist() == [0.0, 0.0]
    assert Ndcg(judgements([], 3), 10).of(Ranking.empty(0, 3)).tolist() == []


def test_one_preparation_serves_many_rankings():
    judge = Ndcg(judgements([{0: 2}], 4), 10)
    assert judge.of(ranking([[0]], 4)).tolist() == [1.0]
    assert judge.of(ranking([[1]], 4)).tolist() == [0.0]
    assert judge.of(ranking([[0]], 4)).tolist() == [1.0]


def test_grades_in_any_order_and_left_as_they_were():
    shuffled = sparse.csr_array(
        (np.array([1, 3], np.float32), np.array([4, 0]), np.array([0, 2])), shape=(1, 5)
    )
    found = Ndcg(shuffled, 10).of(ranking([[0, 4]], 5))
    assert found.tolist() == [1.0]
    assert shuffled.indices.tolist() == [4, 0]
