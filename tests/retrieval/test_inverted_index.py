"""The inverted index against plain sums over shared tokens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from harness.embedding.ragged import Ragged
from harness.retrieval import postings as layout
from harness.retrieval.inverted_index import InvertedIndex

KINDS = ("float32", "uint16", "uint8")


def csr(rows, size):
    """Rows of {token: weight} as CSR float32; weights of 0 stay stored."""
    offsets = np.cumsum([0, *(len(row) for row in rows)])
    tokens = np.array([token for row in rows for token in sorted(row)], np.int32)
    weights = np.array([row[token] for row in rows for token in sorted(row)], np.float32)
    return sparse.csr_array((weights, tokens, offsets), shape=(len(rows), size))


def plain_scores(query, documents):
    """Σ over shared tokens for each document; None where it is 0."""
    return [
        sum(query[token] * document.get(token, 0.0) for token in sorted(query)) or None
        for document in documents
    ]


def rows_of(tokens, count):
    weights = st.integers(-3, 3).map(float)
    return st.lists(st.dictionaries(st.integers(0, tokens - 1), weights), max_size=count)


def random_rows(rng, count, size, density):
    rows = sparse.random_array((count, size), density=density, rng=rng, dtype=np.float32)
    return sparse.csr_array(rows)


def float32_sums(query, documents):
    """Scores of all documents: float32 sums in ascending order of the query's tokens."""
    columns = documents.toarray()
    scores = np.zeros(len(columns), np.float32)
    for token, weight in sorted(zip(query.indices.tolist(), query.data, strict=True)):
        scores += weight * columns[:, token]
    return scores


@pytest.fixture(params=[64, 128, 1 << 14])
def block(request, monkeypatch):
    """Documents of a block; few, so that few documents have many."""
    monkeypatch.setattr(layout, "BLOCK", request.param)
    return request.param


@given(documents=rows_of(6, 30), queries=rows_of(6, 6), k=st.integers(1, 40))
def test_equals_plain_sums_with_ties_by_document(pairs, plain_ranking, documents, queries, k):
    found = InvertedIndex(csr(documents, 6)).search(csr(queries, 6), k)
    assert found.documents.shape == (len(queries), min(k, len(documents)))
    assert found.documents.dtype == np.int32
    assert found.scores.dtype == np.float32
    assert pairs(found) == [plain_ranking(plain_scores(q, documents), k) for q in queries]


@pytest.mark.parametrize("k", [1, 7, 150, 3000])
def test_blocks_with_few_postings_and_with_many(block, pairs, plain_ranking, k):
    """Token t is in one of 2^t documents, so that a block is read by postings, or whole."""
    rng = np.random.default_rng(k)
    documents = [
        {token: float(rng.integers(-2, 4)) for token in range(9) if rng.random() < 2.0**-token}
        for _ in range(700)
    ]
    queries = [
        {0: 1.0, 3: -1.0, 5: 2.0},
        {8: 1.0},
        {6: -1.0, 7: 1.0},
        {},
        dict.fromkeys(range(9), 1.0),
    ]
    found = InvertedIndex(csr(documents, 9)).search(csr(queries, 9), k)
    assert pairs(found) == [plain_ranking(plain_scores(q, documents), k) for q in queries]


