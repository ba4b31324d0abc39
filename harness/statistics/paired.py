"""Systems' scores on the same queries: intervals, and each one beside its reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.statistics.bootstrap import RESAMPLES, Seed, interval, ratios, resampled_means
from harness.statistics.significance import randomisation

_ROUNDING = 1e-12  # of metrics


@dataclass(frozen=True, eq=False, kw_only=True)
class PairedFigures:
    """Figures of m systems on q queries; those beside a reference are NaN, or -1, without one.

    One query alone tells of no spread: nothing but means and outcomes is known then.

    Attributes:
        means: float64 (m,).
        samples: The resampled means, float32 (resamples, m).
        low: Lower ends of the means' 95 % intervals, float64 (m,).
        high: Upper ends.
        covariance: Of the means, float64 (m, m).
        reference: The column that each is compared with, int64 (m,); -1 for none.
        share_low: Lower ends of the intervals of the ratios to the reference, float64 (m,).
        share_high: Upper ends; infinite where many resamples have nothing in the reference.
        differences: From the reference, float64 (q, m).
        p: Of no difference from the reference, by paired randomisation, float64 (m,).
        wins: Queries better than the reference, int64 (m,).
        ties: Queries that are equal.
        losses: Queries that are worse.
    """

    means: NDArray[np.float64]
    samples: NDArray[np.float32]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    covariance: NDArray[np.float64]
    reference: NDArray[np.int64]
    share_low: NDArray[np.float64]
    share_high: NDArray[np.float64]
    differences: NDArray[np.float64]
    p: NDArray[np.float64]
    wins: NDArray[np.int64]
    ties: NDArray[np.int64]
    losses: NDArray[np.int64]

    @property
    def queries(self) -> int:
        """Number of queries."""
        return len(self.differences)


def without_rounding(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences of scores, 0 where rounding alone makes them: equal rankings are a tie."""
    return np.where(np.abs(differences) <= _ROUNDING, 0.0, differences)


def paired_figures(
    values: NDArray[np.float64],
    reference: NDArray[np.int64],
    *,
    resamples: int = RESAMPLES,
    assignments: int = RESAMPLES,
    seed: Seed = 0,
) -> PairedFigures:
    """All figures of systems on the same queries, from one set of resamples.

    Args:
        values: Scores, (q, m).
        reference: The column that each is compared with, (m,); -1 for none.
        resamples: Of the bootstrap.
        assignments: Of the randomisation test.
        seed: Of both.
    """
    queries, systems = values.shape
    compared = np.flatnonzero(reference >= 0)
    samples = resampled_means(values, resamples=resamples, seed=seed)
    differences = np.full((queries, systems), np.nan)
    differences[:, compared] = values[:, compared] - values[:, reference[compared]]
    low, high, share_low, share_high, p = (np.full(systems, np.nan) for _ in range(5))
    covariance = np.full((systems, systems), np.nan)
    if queries > 1:
        low, high = interval(samples)
        covariance = np.atleast_2d(np.cov(values, rowvar=False)) / queries
        if len(compared):
            p[compared] = randomisation(differences[:, compared], resamples=assignments, seed=seed)
            shares = ratios(samples[:, compared], samples[:, reference[compared]])
            share_low[compared], share_high[compared] = interval(shares)
    signs = np.sign(without_rounding(differences))
    outcomes = [np.where(reference >= 0, (signs == sign).sum(axis=0), -1) for sign in (1, 0, -1)]
    return PairedFigures(
        means=values.mean(axis=0),
        samples=samples,
        low=low,
        high=high,
        covariance=covariance,
        reference=reference,
        share_low=share_low,
        share_high=share_high,
        differences=differences,
        p=p,
        wins=outcomes[0],
        ties=outcomes[1],
        losses=outcomes[2],
    )
