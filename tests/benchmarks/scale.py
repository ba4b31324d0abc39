"""One point of the scale curves: an engine indexes so many documents and answers single queries.

Each is called in a process of its own (`fresh_call`), since peak memory is one of the figures. What
was found is compared with a plain product before queries are timed.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.cost.latency import probe
from harness.cost.memory import PeakHostMemory
from harness.retrieval.ranking import Ranking
from tests.benchmarks.data import queries_of, topic_mixture

TOKENS, VOCABULARY, WIDTH = 128, 32_000, 1024
QUERIES, QUERY_TOKENS, TOP = 100, 10, 100
_CHECKED, _WARMUP, _REPETITIONS = 3, 10, 3
_BLOCK = 8192

Point = dict[str, Any]


def sparse(documents: int) -> Point:
    """Documents of 128 tokens in an inverted index, queries of 10 tokens."""
    from harness.retrieval.inverted_index import InvertedIndex

    rows = topic_mixture(documents, TOKENS, VOCABULARY, seed=0)
    queries = queries_of(rows, QUERIES, QUERY_TOKENS, seed=1)
    singles = [queries[[row]] for row in range(QUERIES)]
    InvertedIndex(rows[:10]).search(singles[0], TOP)  # compiles what is compiled
    with PeakHostMemory() as building:
        began = time.perf_counter()
        index = InvertedIndex(rows)
        seconds = time.perf_counter() - began

    def scores(query: int) -> NDArray[np.float32]:
        return (rows @ queries[[query]].T).toarray().ravel()

    point = _searched(lambda query: index.search(query, TOP), singles, scores)
    point |= {"engine": "aligned sparse", "documents": documents, "build_seconds": seconds}
    point |= {"index_bytes": index.nbytes}
    point |= {"bytes_per_posting": index.nbytes / int(index.document_frequency.sum())}
    point["peak_bytes"] = max(point["peak_bytes"], building.peak_bytes)
    return point


def dense(documents: int) -> Point:
    """Embeddings of 1024 dimensions, searched exactly."""
    from harness.alignment.equal_rows import EqualRows
    from harness.retrieval.dense_search import dense_search

    embeddings = _directions(documents, seed=0)
    queries = _directions(QUERIES, seed=1)
    singles = [queries[[row]] for row in range(QUERIES)]
    with PeakHostMemory() as building:
        began = time.perf_counter()
        equal = EqualRows.of(embeddings)
        seconds = time.perf_counter() - began

    def search(query: NDArray[np.float32]) -> Ranking:
        return dense_search(query, embeddings, TOP, equal=equal)

    point = _searched(search, singles, lambda query: embeddings @ queries[query])
    point |= {"engine": "dense", "documents": documents, "build_seconds": seconds}
    point |= {"index_bytes": embeddings.nbytes, "bytes_per_posting": None}
    point["peak_bytes"] = max(point["peak_bytes"], building.peak_bytes)
    return point


def _searched(
    search: Callable[[Any], Ranking],
    singles: Sequence[Any],
    scores: Callable[[int], NDArray[np.float32]],
) -> Point:
    """Check some queries against all their scores, then time all of them, one at a time."""
    for query in range(_CHECKED):
        found, every = search(singles[query]), scores(query)
        best = np.sort(every)[::-1][: found.scores.shape[1]]
        listed = found.documents[0] >= 0
        assert not best[~listed].any()  # what shares no token is not found
        np.testing.assert_allclose(found.scores[0][listed], best[listed], rtol=1e-5)
        np.testing.assert_allclose(every[found.documents[0][listed]], best[listed], rtol=1e-5)
    with PeakHostMemory() as searching:
        record = probe({"search": search}, singles, warmup=_WARMUP, repetitions=_REPETITIONS)
    return {"query_ms": record.total.p50_ms, "peak_bytes": searching.peak_bytes}


def _directions(count: int, *, seed: int) -> NDArray[np.float32]:
    """Random directions, drawn in blocks: float32 (count, 1024) of norm 1."""
    rng = np.random.default_rng(seed)
    vectors = np.empty((count, WIDTH), np.float32)
    for start in range(0, count, _BLOCK):
        block = vectors[start : start + _BLOCK]
        rng.standard_normal(out=block, dtype=np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return vectors
