"""Paired tests of per-query scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BLOCK = 256  # resamples drawn at a time


def paired_randomisation(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    *,
    resamples: int = 10_000,
    seed: int = 0,
) -> float:
    """The two-sided p-value of a paired randomisation test of two means.

    Under the null hypothesis each query's two scores may be swapped; p is the share of random swaps
    with a difference of means at least as large, the observed one counted among them, so that it is
    never 0 (Smucker et al., CIKM 2007; Phipson and Smyth 2010).

    Args:
        first: Scores of the queries, (n,).
        second: Scores of the same queries, (n,).
        resamples: Random assignments.
        seed: Of the assignments.
    """
    differences = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    observed = abs(differences.sum())
    tolerance = 1e-12 * max(np.abs(differences).sum(), 1e-300)
    rng = np.random.default_rng(seed)
    extreme = 0
    for start in range(0, resamples, _BLOCK):
        count = min(_BLOCK, resamples - start)
        signs = rng.integers(0, 2, (count, len(differences)), np.int8) * 2 - 1
        extreme += int((np.abs(signs @ differences) >= observed - tolerance).sum())
    return (extreme + 1) / (resamples + 1)


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down correction of p-values of one family, (m,)."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(len(p), 0, -1)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected


def paired_interval(
    numerator: NDArray[np.float64],
    denominator: NDArray[np.float64],
    *,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a ratio of means over the same queries.

    Args:
        numerator: Scores of the queries, (n,).
        denominator: Scores of the same queries, (n,).
        resamples: Bootstrap resamples of the queries.
        seed: Of the resamples.
    """
    n = len(numerator)
    rng = np.random.default_rng(seed)
    ratios = np.empty(resamples)
    for start in range(0, resamples, _BLOCK):
        count = min(_BLOCK, resamples - start)
        drawn = rng.integers(0, n, (count, n))
        below = np.asarray(denominator, np.float64)[drawn].mean(axis=1)
        above = np.asarray(numerator, np.float64)[drawn].mean(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios[start : start + count] = above / below
    low, high = np.nanpercentile(ratios, [2.5, 97.5])
    return float(low), float(high)
