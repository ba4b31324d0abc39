"""Percentile bootstrap of means over queries, and of their ratios."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Seed = int | Sequence[int]

CONFIDENCE = 0.95
RESAMPLES = 10_000

_BLOCK = 1024  # resamples drawn at a time


def resampled_means(
    values: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: Seed = 0
) -> NDArray[np.float32]:
    """The means of columns over queries that are drawn with replacement (Efron, 1979).

    Every column sees the same draws, so that differences and ratios of columns are paired. The
    draws depend on the seed, the number of queries and the number of resamples alone.

    Args:
        values: Scores, (queries, columns).
        resamples: Draws of as many queries as there are.
        seed: Of the draws.

    Returns:
        float32 (resamples, columns).
    """
    queries = len(values)
    columns = np.ascontiguousarray(values, np.float32)
    means = np.empty((resamples, columns.shape[1]), np.float32)
    start = 0
    for counts in _draws(queries, resamples, seed):
        np.matmul(counts, columns, out=means[start : start + len(counts)])
        start += len(counts)
    means /= queries
    return means


def interval(
    samples: NDArray[np.floating], *, confidence: float = CONFIDENCE
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The percentile interval of each column of resampled figures.

    Resamples whose figure is undefined (NaN) say nothing and are left out; a column without any
    other has NaN. Infinite ones count: an end may be infinite.

    Args:
        samples: (resamples, columns).
        confidence: Share of the resamples between the ends.

    Returns:
        Lower and upper ends, float64 (columns,) each.
    """
    tail = (1 - confidence) / 2
    # Rows of one column each lie together, which selecting by rank wants.
    rows = np.ascontiguousarray(samples.T)
    odd = ~np.isfinite(rows).all(axis=1)
    low, high = (np.full(len(rows), np.nan) for _ in range(2))
    if not odd.all():
        low[~odd], high[~odd] = np.quantile(rows[~odd], [tail, 1 - tail], axis=1)
    for row in np.flatnonzero(odd):
        known = rows[row][~np.isnan(rows[row])]
        if len(known):
            # No average of a finite and an infinite figure.
            low[row] = np.quantile(known, tail, method="lower")
            high[row] = np.quantile(known, 1 - tail, method="higher")
    return low, high


def ratios(
    numerators: NDArray[np.floating], denominators: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Numerators over denominators; infinite where something stands over nothing.

    NaN where nothing stands over nothing, or the denominator is below 0: a share of less than
    nothing says nothing.
    """
    above, below = np.broadcast_arrays(numerators, denominators)
    found = np.full(above.shape, np.nan, np.float32)
    np.divide(above, below, out=found, where=below > 0)
    found[(below == 0) & (above > 0)] = np.inf
    return found


def paired_interval(
    numerator: NDArray[np.float64],
    denominator: NDArray[np.float64],
    *,
    resamples: int = RESAMPLES,
    seed: Seed = 0,
) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a ratio of means over the same queries.

    Args:
        numerator: Scores of the queries, (n,).
        denominator: Scores of the same queries, (n,).
        resamples: Bootstrap resamples of the queries.
        seed: Of the resamples.
    """
    both = np.column_stack([numerator, denominator])
    above, below = resampled_means(both, resamples=resamples, seed=seed).T
    low, high = interval(ratios(above, below)[:, None])
    return float(low[0]), float(high[0])


def _draws(queries: int, resamples: int, seed: Seed) -> Iterator[NDArray[np.float32]]:
    """How often each query is drawn: float32 (a block of resamples, queries)."""
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, _BLOCK):
        count = min(_BLOCK, resamples - start)
        drawn = rng.integers(0, queries, (count, queries))
        drawn += np.arange(count)[:, None] * queries
        counts = np.bincount(drawn.ravel(), minlength=count * queries)
        yield counts.reshape(count, queries).astype(np.float32)
