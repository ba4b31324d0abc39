"""The inverted index against plain sums over shared tokens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from harness.embedding.ragged import Ragged
from harness.errors import BadInputError
from harness.retrieval import inverted_index as module
from harness.retrieval.inverted_index import InvertedIndex


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


@given(
    documents=rows_of(6, 30), queries=rows_of(6, 6), k=st.integers(1, 40), held=st.integers(1, 200)
)
def test_equals_plain_sums_with_ties_by_document(pairs, plain_ranking, documents, queries, k, held):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SCORES", held)
        found = InvertedIndex(csr(documents, 6)).search(csr(queries, 6), k)
    assert found.documents.shape == (len(queries), min(k, len(documents)))
    assert pairs(found) == [plain_ranking(plain_scores(q, documents), k) for q in queries]


@given(documents=rows_of(5, 30), queries=rows_of(5, 6), k=st.integers(1, 40))
def test_few_documents_and_many_are_ranked_alike(pairs, plain_ranking, documents, queries, k):
    """Rows are sorted whole or taken apart; ties, negative sums and sums of 0 among them."""
    index = InvertedIndex(csr(documents, 5))
    rankings = []
    for few in (len(documents), len(documents) - 1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_FEW_DOCUMENTS", few)
            rankings.append(index.search(csr(queries, 5), k))
    whole, apart = rankings
    np.testing.assert_array_equal(whole.documents, apart.documents)
    np.testing.assert_array_equal(whole.scores, apart.scores)
    assert whole.documents.dtype == apart.documents.dtype == np.int32
    assert whole.scores.dtype == apart.scores.dtype == np.float32
    assert pairs(whole) == [plain_ranking(plain_scores(q, documents), k) for q in queries]


@pytest.mark.parametrize("count", [2048, 2049])
def test_on_both_sides_of_what_few_is(pairs, plain_ranking, count):
    rng = np.random.default_rng(count)
    documents = [
        {int(token): float(rng.integers(-2, 3)) for token in rng.permutation(8)[:3]}
        for _ in range(count)
    ]
    queries = [{0: 1.0, 3: -1.0, 5: 2.0}, {7: 1.0}, {}]
    for k in (1, 50, 3000):
        found = InvertedIndex(csr(documents, 8)).search(csr(queries, 8), k)
        assert pairs(found) == [plain_ranking(plain_scores(q, documents), k) for q in queries]


def test_a_nan_weight_is_refused_among_few_and_many(monkeypatch, refusal):
    index = InvertedIndex(csr([{0: np.nan}, {0: 1.0}], 2))
    messages = set()
    for few in (0, 2):
        monkeypatch.setattr(module, "_FEW_DOCUMENTS", few)
        messages.add(refusal(lambda: index.search(csr([{0: 1.0}], 2), 2)))
    assert len(messages) == 1


def test_random_weights_to_float32_rounding():
    rng = np.random.default_rng(0)
    documents = sparse.random_array((300, 80), density=0.2, rng=rng, dtype=np.float64)
    queries = sparse.random_array((20, 80), density=0.3, rng=rng, dtype=np.float64)
    documents, queries = documents.tocsr(), queries.tocsr()
    exact = (queries @ documents.T).toarray()
    index = InvertedIndex(sparse.csr_array(documents.astype(np.float32)))
    found = index.search(sparse.csr_array(queries.astype(np.float32)), 25)
    np.testing.assert_allclose(found.scores, -np.sort(-exact, axis=1)[:, :25], rtol=1e-5)
    of_found = np.take_along_axis(exact, found.documents.astype(np.int64), axis=1)
    np.testing.assert_allclose(found.scores, of_found, rtol=1e-5)


def test_equal_documents_score_the_same_wherever_they_stand():
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


def test_no_documents():
    found = InvertedIndex(csr([], 3)).search(csr([{0: 1.0}, {}], 3), 5)
    assert found.documents.shape == (2, 0)


def test_no_queries():
    found = InvertedIndex(csr([{0: 1.0}] * 4, 3)).search(csr([], 3), 2)
    assert found.documents.shape == (0, 2)


def test_a_nan_weight_is_refused():
    with pytest.raises(BadInputError, match="NaN"):
        InvertedIndex(csr([{0: np.nan}], 2)).search(csr([{0: 1.0}], 2), 1)


def test_frequency_and_bytes():
    index = InvertedIndex(csr([{0: 1.0, 2: 1.0}, {2: 5.0}, {}], 4))
    assert index.document_frequency.tolist() == [1, 0, 2, 0]
    assert index.document_frequency.dtype == np.int64
    assert index.nbytes == 3 * 4 + 3 * 4 + 5 * 4  # weights, documents, offsets


def test_wide_indices_are_narrowed_where_they_fit():
    """SciPy copies all postings at every product when the two sides' index types differ."""
    wide = csr([{0: 1.0}, {1: 1.0}], 3)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    index = InvertedIndex(wide)
    assert index.postings.indices.dtype == index.postings.indptr.dtype == np.int32


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
