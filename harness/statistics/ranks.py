"""Ranks of systems over tasks: by mean, by Borda count, and groups that do not differ."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, t

from harness.statistics.significance import holm

SIGNIFICANCE = 0.05


def ranks(figures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, the largest figure first; equal ones share the smallest rank, NaN has none.

    Args:
        figures: (systems,).

    Returns:
        float64 (systems,), NaN where there is no figure.
    """
    ranked = np.full(len(figures), np.nan)
    known = ~np.isnan(figures)
    ranked[known] = rankdata(-figures[known], method="min")
    return ranked


def borda_counts(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Borda counts as mteb counts them: in each task n less a system's rank, summed over tasks.

    Equal scores share the mean of their ranks; a missing score earns nothing.

    Args:
        scores: (systems, tasks), NaN where a score is missing.

    Returns:
        float64 (systems,).
    """
    known = ~np.isnan(scores)
    # Missing scores rank last, behind all that are there, whose ranks they leave as they are.
    places = rankdata(np.where(known, -scores, np.inf), method="average", axis=0)
    return np.asarray(np.where(known, len(scores) - places, 0.0).sum(axis=1))


def groups(
    means: NDArray[np.float64],
    variances: NDArray[np.float64],
    degrees: float | NDArray[np.float64],
    *,
    level: float = SIGNIFICANCE,
) -> NDArray[np.int64]:
    """Groups of systems that do not differ significantly from the best of their group.

    The best system opens the first group; those that follow it, down to the last one before the
    first that is significantly worse, belong to it; that one opens the next group. The test is the
    paired t-test, which agrees with the randomisation test on retrieval scores (Smucker et al.,
    CIKM 2007) and needs no resamples for each of the many pairs; p-values of a group's best with
    all that stand below it are corrected by Holm.

    Args:
        means: (systems,), NaN for a system that belongs to no group.
        variances: Of the differences of means of two systems, (systems, systems).
        degrees: Their degrees of freedom, one for all or (systems, systems).
        level: Largest p that counts as significant.

    Returns:
        int64 (systems,), from 0; -1 for a system without a mean.
    """
    found = np.full(len(means), -1)
    freedom = np.broadcast_to(np.asarray(degrees, np.float64), variances.shape)
    waiting = np.argsort(-means, kind="stable")[: np.count_nonzero(~np.isnan(means))]
    group = 0
    while len(waiting):
        best, rest = waiting[0], waiting[1:]
        difference = means[best] - means[rest]
        p = holm(_p_values(difference, variances[best, rest], freedom[best, rest]))
        worse = np.flatnonzero(p <= level)
        end = worse[0] if len(worse) else len(rest)
        found[best] = found[rest[:end]] = group
        waiting = rest[end:]
        group += 1
    return found


def difference_variances(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variances of the differences of two systems' means, (systems, systems).

    Args:
        covariance: Of the means, (systems, systems).
    """
    own = covariance.diagonal()
    return np.maximum(own[:, None] + own[None, :] - 2 * covariance, 0.0)


def _p_values(
    differences: NDArray[np.float64],
    variance: NDArray[np.float64],
    degrees: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Two-sided; a difference that is the same in every query is certain, 1 where none is known."""
    # Rounding leaves a rest of the variance of systems that are equal in every query.
    error = np.sqrt(np.where(variance > 1e-14, variance, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = differences / error
    p = 2 * t.sf(np.abs(statistic), degrees)
    return np.where((np.abs(differences) <= 1e-12) | np.isnan(variance), 1.0, p)
