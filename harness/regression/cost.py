"""Whether a mode costs more: FLOPs, postings and bytes are counts, so they compare exactly."""

from __future__ import annotations

import math

from harness.regression.check import Verdict


def judge_cost(before: float | None, now: float | None, allowed: float = 0.0) -> Verdict:
    """Judge one figure: any rise is a regression, means over texts up to their rounding.

    Args:
        before: The baseline's figure; None where it was not counted.
        now: The run's. One that is not counted any more is a regression: it could hide a rise.
        allowed: The largest rise that may pass after all, as a share: of postings, where another
            processor's rounding moves a token over the K-th place.
    """
    if before is None or now is None:
        if before is now:
            return Verdict.EQUAL
        return Verdict.BETTER if before is None else Verdict.REGRESSION
    if math.isclose(before, now, rel_tol=1e-13):
        return Verdict.EQUAL
    if now < before:
        return Verdict.BETTER
    return Verdict.WITHIN if now - before <= allowed * before else Verdict.REGRESSION
