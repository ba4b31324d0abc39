"""Batches of texts by token budget, sorted by true length so that little is padded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def token_budget_batches(lengths: NDArray[np.int64], token_budget: int) -> list[NDArray[np.int64]]:
    """Split texts into batches whose padded size stays within a budget.

    Texts are taken from longest to shortest (equal lengths in their own order), so the first batch
    needs the most memory and every batch is nearly square.

    Args:
        lengths: True tokens of each text, int64 (n,).
        token_budget: Most padded tokens in a batch: its longest text times its number of texts. A
            text that is longer than the budget gets a batch of its own.

    Returns:
        Arrays of indices into `lengths`; together they hold each index once.
    """
    order = np.argsort(-lengths, kind="stable")
    batches = []
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        count = max(token_budget // longest, 1)
        batches.append(order[start : start + count])
        start += count
    return batches
