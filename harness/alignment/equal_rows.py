"""Equal rows of an array, so that what is computed from them is computed once.

A matrix product rounds a row's sums differently with the row's place in the matrix. Texts with
equal embeddings must score the same wherever they stand, so the first of them is computed for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.embedding.mapped_rows import Mapped, MappedRows, touch
from harness.embedding.ragged import Ragged

if TYPE_CHECKING:
    from scipy import sparse

    from harness.embedding.mapped_rows import RowSource

_BLOCK_BYTES = 8 << 20  # of rows that are compared at a time
_AT_ONCE = 1 << 18  # rows of a file whose hashes are sorted together


@dataclass(frozen=True)
class EqualRows:
    """Which rows of n are equal, bit for bit.

    Attributes:
        count: n.
        originals: int64, ascending: the rows that a later row repeats.
        repeats: int64, ascending: the rows that repeat an earlier one.
        sources: int64, one for each of `repeats`: the place of its original in `originals`.
    """

    count: int
    originals: NDArray[np.int64]
    repeats: NDArray[np.int64]
    sources: NDArray[np.int64]

    @classmethod
    def of(cls, vectors: RowSource, sets: sparse.csr_array | None = None) -> EqualRows:
        """Compare the rows that have equal hashes.

        Args:
            vectors: float32 (n, d). Of a file's rows few hashes are held at a time; where rows are
                distinct the memory does not grow with their number.
            sets: CSR (n, V) with sorted indices; when given, equal rows hold the same columns too.
        """
        if isinstance(vectors, MappedRows):
            return cls._of_file(vectors)
        words = _words(vectors)
        hashes = _hashes(words, sets)
        rows = np.flatnonzero(_recurring(hashes))
        found = _repeats(hashes[rows], rows, lambda a, b: _same(words, sets, a, b))
        return cls._of_pairs(len(words), *found)

    @classmethod
    def _of_file(cls, vectors: MappedRows) -> EqualRows:
        """Rows by ranges of their hashes, which are kept in a file meanwhile."""
        path = vectors.path.with_name(f"{vectors.path.name}.hashes")
        size = max(_BLOCK_BYTES // max(4 * vectors.shape[1], 1), 1)
        starts = range(0, len(vectors), size)
        with path.open("wb") as file:
            for start in starts:
                _hashes(_words(vectors[start : start + size]), None).tofile(file)
        hashes = Mapped(path, np.uint64, (len(vectors),))
        path.unlink()
        ranges = -(-len(vectors) // _AT_ONCE)
        width = np.uint64(min(-(-(2**64) // max(ranges, 1)), 2**64 - 1))
        found = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        for number in range(ranges + 1):  # the last holds the largest hash alone, if any
            parts = [np.zeros(0, np.int64)]
            for start in range(0, len(vectors), _AT_ONCE):
                touch(8 * _AT_ONCE)
                own = hashes.array[start : start + _AT_ONCE] // width == number
                parts.append(start + np.flatnonzero(own))
            rows = np.concatenate(parts)
            rows = rows[_recurring(hashes.array[rows])]
            found.append(_repeats(hashes.array[rows], rows, lambda a, b: _same_in(vectors, a, b)))
        repeats, leaders = (np.concatenate(part) for part in zip(*found, strict=True))
        order = np.argsort(repeats)
        return cls._of_pairs(len(vectors), repeats[order], leaders[order])

    @classmethod
    def _of_pairs(
        cls, count: int, repeats: NDArray[np.int64], leaders: NDArray[np.int64]
    ) -> EqualRows:
        originals, sources = np.unique(leaders, return_inverse=True)
        return cls(count, originals, repeats, sources)

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """int64 (n,): for each row, the first row equal to it."""
        first = np.arange(self.count)
        first[self.repeats] = self.originals[self.sources]
        return first

    @property
    def distinct(self) -> NDArray[np.int64]:
        """int64, ascending: the rows that repeat no earlier one."""
        kept = np.ones(self.count, np.bool_)
        kept[self.repeats] = False
        return np.flatnonzero(kept)


def _repeats(
    hashes: NDArray[np.uint64],
    rows: NDArray[np.int64],
    same: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that repeat an earlier one of those given, ascending, and the first equal to each.

    Args:
        hashes: Of the rows, (rows,).
        rows: Ascending.
        same: Whether each of some rows equals its other one.
    """
    first = rows.copy()
    pending = np.arange(len(rows))
    while len(pending):  # once more for rows whose hashes are equal by chance
        _, leads, groups = np.unique(hashes[pending], return_index=True, return_inverse=True)
        leaders = rows[pending[leads[groups]]]
        equal = same(rows[pending], leaders)
        first[pending[equal]] = leaders[equal]
        pending = pending[~equal]
    repeating = first != rows
    return rows[repeating], first[repeating]


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


def _same_in(
    vectors: RowSource, rows: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """See `_same`, of rows that are read as they are compared."""
    same = np.empty(len(rows), np.bool_)
    size = max(_BLOCK_BYTES // max(4 * vectors.shape[1], 1), 1)
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        mine, theirs = _words(vectors[rows[part]]), _words(vectors[others[part]])
        same[part] = (mine == theirs).all(axis=1)
    return same


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
