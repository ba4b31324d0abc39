"""Vectors of texts compared with one another: dense rows, or sparse ones that stay sparse."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.alignment.head import normalise
from harness.errors import TaskFailedError

Vectors: TypeAlias = Any  # float32 (n, d), or CSR float32 (n, V): SciPy has no types
_DENSE_BYTES = 4 << 30


class SparseVectors(sparse.csr_array):  # type: ignore[misc]  # SciPy's classes have no types
    """CSR rows that code written for dense rows can count, slice, and take dot products of."""

    def __len__(self) -> int:
        return int(self.shape[0])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.object_]:
        """Its rows as objects whose product is the dot product; nothing is made dense."""
        rows = np.empty(len(self), np.object_)
        rows[:] = [_Row(self, number) for number in range(len(self))]
        return rows


class _Row:
    """One row; `a * b` is the dot product."""

    __slots__ = ("_indices", "_weights")

    def __init__(self, matrix: SparseVectors, number: int) -> None:
        part = slice(matrix.indptr[number], matrix.indptr[number + 1])
        self._indices = matrix.indices[part]
        self._weights = matrix.data[part]

    def __mul__(self, other: _Row) -> float:
        _, mine, theirs = np.intersect1d(
            self._indices, other._indices, assume_unique=True, return_indices=True
        )
        return float(self._weights[mine] @ other._weights[theirs])


def similarities(a: Vectors, b: Vectors, how: str) -> NDArray[np.float32]:
    """The similarity of every row of a to every row of b: float32 (n, m).

    Args:
        a: Dense (n, d) or (d,), or CSR (n, V).
        b: Likewise, (m, d) or (m, V).
        how: `cosine` or `dot`.
    """
    left, right = _compared(a, how), _compared(b, how)
    product = left @ right.T
    result = product.toarray() if sparse.issparse(product) else product
    return np.asarray(result, np.float32)


def paired_similarities(a: Vectors, b: Vectors, how: str) -> NDArray[np.float32]:
    """The similarity of each row of a to the same row of b: float32 (n,); see `similarities`."""
    left, right = _compared(a, how), _compared(b, how)
    if sparse.issparse(left):
        return np.asarray(left.multiply(right).sum(axis=1), np.float32)
    products: NDArray[np.float32] = np.einsum("nd,nd->n", left, right)
    return products


def _compared(vectors: Vectors, how: str) -> Vectors:
    """Rows as they enter a dot product; zero rows stay zero."""
    if not sparse.issparse(vectors):
        rows = np.atleast_2d(np.asarray(vectors, np.float32))
        return rows if how == "dot" else normalise(rows)
    if how == "dot":
        return vectors
    norms = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1)))
    scale = sparse.diags_array(1.0 / np.maximum(norms, 1e-12))
    return sparse.csr_array(scale @ vectors).astype(np.float32)


def used_columns(vectors: sparse.csr_array) -> NDArray[np.int64]:
    """Columns that hold a weight, ascending."""
    return np.unique(vectors.indices).astype(np.int64)


def dense_columns(vectors: sparse.csr_array, columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """Sparse rows as dense ones of some columns: float32 (n, columns).

    Norms, distances and products are those of the sparse rows where all columns with a weight are
    among them.

    Args:
        vectors: CSR (n, V).
        columns: See `used_columns`.

    Raises:
        TaskFailedError: If they would not fit in memory.
    """
    size = 4 * vectors.shape[0] * len(columns)
    if size > _DENSE_BYTES:
        raise TaskFailedError(
            f"{vectors.shape[0]:,} sparse vectors over {len(columns):,} tokens would take "
            f"{size / 2**30:.0f} GiB as this type of task wants them; set a smaller "
            "retrieval.aligned_sparse.doc_top_k"
        )
    dense: NDArray[np.float32] = vectors[:, columns].toarray().astype(np.float32)
    return dense


def with_small_indices(matrix: sparse.csr_array) -> sparse.csr_array:
    """The matrix with int32 indices where they suffice.

    SciPy would else convert all postings to the wider type at every product, and scikit-learn
    clusters no others.
    """
    if max(matrix.nnz, *matrix.shape) > np.iinfo(np.int32).max:
        return matrix
    return sparse.csr_array(
        (matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)),
        shape=matrix.shape,
    )


def vector_bytes(vectors: Vectors) -> int:
    """Bytes that vectors take in memory."""
    if not sparse.issparse(vectors):
        return int(vectors.nbytes)
    return int(vectors.data.nbytes + vectors.indices.nbytes + vectors.indptr.nbytes)
