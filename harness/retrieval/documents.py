"""Aligned tokens as weighted document rows of an index (paper section 2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.alignment.aligned_tokens import AlignedTokens

_BLOCK = 1 << 10  # texts whose weights are float64 at a time


def weigh(logits: NDArray[np.float32], how: str) -> NDArray[np.float32]:
    """Token weights from logits: `raw`, `relu`, `log1p` (of relu) or `binary` (all ones)."""
    if how == "raw":
        return logits
    if how == "binary":
        return np.ones_like(logits)
    positive = np.maximum(logits, np.float32(0))
    return np.log1p(positive) if how == "log1p" else positive


def document_matrix(
    tokens: AlignedTokens, vocabulary: int, *, weight: str, l2: bool
) -> sparse.csr_array:
    """Aligned tokens as sparse document rows, CSR float32 (n, V); zero weights are left out.

    Args:
        tokens: The kept tokens of n documents.
        vocabulary: V.
        weight: See `weigh`.
        l2: Whether each row is L2-normalised.
    """
    weights = np.empty(tokens.ids.shape, np.float32)
    for start in range(0, len(weights), _BLOCK):
        rows = slice(start, start + _BLOCK)
        present = tokens.ids[rows] >= 0
        own = np.where(present, weigh(tokens.weights[rows], weight), np.float32(0))
        if l2:
            norms = np.linalg.norm(own.astype(np.float64), axis=1, keepdims=True)
            own = (own / np.maximum(norms, 1e-12)).astype(np.float32)
        weights[rows] = own
    kept = (tokens.ids >= 0) & (weights != 0)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept.sum(axis=1))])
    shape = (len(weights), vocabulary)
    matrix = sparse.csr_array((weights[kept], tokens.ids[kept], offsets), shape=shape)
    matrix.sort_indices()
    return matrix


def with_literal_terms(
    aligned: sparse.csr_array, literal: sparse.csr_array, *, share: float, k: int, l2: bool
) -> sparse.csr_array:
    """Aligned tokens mixed with a text's own terms; the k largest weights of each row stay.

    Args:
        aligned: Document rows, CSR (n, V).
        literal: The documents' own terms, CSR (n, V), rows L2-normalised.
        share: The weight of `literal`, against 1 - share of L2-normalised `aligned`.
        k: Entries that a row keeps; of equal ones those of the smaller columns.
        l2: Whether what is kept is L2-normalised.
    """
    mixed = sparse.csr_array(_normalised(aligned) * (1 - share) + literal * share)
    mixed.sort_indices()
    rows = np.repeat(np.arange(mixed.shape[0]), np.diff(mixed.indptr))
    order = np.lexsort((mixed.indices, -mixed.data, rows))
    place = np.arange(len(order)) - mixed.indptr[rows]
    kept = np.sort(order[place < k])
    counts = np.bincount(rows[kept], minlength=mixed.shape[0])
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    shortened = (mixed.data[kept].astype(np.float32), mixed.indices[kept], offsets)
    result = sparse.csr_array(shortened, shape=mixed.shape)
    return _normalised(result) if l2 else result


def _normalised(rows: sparse.csr_array) -> sparse.csr_array:
    """Rows divided by their L2 norms, float32; empty rows stay empty."""
    squares = sparse.csr_array(rows, dtype=np.float64)
    norms = np.sqrt(squares.multiply(squares).sum(axis=1))
    result = sparse.csr_array(rows, copy=True)
    result.data = (rows.data / np.repeat(np.maximum(norms, 1e-12), np.diff(rows.indptr))).astype(
        np.float32
    )
    return result
