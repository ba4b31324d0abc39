"""Paired tests of per-query scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.statistics.bootstrap import RESAMPLES, Seed

_BLOCK = 256  # resamples drawn at a time
_ROUNDING = 1e-5  # of sums in float32, as a share of what is summed


def paired_randomisation(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    *,
    resamples: int = RESAMPLES,
    seed: Seed = 0,
) -> float:
    """The two-sided p-value of a paired randomisation test of two means, see `randomisation`.

    Args:
        first: Scores of the queries, (n,).
        second: Scores of the same queries, (n,).
        resamples: Random assignments.
        seed: Of the assignments.
    """
    differences = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return float(randomisation(differences[:, None], resamples=resamples, seed=seed)[0])


def randomisation(
    differences: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: Seed = 0
) -> NDArray[np.float64]:
    """Two-sided p-values of paired randomisation tests of means.

    Under the null hypothesis each query's two scores may be swapped; p is the share of random swaps
    with a difference of means at least as large, the observed one counted among them, so that it is
    never 0 (Smucker et al., CIKM 2007; Phipson and Smyth 2010).

    Args:
        differences: A query's two scores, one less the other: (queries, pairs of systems).
        resamples: Random assignments, the same for all pairs.
        seed: Of the assignments.

    Returns:
        float64 (pairs,).
    """
    return stratified_randomisation([differences], resamples=resamples, seed=seed)


def stratified_randomisation(
    strata: Sequence[NDArray[np.float64]],
    *,
    weights: Sequence[float] | None = None,
    resamples: int = RESAMPLES,
    seed: Seed = 0,
) -> NDArray[np.float64]:
    """As `randomisation`, of the weighted mean over strata (tasks) of the means over their queries.

    Args:
        strata: Of each stratum (queries, pairs of systems), the pairs alike in all.
        weights: Of the strata; all alike by default.
        resamples: Random assignments.
        seed: Of the assignments.

    Returns:
        float64 (pairs,).
    """
    shares = np.ones(len(strata)) if weights is None else np.asarray(weights, np.float64)
    weighted = [
        np.asarray(one, np.float64) * (share / len(one))
        for one, share in zip(strata, shares, strict=True)
    ]
    observed = np.abs(np.sum([one.sum(axis=0) for one in weighted], axis=0))
    largest = np.sum([np.abs(one).sum(axis=0) for one in weighted], axis=0)
    # Sums that are equal differ by rounding, which must not decide.
    least = observed - _ROUNDING * np.maximum(largest, 1e-300)
    columns = [np.ascontiguousarray(one, np.float32) for one in weighted]
    first = [seed] if isinstance(seed, int) else list(seed)
    rngs = [np.random.default_rng([*first, n] if n else seed) for n in range(len(weighted))]
    extreme = np.zeros(len(observed), np.int64)
    for start in range(0, resamples, _BLOCK):
        count = min(_BLOCK, resamples - start)
        sums = np.zeros((count, len(observed)), np.float32)
        for rng, one in zip(rngs, columns, strict=True):
            signs = rng.integers(0, 2, (count, len(one)), np.int8) * 2 - 1
            sums += signs.astype(np.float32) @ one
        extreme += (np.abs(sums) >= least).sum(axis=0)
    # A difference that is no number has no p.
    return np.where(np.isnan(observed), np.nan, (extreme + 1) / (resamples + 1))


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down correction of p-values of one family, (m,)."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(len(p), 0, -1)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected
