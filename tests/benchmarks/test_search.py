"""Search of one query against other libraries in the same run; pytest-benchmark prints ratios.

Run with `pytest tests/benchmarks -m slow`; nothing here asserts a time, only equal results.
"""

import numpy as np
import pytest

from harness.retrieval.dense import dense_search

DOCUMENTS, WIDTH, TOP = 20_000, 384, 100

pytestmark = pytest.mark.slow


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
