"""A batch's prompts as the arrays that a network takes: one after the other, or padded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.embedding.packing import Packing, positions_after_padding
from harness.embedding.prompts import Prompts


@dataclass(frozen=True)
class PackedInputs:
    """Texts one after the other; one without tokens is given one of padding, which is not pooled.

    Attributes:
        packing: Where the texts stand.
        ids: int64 (tokens,).
        positions: int64 (tokens,), each token's in its own text.
        pooled: bool (tokens,), which tokens the pooling counts.
    """

    packing: Packing
    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    pooled: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        part: Prompts,
        *,
        include_instruction: bool,
        padding_token: int,
        after_padding: bool,
    ) -> PackedInputs:
        """Put a batch's prompts one after the other.

        Args:
            part: The batch.
            include_instruction: Whether template tokens are pooled.
            padding_token: Its id.
            after_padding: Whether positions are counted as `positions_after_padding` does.
        """
        lengths = part.ids.lengths
        packing = Packing(np.maximum(lengths, 1))
        real = np.repeat(lengths > 0, packing.lengths)
        ids = np.full(packing.tokens, padding_token, np.int64)
        ids[real] = part.ids.values
        positions = packing.positions
        pooled = real
        if not include_instruction:
            pooled = real & (positions >= np.repeat(part.text_start, packing.lengths))
        if after_padding:
            positions = positions_after_padding(ids, packing, padding_token)
        return cls(packing, ids, positions, pooled)


@dataclass(frozen=True)
class PaddedInputs:
    """Texts padded to the longest of them.

    Attributes:
        ids: int64 (texts, longest).
        real: bool (texts, longest), which places hold tokens.
        pooled: bool (texts, longest), which of those the pooling counts.
    """

    ids: NDArray[np.int64]
    real: NDArray[np.bool_]
    pooled: NDArray[np.bool_]

    @classmethod
    def of(
        cls, part: Prompts, *, include_instruction: bool, padding_token: int, left: bool
    ) -> PaddedInputs:
        """Pad a batch's prompts.

        Args:
            part: The batch.
            include_instruction: Whether template tokens are pooled.
            padding_token: Its id.
            left: Whether padding stands before a text.
        """
        lengths = part.ids.lengths[:, None]
        longest = max(int(lengths.max(initial=0)), 1)
        position = np.arange(longest)[None, :]
        if left:
            position = position - (longest - lengths)
        real = (position >= 0) & (position < lengths)
        ids = np.full(real.shape, padding_token, np.int64)
        ids[real] = part.ids.values
        pooled = real
        if not include_instruction:
            pooled = real & (position >= part.text_start[:, None])
        return cls(ids, real, pooled)

    @property
    def positions(self) -> NDArray[np.int64]:
        """Each token's place in its own text, 0 for padding: int64 (texts, longest)."""
        places: NDArray[np.int64] = np.maximum(self.real.cumsum(axis=1) - 1, 0)
        return places
