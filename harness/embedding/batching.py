"""Batches of texts by token budget, sorted by true length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def longest_first(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices from the longest text to the shortest, equal lengths in their own order.

    The first batch then needs the most memory, a batch's texts are of nearly equal lengths, and the
    time that is left shrinks as told.
    """
    return np.argsort(-lengths, kind="stable")


def next_batch(descending: NDArray[np.int64], token_budget: int, *, packed: bool) -> int:
    """How many of the texts to come fit into the next batch; at least one.

    Args:
        descending: Tokens of the texts that are left, longest first, at least one text; int64.
        token_budget: Most tokens that are computed in a batch. A text that is longer gets a batch
            of its own.
        packed: Whether texts are put one after the other. Else each is padded to the longest.
    """
    if packed:
        # Each takes a token or more, so later ones need not be looked at.
        ends = np.cumsum(np.maximum(descending[: token_budget + 1], 1))
        return max(int(np.searchsorted(ends, token_budget, side="right")), 1)
    longest = max(int(descending[0]), 1)
    return min(max(token_budget // longest, 1), len(descending))
