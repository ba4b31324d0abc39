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


@summing
def bfloat16_products(
    documents: NDArray[np.uint16], queries: NDArray[np.float32], scores: NDArray[np.float32]
) -> None:
    """As `products`, of bfloat16 documents as their bits: the same scores as of float32 ones."""
    bits = np.empty(documents.shape[1], np.uint32)
    decoded = bits.view(np.float32)
    for row in range(documents.shape[0]):
        for column in range(documents.shape[1]):
            bits[column] = np.uint32(documents[row, column]) << np.uint32(16)
        for query in range(queries.shape[0]):
            total = np.float32(0)
            for column in range(documents.shape[1]):
                total += decoded[column] * queries[query, column]
            scores[row, query] = total


@summing
def float16_products(
    documents: NDArray[np.uint16],
    values: NDArray[np.float32],
    queries: NDArray[np.float32],
    scores: NDArray[np.float32],
) -> None:
    """As `products`, of float16 documents as their bits; `values` has all 65,536 of them."""
    decoded = np.empty(documents.shape[1], np.float32)
    for row in range(documents.shape[0]):
        for column in range(documents.shape[1]):
            decoded[column] = values[documents[row, column]]
        for query in range(queries.shape[0]):
            total = np.float32(0)
            for column in range(documents.shape[1]):
                total += decoded[column] * queries[query, column]
            scores[row, query] = total


@summing
def int8_products(
    documents: NDArray[np.int8],
    scales: NDArray[np.float32],
    queries: NDArray[np.float32],
    scores: NDArray[np.float32],
) -> None:
    """As `products`, of int8 documents with a scale each."""
    decoded = np.empty(documents.shape[1], np.float32)
    for row in range(documents.shape[0]):
        for column in range(documents.shape[1]):
            decoded[column] = np.float32(documents[row, column]) * scales[row]
        for query in range(queries.shape[0]):
            total = np.float32(0)
            for column in range(documents.shape[1]):
                total += decoded[column] * queries[query, column]
            scores[row, query] = total
