"""The Pareto front of quality against a cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def on_front(cost: NDArray[np.float64], quality: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points no other one beats: none costs no more and is better, or less and as good.

    Args:
        cost: (n,), less is better.
        quality: (n,), more is better.
    """
    order = np.lexsort((-quality, cost))
    best = np.maximum.accumulate(np.concatenate([[-np.inf], quality[order][:-1]]))
    front = np.zeros(len(cost), np.bool_)
    front[order] = quality[order] > best
    return front
