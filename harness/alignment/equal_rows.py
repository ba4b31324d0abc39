"""Equal rows of an array, so that what is computed from them is computed once.

A matrix product rounds a row's sums differently with the row's place in the matrix. Texts with
equal embeddings must score the same wherever they stand, so the first of them is computed for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xxhash
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy import sparse


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
        """Compare rows by a 128-bit hash.

        Args:
            vectors: float32 (n, d).
            sets: CSR (n, V) with sorted indices; when given, equal rows hold the same columns too.
        """
        seen: dict[bytes, int] = {}
        first = np.empty(len(vectors), np.int64)
        for row, vector in enumerate(np.ascontiguousarray(vectors)):
            key = xxhash.xxh3_128_digest(vector.data)
            if sets is not None:
                key += sets.indices[sets.indptr[row] : sets.indptr[row + 1]].tobytes()
            first[row] = seen.setdefault(key, row)
        repeats = np.flatnonzero(first != np.arange(len(first)))
        originals, sources = np.unique(first[repeats], return_inverse=True)
        return cls(first, originals, repeats, sources)

    @property
    def distinct(self) -> NDArray[np.int64]:
        """int64, ascending: the rows that repeat no earlier one."""
        return np.flatnonzero(self.first == np.arange(len(self.first)))
