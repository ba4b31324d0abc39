"""The product of many documents and few queries, compiled by numba."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.retrieval.compiled import summing


@summing
def products(
    documents: NDArray[np.float32], queries: NDArray[np.float32], scores: NDArray[np.float32]
) -> None:
    """Fill `scores` (documents, queries) with dot products: each document is read once.

    Args:
        documents: float32 (n, d).
        queries: float32 (q, d), so few that they stay in the first cache.
        scores: float32 (n, q), filled.
    """
    for row in range(documents.shape[0]):
        for query in range(queries.shape[0]):
            total = np.float32(0)
            for column in range(documents.shape[1]):
                total += documents[row, column] * queries[query, column]
            scores[row, query] = total
