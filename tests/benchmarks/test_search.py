"""Search of one query against other libraries in the same run; pytest-benchmark prints ratios.

Run with `pytest tests/benchmarks -m slow`; nothing here asserts a time, only equal results.
"""

import bm25s
import numpy as np
import pytest
from scipy import sparse

from harness.retrieval.dense import dense_search
from harness.retrieval.inverted_index import InvertedIndex

DOCUMENTS, KEPT, VOCABULARY, WIDTH, TOP = 20_000, 128, 32_000, 384, 100

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def postings():
    """Zipf-distributed aligned tokens: CSR (documents, V) with positive weights."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, VOCABULARY + 1) ** 0.7
    tokens = rng.choice(VOCABULARY, (DOCUMENTS, KEPT), p=share / share.sum())
    rows = np.repeat(np.arange(DOCUMENTS), KEPT)
    weights = rng.random(DOCUMENTS * KEPT, np.float32) + 0.01
    matrix = sparse.csr_array((weights, (rows, tokens.ravel())), shape=(DOCUMENTS, VOCABULARY))
    matrix.sum_duplicates()
    return matrix


@pytest.fixture(scope="module")
def query(postings):
    """Ten tokens of one document."""
    tokens = np.sort(postings.indices[:KEPT:13][:10])
    return sparse.csr_array(
        (np.ones(10, np.float32), (np.zeros(10, int), tokens)), shape=(1, VOCABULARY)
    )


@pytest.fixture(scope="module")
def expected(postings, query):
    scores = (postings @ query.T.toarray()).ravel()
    return np.lexsort((np.arange(DOCUMENTS), -scores))[:TOP]


@pytest.mark.benchmark(group="sparse search, one query")
def test_inverted_index(benchmark, postings, query, expected):
    index = InvertedIndex(postings)
    ranking = benchmark(index.search, query, TOP)
    np.testing.assert_array_equal(ranking.documents[0], expected)


@pytest.mark.benchmark(group="sparse search, one query")
def test_bm25s_on_the_same_postings(benchmark, postings, query, expected):
    peer = bm25s.BM25()
    columns = postings.tocsc()
    peer.scores = {
        "data": columns.data,
        "indices": columns.indices,
        "indptr": columns.indptr,
        "num_docs": DOCUMENTS,
    }
    peer.nonoccurrence_array = None
    peer.vocab_dict = {str(token): token for token in range(VOCABULARY)}
    peer.unique_token_ids_set = set(range(VOCABULARY))
    tokens = [[int(token) for token in query.indices]]

    def search():
        return peer.retrieve(tokens, k=TOP, show_progress=False, n_threads=1)

    found = benchmark(search)
    assert set(found.documents[0]) == set(expected)


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(1)
    documents = rng.standard_normal((DOCUMENTS, WIDTH), np.float32)
    return documents, rng.standard_normal((1, WIDTH), np.float32)


@pytest.mark.benchmark(group="dense search, one query")
def test_dense_search(benchmark, vectors):
    from harness.alignment.equal_rows import EqualRows

    documents, one = vectors
    equal = EqualRows.of(documents)
    ranking = benchmark(dense_search, one, documents, TOP, equal=equal)
    assert ranking.documents[0, 0] == np.argmax(documents @ one[0])


@pytest.mark.benchmark(group="dense search, one query")
def test_numpy_dense_search(benchmark, vectors):
    documents, one = vectors

    def search():
        scores = documents @ one[0]
        best = np.argpartition(-scores, TOP)[:TOP]
        return best[np.argsort(-scores[best])]

    assert benchmark(search)[0] == np.argmax(documents @ one[0])
