"""Whether a ratio reaches a threshold, as far as its interval tells."""

from __future__ import annotations

from typing import Literal

THRESHOLD = 0.8

Verdict = Literal["reached", "not reached", "undecided"]


def verdict(low: float, high: float, threshold: float = THRESHOLD) -> Verdict:
    """*reached* where the whole interval is above the threshold, *not reached* where it is below.

    Args:
        low: Lower end of the interval.
        high: Its upper end.
        threshold: What is to be reached.
    """
    if low > threshold:
        return "reached"
    return "not reached" if high < threshold else "undecided"
