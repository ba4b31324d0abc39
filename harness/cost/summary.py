"""Percentiles of durations, with confidence intervals that assume no distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.cost.timing import NANOSECONDS_PER_MILLISECOND

Interval = tuple[float | None, float | None]
"""Lower and upper bound; None where the sample is too small for that bound to exist."""

CONFIDENCE = 0.95
_SHARES = (0.50, 0.95, 0.99)


@dataclass(frozen=True, kw_only=True)
class LatencySummary:
    """Summary of one duration over all measurements, in milliseconds.

    The percentiles interpolate linearly between the two nearest measurements (numpy's default,
    method 7 of Hyndman and Fan, 1996, "Sample Quantiles in Statistical Packages"). With fewer than
    100 measurements p99 lies between the two longest.

    The intervals are those of `percentile_intervals`, at 95 %. They say how far the percentile
    depends on which queries were drawn; a machine that was slower all along they do not see.

    Attributes:
        count: Measurements.
        independent: Measurements that the intervals count as independent: distinct queries.
        mean_ms: Arithmetic mean.
        p50_ms: Median.
        p95_ms: 95th percentile.
        p99_ms: 99th percentile.
        p50_interval_ms: Confidence interval of the median.
        p95_interval_ms: Confidence interval of the 95th percentile.
        p99_interval_ms: Confidence interval of the 99th percentile.
    """

    count: int
    independent: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    p50_interval_ms: Interval
    p95_interval_ms: Interval
    p99_interval_ms: Interval


def summarise(nanoseconds: NDArray[np.int64], *, independent: int) -> LatencySummary:
    """Summarise durations in milliseconds.

    Args:
        nanoseconds: Durations, int64 (measurements,).
        independent: Distinct queries among them, each measured about equally often.

    Raises:
        ValueError: No measurement, or `independent` is not in [1, measurements].
    """
    milliseconds = nanoseconds / NANOSECONDS_PER_MILLISECOND
    intervals = percentile_intervals(milliseconds, _SHARES, independent=independent)
    p50, p95, p99 = np.percentile(milliseconds, [100 * share for share in _SHARES], method="linear")
    return LatencySummary(
        count=len(milliseconds),
        independent=independent,
        mean_ms=float(milliseconds.mean()),
        p50_ms=float(p50),
        p95_ms=float(p95),
        p99_ms=float(p99),
        p50_interval_ms=intervals[0],
        p95_interval_ms=intervals[1],
        p99_interval_ms=intervals[2],
    )


def percentile_intervals(
    values: ArrayLike,
    shares: Sequence[float],
    *,
    independent: int | None = None,
    confidence: float = CONFIDENCE,
) -> list[Interval]:
    """Return a confidence interval of each percentile: two order statistics of the values.

    Which ones, `interval_ranks` says for a sample of independent values. Repeated measurements of
    the same query are not independent: ten measurements of ten queries know ten queries, not a
    hundred. So the ranks are those of a sample of one value a query, and the bounds are what stands
    at the same shares of all values. That is exact where a query is measured once, nearly so where
    repetitions resemble each other, and too wide, never too narrow, where repetitions differ as
    much as queries do (Woodruff, 1952, "Confidence Intervals for Medians and Other Position
    Measures", with the largest design effect that there can be). A bootstrap over queries would
    be narrower there, but it gives an upper bound of p99 even from ten queries, a wrong one.

    Args:
        values: One duration a measurement, (measurements,), in any order.
        shares: Percentiles as shares in (0, 1).
        independent: Distinct queries among the values, each measured about equally often; None
            where all values are independent.
        confidence: Least probability that both bounds hold, in (0, 1).

    Returns:
        One interval a share, in the values' unit.

    Raises:
        ValueError: No values, or a number outside its range.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    count = len(ordered)
    groups = count if independent is None else independent
    if not 1 <= groups <= count:
        raise ValueError(f"need 1 <= independent ({groups}) <= measurements ({count})")
    intervals: list[Interval] = []
    for lower, upper in interval_ranks(groups, shares, confidence=confidence).tolist():
        # Rank r of the groups is the ranks from (r-1)·count/groups to r·count/groups of all values:
        # the middle one, which is rank r itself where each group is one value.
        first, last = ((2 * rank - 1) * count // (2 * groups) for rank in (lower, upper))
        intervals.append(
            (
                float(ordered[first]) if lower >= 1 else None,
                float(ordered[last]) if upper <= groups else None,
            )
        )
    return intervals


def interval_ranks(
    count: int, shares: Sequence[float], *, confidence: float = CONFIDENCE
) -> NDArray[np.int64]:
    """Return between which order statistics the percentiles of the population lie.

    The number of values below the p-quantile is Bin(count, p), whatever the distribution. The lower
    rank is the largest l with P(Bin < l) <= α/2, the upper one the smallest u with P(Bin >= u) <=
    α/2, hence P(X₍l₎ <= quantile <= X₍u₎) >= 1-α, and more with ties. Both tails alike, so each
    bound also holds alone at 1-α/2. The probability is above 1-α because ranks are whole.

    Source: Conover, 1999, "Practical Nonparametric Statistics", 3rd edition, section 3.2; David and
    Nagaraja, 2003, "Order Statistics", 3rd edition, section 7.1.

    Args:
        count: Independent values.
        shares: Percentiles as shares in (0, 1).
        confidence: 1-α, in (0, 1).

    Returns:
        Lower and upper rank from 1, int64 (shares, 2). Rank 0 means no lower bound and count + 1 no
        upper one: the sample is too small, as for the 99th percentile below 368 values.

    Raises:
        ValueError: A number outside its range.
    """
    from scipy.special import bdtr, bdtrc

    share = np.asarray(shares, dtype=np.float64)[:, None]
    if count < 1 or not 0 < confidence < 1 or not np.all((share > 0) & (share < 1)):
        raise ValueError(
            f"need a count ({count}) from 1 on, shares ({shares}) and a confidence ({confidence})"
            " between 0 and 1"
        )
    tail = (1 - confidence) / 2
    below = np.arange(count, dtype=np.float64)
    lower = np.count_nonzero(bdtr(below, count, share) <= tail, axis=1)
    upper = 1 + np.count_nonzero(bdtrc(below, count, share) > tail, axis=1)
    return np.stack([lower, upper], axis=1).astype(np.int64)