@pytest.mark.parametrize("order", ["ascending", "descending", "equal", "two"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("k", [3, 700])
def test_scores_in_the_worst_orders(order, sign, k, pairs):
    """Far more documents than a ranking holds, each better than the last, or all alike."""
    count = 20_000
    weights = {
        "ascending": np.arange(1, count + 1),
        "descending": np.arange(count, 0, -1),
        "equal": np.ones(count),
        "two": 1 + np.arange(count) % 2,
    }[order].astype(np.float32) * sign
    documents = sparse.csr_array(weights[:, None])
    one = sparse.csr_array(np.ones((1, 1), np.float32))
    found = InvertedIndex(documents).search(one, k)
    best = np.lexsort((np.arange(count), -weights))[:k]
    assert pairs(found) == [list(zip(best.tolist(), weights[best].tolist(), strict=True))]


def test_equal_scores_that_no_list_has_in_order(pairs):
    """Documents with one of 40 tokens each, in no order: more ties than there is room for."""
    rng = np.random.default_rng(5)
    tokens = rng.integers(0, 40, 9000)
    documents = csr([{int(token): 2.0} for token in tokens], 40)
    query = csr([dict.fromkeys(range(20), 1.0)], 40)
    ties = np.flatnonzero(tokens < 20)
    for k in (1, 600, 9000):
        found = InvertedIndex(documents).search(query, k)
        assert pairs(found) == [[(int(row), 2.0) for row in ties[:k]]]


@pytest.mark.parametrize("density", [0.01, 0.3])
def test_scores_are_float32_sums_in_ascending_order_to_the_last_bit(block, density):
    rng = np.random.default_rng(0)
    documents, queries = random_rows(rng, 900, 80, density), random_rows(rng, 20, 80, 0.3)
    found = InvertedIndex(documents).search(queries, 25)
    for row in range(20):
        scores = float32_sums(queries[[row]], documents)
        best = np.lexsort((np.arange(900), -scores))[:25]
        best = best[scores[best] != 0]
        np.testing.assert_array_equal(found.documents[row, : len(best)], best)
        np.testing.assert_array_equal(found.scores[row, : len(best)], scores[best])
        assert (found.documents[row, len(best) :] == -1).all()
        assert (found.scores[row, len(best) :] == -np.inf).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_query_finds_depends_on_no_other_query_thread_or_order(kind):
    rng = np.random.default_rng(1)
    index = InvertedIndex(random_rows(rng, 500, 60, 0.2), kind)
    queries = random_rows(rng, 37, 60, 0.2)
    together = index.search(queries, 20)
    for threads in (2, 3, 50):
        threaded = index.search(queries, 20, threads=threads)
        np.testing.assert_array_equal(threaded.documents, together.documents)
        np.testing.assert_array_equal(threaded.scores, together.scores)
    for row in (36, 0, 5):
        alone = index.search(queries[[row]], 20)
        np.testing.assert_array_equal(alone.documents[0], together.documents[row])
        np.testing.assert_array_equal(alone.scores[0], together.scores[row])


def test_the_order_of_a_querys_tokens_changes_nothing():
    rng = np.random.default_rng(3)
    index = InvertedIndex(random_rows(rng, 200, 40, 0.5))
    query = random_rows(rng, 1, 40, 0.5)
    shuffled = rng.permutation(query.nnz)
    other = sparse.csr_array(
        (query.data[shuffled], query.indices[shuffled], query.indptr), shape=query.shape
    )
    np.testing.assert_array_equal(index.search(other, 200).scores, index.search(query, 200).scores)
    candidates = Ragged.from_rows([range(200)])
    np.testing.assert_array_equal(
        index.score(other, candidates)[0], index.score(query, candidates)[0]
    )


def test_equal_documents_score_the_same_wherever_they_stand(block):
    rng = np.random.default_rng(2)
    row = {int(token): float(rng.standard_normal()) for token in rng.permutation(90)[:50]}
    other = {token: weight * 1.01 for token, weight in row.items()}
    documents = [row, other, row, row, {}, other, row] * 50
    query = {int(token): float(rng.standard_normal()) for token in rng.permutation(90)[:40]}
    found = InvertedIndex(csr(documents, 90)).search(csr([query], 90), 400)
    scores = found.scores[0, :300]
    assert len(set(scores.tolist())) == 2
    for score in set(scores.tolist()):
        same = found.documents[0, :300][scores == score]
        assert (np.diff(same) > 0).all()


def test_a_document_with_a_score_of_zero_is_not_found_whatever_it_shares(pairs):
    documents = [{1: 1.0}, {0: 2.0, 1: -2.0}, {0: -1.0}, {}]
    found = InvertedIndex(csr(documents, 3)).search(csr([{0: 1.0, 1: 1.0}, {2: 1.0}, {}], 3), 4)
    assert pairs(found) == [[(0, 1.0), (2, -1.0)], [], []]


def test_a_token_twice_in_a_row_counts_twice(pairs):
    documents = sparse.csr_array(
        (np.array([1, 2, 5], np.float32), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 2)
    )
    query = csr([{1: 2.0}], 2)
    index = InvertedIndex(documents)
    assert pairs(index.search(query, 2)) == [[(0, 6.0)]]
    assert index.score(query, Ragged.from_rows([[1, 0]]))[0].tolist() == [0.0, 6.0]


def test_no_documents():
    found = InvertedIndex(csr([], 3)).search(csr([{0: 1.0}, {}], 3), 5)
    assert found.documents.shape == (2, 0)


def test_documents_without_tokens(pairs):
    index = InvertedIndex(csr([{}, {0: 0.0}], 3))
    assert pairs(index.search(csr([{0: 1.0}], 3), 5)) == [[]]
    assert index.score(csr([{0: 1.0}], 3), Ragged.from_rows([[0, 1]]))[0].tolist() == [0.0, 0.0]


def test_no_queries():
    found = InvertedIndex(csr([{0: 1.0}] * 4, 3)).search(csr([], 3), 2)
    assert found.documents.shape == (0, 2)


@pytest.mark.parametrize("weight", [np.nan, np.inf, 1e38])
def test_a_querys_score_that_float32_cannot_hold_is_refused(weight, refusal, pairs):
    index = InvertedIndex(csr([{0: 4.0}, {0: 1.0}], 2))
    queries = csr([{0: 1.0}, {0: weight}], 2)
    message = refusal(lambda: index.search(queries, 2))
    assert "score" in message
    assert message == refusal(lambda: index.search(queries[[1]], 2))
    assert message == refusal(lambda: index.search(queries, 2, threads=2))
    assert pairs(index.search(csr([{0: 1.0}], 2), 2)) == [[(0, 4.0), (1, 1.0)]]


@pytest.mark.parametrize("weight", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_a_documents_weight_that_is_no_number_is_refused(weight, kind, refusal):
    assert "weight" in refusal(lambda: InvertedIndex(csr([{0: 1.0}, {0: weight}], 2), kind))


def test_documents_frequency_and_bytes():
    index = InvertedIndex(csr([{0: 1.0, 2: 1.0}, {2: 5.0, 3: 0.0}, {}], 4))
    assert index.documents == 3
    assert index.document_frequency.tolist() == [1, 0, 2, 0]
    assert index.document_frequency.dtype == np.int64
    assert index.nbytes == 3 * (4 + 2) + 2 * 4 + 3 * 4  # postings, tokens, offsets


@given(documents=rows_of(6, 12), queries=rows_of(6, 5), data=st.data())
def test_scores_of_candidates_equal_plain_sums(documents, queries, data):
    rows = [
        data.draw(st.lists(st.integers(0, len(documents) - 1), unique=True) if documents else none)
        for none in [st.just([])]
        for _ in queries
    ]
    scores, shared = InvertedIndex(csr(documents, 6)).score(csr(queries, 6), Ragged.from_rows(rows))
    pairs = [
        (query, documents[row]) for query, own in zip(queries, rows, strict=True) for row in own
    ]
    common = [
        [query[token] * document[token] for token in query.keys() & document.keys()]
        for query, document in pairs
    ]
    assert scores.tolist() == [sum(products) for products in common]
    assert shared == sum(product != 0 for products in common for product in products)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("negative", [False, True])
def test_candidates_score_what_a_search_gives_them(block, kind, negative):
    rng = np.random.default_rng(4)
    documents, queries = random_rows(rng, 300, 50, 0.3), random_rows(rng, 8, 50, 0.3)
    if negative:
        documents.data -= 0.5
    index = InvertedIndex(documents, kind)
    found = index.search(queries, 300)
    candidates = Ragged.from_rows([row[row >= 0].tolist() for row in found.documents])
    scores, _ = index.score(queries, candidates)
    np.testing.assert_array_equal(scores, found.scores[found.documents >= 0])
