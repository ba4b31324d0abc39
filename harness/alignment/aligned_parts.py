"""Aligned tokens of texts whose embeddings are rows of a file, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.alignment.aligned_tokens import AlignedTokens, logit_blocks, narrowed, without
from harness.alignment.equal_rows import EqualRows
from harness.alignment.top_k import top_k

if TYPE_CHECKING:
    from harness.alignment.head import LogitReader
    from harness.embedding.mapped_rows import RowSource


def aligned_parts(
    head: LogitReader,
    embeddings: RowSource,
    k: int,
    *,
    allowed: NDArray[np.bool_],
    size: int,
    device: str = "cpu",
) -> Iterator[AlignedTokens]:
    """What `aligned_tokens` gives, bit for bit, `size` texts at a time.

    Logits are computed of the same blocks of distinct embeddings, wherever a part ends.

    Args:
        head: Reads embeddings as logits over V tokens.
        embeddings: float32 (n, d).
        k: Tokens a text; at most V are returned.
        allowed: bool (V,).
        size: Texts of a part; the last may have fewer.
        device: Where the logits are computed.
    """
    k = min(k, len(allowed))
    equal = EqualRows.of(embeddings)
    reader, columns = narrowed(head, allowed, k, len(equal.distinct), device)
    parts = _Parts(equal, len(embeddings), size, k)
    for rows, logits in logit_blocks(reader, embeddings, equal.distinct, device):
        if columns is None:
            without(logits, ~allowed, device)
        ids, weights = top_k(logits, k)
        if columns is not None:
            ids = np.where(ids < 0, np.int32(-1), columns.astype(np.int32)[ids])
        yield from parts.take(rows, ids, weights)
    yield from parts.rest()


class _Parts:
    """Parts that are filled in ascending order of their texts."""

    def __init__(self, equal: EqualRows, count: int, size: int, k: int) -> None:
        self._equal, self._count, self._size, self._k = equal, count, size, k
        shape = len(equal.originals), k
        self._originals = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
        self._start = 0
        self._own: tuple[NDArray[np.int32], NDArray[np.float32]] | None = None

    def take(
        self, rows: NDArray[np.int64], ids: NDArray[np.int32], weights: NDArray[np.float32]
    ) -> Iterator[AlignedTokens]:
        """Fill in some texts, later than all before; yield parts that no later text is of."""
        repeated = np.isin(rows, self._equal.originals)
        places = np.searchsorted(self._equal.originals, rows[repeated])
        self._originals[0][places] = ids[repeated]
        self._originals[1][places] = weights[repeated]
        while len(rows) and rows[-1] >= self._start + self._size:
            inside = int(np.searchsorted(rows, self._start + self._size))
            self._fill(rows[:inside], ids[:inside], weights[:inside])
            yield self._finished()
            rows, ids, weights = rows[inside:], ids[inside:], weights[inside:]
        self._fill(rows, ids, weights)

    def rest(self) -> Iterator[AlignedTokens]:
        """The parts that are left; there is one at least."""
        yield self._finished()
        while self._start < self._count:
            yield self._finished()

    def _part(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The part that is being filled; while one is in use there is no next one yet."""
        if self._own is None:
            shape = max(min(self._size, self._count - self._start), 0), self._k
            self._own = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
        return self._own

    def _fill(
        self, rows: NDArray[np.int64], ids: NDArray[np.int32], weights: NDArray[np.float32]
    ) -> None:
        if len(rows):
            own = self._part()
            own[0][rows - self._start], own[1][rows - self._start] = ids, weights

    def _finished(self) -> AlignedTokens:
        """The part, with those texts that repeat an earlier one."""
        repeats, sources = self._equal.repeats, self._equal.sources
        own = slice(*np.searchsorted(repeats, [self._start, self._start + self._size]))
        places = repeats[own] - self._start
        found = AlignedTokens(*self._part())
        found.ids[places] = self._originals[0][sources[own]]
        found.weights[places] = self._originals[1][sources[own]]
        self._start += self._size
        self._own = None
        return found
