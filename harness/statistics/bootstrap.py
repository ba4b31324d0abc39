"""Percentile bootstrap of means over queries, and of their ratios."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 10_000

_BLOCK = 1024  # resamples drawn at a time


def resampled_means(
    values: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = 0
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

    Resamples whose figure is undefined (NaN), such as a ratio to nothing, say nothing and are left
    out; a column without any other has NaN.

    Args:
        samples: (resamples, columns).
        confidence: Share of the resamples between the ends.

    Returns:
        Lower and upper ends, float64 (columns,) each.
    """
    tail = (1 - confidence) / 2
    # Rows of one column each lie together, which selecting by rank wants.
    sorted_by = np.ascontiguousarray(samples.T)
    undefined = np.isnan(sorted_by)
    if not undefined.any():
        low, high = np.quantile(sorted_by, [tail, 1 - tail], axis=1, overwrite_input=True)
        return low, high
    low, high = (np.full(len(sorted_by), np.nan) for _ in range(2))
    for row, (figures, none) in enumerate(zip(sorted_by, undefined, strict=True)):
        if not none.all():
            low[row], high[row] = np.quantile(figures[~none], [tail, 1 - tail])
    return low, high


def ratios(
    numerators: NDArray[np.floating], denominators: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Numerators over denominators, NaN where the denominator is not above 0.

    A share of nothing, or of less, says nothing.
    """
    above, below = np.broadcast_arrays(numerators, denominators)
    found = np.full(above.shape, np.nan, np.float32)
    np.divide(above, below, out=found, where=below > 0)
    return found


def paired_interval(
    numerator: NDArray[np.float64],
    denominator: NDArray[np.float64],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
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


def _draws(queries: int, resamples: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """How often each query is drawn: float32 (a block of resamples, queries)."""
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, _BLOCK):
        count = min(_BLOCK, resamples - start)
        drawn = rng.integers(0, queries, (count, queries))
        drawn += np.arange(count)[:, None] * queries
        counts = np.bincount(drawn.ravel(), minlength=count * queries)
        yield counts.reshape(count, queries).astype(np.float32)
