"""Statistics of durations, by the names and definitions of pytest-benchmark."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

# A normal sample's interquartile range in standard deviations, and the standard error of its median
# in standard errors of its mean: √(π/2).
_IQR_PER_DEVIATION = 1.349
_MEDIAN_PER_MEAN = math.sqrt(math.pi / 2)


def timing_stats(seconds: Sequence[float]) -> dict[str, Any]:
    """What `pytest-benchmark compare` reads of one benchmark.

    Args:
        seconds: Durations, one a round, at least one.
    """
    ordered = sorted(seconds)
    mean = statistics.mean(ordered)
    deviation = statistics.stdev(ordered) if len(ordered) > 1 else 0.0
    low, high = _quartiles(ordered)
    spread = high - low
    fences = low - 1.5 * spread, high + 1.5 * spread
    within = [value for value in ordered if fences[0] <= value <= fences[1]]
    deviating = sum(not mean - deviation <= value <= mean + deviation for value in ordered)
    outside = len(ordered) - len(within)
    total = sum(ordered)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": mean,
        "stddev": deviation,
        "rounds": len(ordered),
        "median": statistics.median(ordered),
        "iqr": spread,
        "q1": low,
        "q3": high,
        "iqr_outliers": outside,
        "stddev_outliers": deviating,
        "outliers": f"{deviating};{outside}",
        "ld15iqr": within[0],
        "hd15iqr": within[-1],
        "ops": len(ordered) / total if total else 0,
        "total": total,
        "data": list(seconds),
        "iterations": 1,
    }


def relative_error(stats: Mapping[str, Any]) -> float:
    """The median's standard error as a share of it, from the interquartile range.

    √(π/2)·σ/√n with σ = IQR/1.349, which holds for normal durations; outliers, which latencies
    have, do not move it. It knows what a sample tells of itself: not that a machine was slower all
    along.

    Args:
        stats: `iqr`, `rounds` and `median` of a benchmark.
    """
    error = _MEDIAN_PER_MEAN * stats["iqr"] / _IQR_PER_DEVIATION / math.sqrt(stats["rounds"])
    return float(error / stats["median"]) if stats["median"] else math.inf


def _quartiles(ordered: Sequence[float]) -> tuple[float, float]:
    """Lower and upper quartile: the medians of the halves; of an odd number, between both rules."""
    count = len(ordered)
    if count == 1:
        return ordered[0], ordered[0]
    if count % 2 == 0:
        return statistics.median(ordered[: count // 2]), statistics.median(ordered[count // 2 :])
    quarter, rest = divmod(count, 4)
    if rest == 1:
        low = 0.25 * ordered[quarter - 1] + 0.75 * ordered[quarter]
        high = 0.75 * ordered[3 * quarter] + 0.25 * ordered[3 * quarter + 1]
    else:
        low = 0.75 * ordered[quarter] + 0.25 * ordered[quarter + 1]
        high = 0.25 * ordered[3 * quarter + 1] + 0.75 * ordered[3 * quarter + 2]
    return low, high
