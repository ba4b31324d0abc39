"""Equal rows of an array, so that what is computed from them is computed once.

A matrix product rounds a row's sums differently with the row's place in the matrix. Texts with
equal embeddings must score the same wherever they stand, so the first of them is computed for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.embedding.ragged import Ragged

if TYPE_CHECKING:
    from scipy import sparse

_BLOCK_BYTES = 8 << 20  # of rows that are compared at a time


@dataclass(frozen=True)
class EqualRows:
    """Which rows of n are equal, bit for bit.

    Attributes:
        first: int64 (n,): for each row, the first row equal to it.
        originals: int64, ascending: the rows that a later row repeats.
        repeats: int64, ascending: the rows that repeat an earlier one.
        sources: int64, one for each of `repeats`: the place of its original in `originals`.
    """

    first: NDArray[np.int64]
    originals: NDArray[np.int64]
    repeats: NDArray[np.int64]
    sources: NDArray[np.int64]

    @classmethod
    def of(cls, vectors: NDArray[np.float32], sets: sparse.csr_array | None = None) -> EqualRows:
        """Compare the rows that have equal hashes.

        Args:
            vectors: float32 (n, d).
            sets: CSR (n, V) with sorted indices; when given, equal rows hold the same columns too.
        """
        words = _words(vectors)
        first = np.arange(len(words))
        hashes = _hashes(words, sets)
        pending = np.flatnonzero(_recurring(hashes))
        while len(pending):  # once more for rows whose hashes are equal by chance
            _, leads, groups = np.unique(hashes[pending], return_index=True, return_inverse=True)
            leaders = pending[leads[groups]]
            same = _same(words, sets, pending, leaders)
            first[pending[same]] = leaders[same]
            pending = pending[~same]
        repeats = np.flatnonzero(first != np.arange(len(first)))
        originals, sources = np.unique(first[repeats], return_inverse=True)
        return cls(first, originals, repeats, sources)

    @property
    def distinct(self) -> NDArray[np.int64]:
        """int64, ascending: the rows that repeat no earlier one."""
        return np.flatnonzero(self.first == np.arange(len(self.first)))


def _words(vectors: NDArray[np.float32]) -> NDArray[np.unsignedinteger]:
    """The bits of each row as integers, in the widest type that its length allows."""
    rows = np.ascontiguousarray(vectors, np.float32)
    return rows.view(np.uint64 if rows.shape[1] % 2 == 0 else np.uint32)


def _hashes(
    words: NDArray[np.unsignedinteger], sets: sparse.csr_array | None
) -> NDArray[np.uint64]:
    """Σ weight × word modulo 2⁶⁴, and the weights of the row's columns: uint64 (n,)."""
    hashes: NDArray[np.uint64] = np.einsum("nw,w->n", words, _weights(words.shape[1]))
    if sets is None:
        return hashes
    sums = np.zeros(len(sets.indices) + 1, np.uint64)
    np.cumsum(_weights(sets.shape[1])[sets.indices], out=sums[1:])
    hashes += sums[sets.indptr[1:]] - sums[sets.indptr[:-1]]
    return hashes


def _weights(count: int) -> NDArray[np.uint64]:
    """Random odd numbers."""
    return np.random.default_rng(0).integers(2**64, size=count, dtype=np.uint64) | np.uint64(1)


def _recurring(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which hashes another row has too."""
    ordered = np.sort(hashes)
    recurring = ordered[1:][ordered[1:] == ordered[:-1]]
    return np.isin(hashes, recurring)


def _same(
    words: NDArray[np.unsignedinteger],
    sets: sparse.csr_array | None,
    rows: NDArray[np.int64],
    others: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Whether each row equals its other one."""
    same = np.empty(len(rows), np.bool_)
    size = max(_BLOCK_BYTES // max(words[:1].nbytes, 1), 1)
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        same[part] = (words[rows[part]] == words[others[part]]).all(axis=1)
    if sets is None:
        return same
    columns = Ragged(sets.indices.astype(np.int32), sets.indptr.astype(np.int64))
    same &= columns.lengths[rows] == columns.lengths[others]
    at = np.flatnonzero(same)
    mine, theirs = columns.select(rows[at]), columns.select(others[at])
    same[at[mine.row_numbers()[mine.values != theirs.values]]] = False
    return same
