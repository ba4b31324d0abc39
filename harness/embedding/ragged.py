"""Rows of different lengths as two arrays instead of a list of lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ragged:
    """n rows of token ids: row i is `values[offsets[i]:offsets[i + 1]]`.

    Attributes:
        values: int32 (total,).
        offsets: int64 (n + 1,), ascending from 0.
    """

    values: NDArray[np.int32]
    offsets: NDArray[np.int64]

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[int]]) -> Ragged:
        """Concatenate rows."""
        lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        values = np.fromiter(chain.from_iterable(rows), np.int32, int(offsets[-1]))
        return cls(values, offsets)

    @classmethod
    def concatenate(cls, parts: Iterable[Ragged]) -> Ragged:
        """One ragged array of all the parts' rows, in order."""
        parts = list(parts)
        if not parts:
            return cls(np.zeros(0, np.int32), np.zeros(1, np.int64))
        lengths = np.concatenate([part.lengths for part in parts])
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        return cls(np.concatenate([part.values for part in parts]), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        return self.values[self.offsets[:-1][row] : self.offsets[1:][row]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 (n,)."""
        return np.diff(self.offsets)

    def select(self, rows: NDArray[np.int64]) -> Ragged:
        """The given rows, in the given order."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        positions = np.arange(offsets[-1]) + np.repeat(
            self.offsets[:-1][rows] - offsets[:-1], lengths
        )
        return Ragged(self.values[positions], offsets)

    def keep(self, mask: NDArray[np.bool_]) -> Ragged:
        """The values where `mask` (total,) is true; rows may become empty."""
        kept = np.concatenate([np.zeros(1, np.int64), np.cumsum(mask, dtype=np.int64)])
        return Ragged(self.values[mask], kept[self.offsets])

    def surround(self, before: Sequence[int], after: Sequence[int]) -> Ragged:
        """Every row with the same values put in front of it and after it."""
        offsets = self.offsets + np.arange(len(self.offsets)) * (len(before) + len(after))
        values = np.empty(int(offsets[-1]), np.int32)
        for place, value in enumerate(before):
            values[offsets[:-1] + place] = value
        for place, value in enumerate(reversed(after)):
            values[offsets[1:] - 1 - place] = value
        shift = np.repeat(offsets[:-1] + len(before) - self.offsets[:-1], self.lengths)
        values[np.arange(len(self.values)) + shift] = self.values
        return Ragged(values, offsets)

    def head(self, lengths: NDArray[np.int64]) -> Ragged:
        """The first values of each row: as many as `lengths` (n,) says, or all it has."""
        kept = np.minimum(self.lengths, lengths)
        within = np.arange(len(self.values)) - np.repeat(self.offsets[:-1], self.lengths)
        return self.keep(within < np.repeat(kept, self.lengths))

    def row_numbers(self) -> NDArray[np.int64]:
        """int64 (total,): the row that each value belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)
