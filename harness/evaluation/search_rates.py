"""How fast this machine searches, measured on small synthetic indexes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from harness.alignment.equal_rows import EqualRows
from harness.retrieval.dense_search import dense_search
from harness.retrieval.inverted_index import InvertedIndex

_TOP_K = 100
_REPEATS = 5
_DENSE_BYTES = 128 << 20  # more than caches hold
_MANY = 256  # queries whose products are bound by arithmetic
_DOCUMENTS = 1 << 17
_KEPT, _VOCABULARY, _QUERY_TERMS = 64, 256, 8  # two terms in common, as real queries have


def dense_rates(width: int, *, documents: int | None = None) -> tuple[float, float]:
    """FLOP/s of many queries together, and bytes of the index a second for one.

    Args:
        width: d.
        documents: Rows of the index; as many as caches do not hold when absent.
    """
    count = max(_DENSE_BYTES // (4 * width), 1) if documents is None else documents
    random = np.random.default_rng(0)
    index = random.standard_normal((count, width), np.float32)
    queries = random.standard_normal((_MANY, width), np.float32)
    equal = EqualRows.of(index)
    many = _seconds(lambda: dense_search(queries, index, _TOP_K, equal=equal))
    one = _seconds(lambda: dense_search(queries[:1], index, _TOP_K, equal=equal))
    return 2.0 * count * width * _MANY / many, index.nbytes / one


def sparse_rate(*, documents: int = _DOCUMENTS, threads: int | None = None) -> float:
    """Postings a second of an inverted index whose queries are spread over threads.

    Args:
        documents: Rows of the index.
        threads: How many; torch's when absent.
    """
    random = np.random.default_rng(0)
    index = InvertedIndex(_rows(random, documents, _KEPT))
    queries = _rows(random, _MANY, _QUERY_TERMS)
    touched = int(index.document_frequency[queries.indices].sum())
    count = torch.get_num_threads() if threads is None else threads
    return touched / _seconds(lambda: index.search(queries, _TOP_K, count))


def _rows(random: np.random.Generator, count: int, kept: int) -> sparse.csr_array:
    """Rows of distinct columns: a run of them from a random one on, every third."""
    starts = random.integers(0, _VOCABULARY, (count, 1))
    columns = np.sort((starts + 3 * np.arange(kept)) % _VOCABULARY, axis=1).astype(np.int32)
    weights: NDArray[np.float32] = random.random((count, kept), np.float32) + np.float32(0.1)
    offsets = np.arange(0, count * kept + 1, kept)
    return sparse.csr_array((weights.ravel(), columns.ravel(), offsets), shape=(count, _VOCABULARY))


def _seconds(action: Callable[[], object]) -> float:
    """Median time of an action, after a first one that compiles and warms up."""
    action()
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
