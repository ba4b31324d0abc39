"""Whether a metric fell: an absolute tolerance, and a paired test of the queries below it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.regression.check import Verdict
from harness.regression.snapshot import Score
from harness.statistics.bootstrap import RESAMPLES
from harness.statistics.significance import holm, paired_randomisation

ERRORS = frozenset(("mse", "mae", "rmse"))  # metrics of which less is better


@dataclass(frozen=True, kw_only=True)
class QualityRule:
    """When a fall of a metric is a regression.

    Two checks look at every fall, and it passes only where both of them let it pass:

    - the tolerance: a fall of more than it alarms, whatever the test says. It bounds what any
      change may cost, also on a task with few queries or with no values of single queries, and
      also where one query alone fell.
    - the paired test: a smaller fall alarms where it is above the noise floor and the paired
      randomisation test over the queries finds it significant, after Holm's correction over all
      tests of the run. It finds what is small and consistent: many queries that each lose a little.

    The same configuration on the same data has the same scores; other batches and threads only
    round differently, so that documents whose scores nearly tie change places, in a few queries
    and in either direction. That stays far below the tolerance; of n queries that moved even all
    falls together have p = 2/2ⁿ, so that fewer than eight are never significant by default; and
    the floor catches what the test would call significant by chance.

    Attributes:
        tolerance: The largest fall that may pass, in the metric's units.
        tolerances: Metric to its own tolerance.
        noise_floor: A fall up to this passes where it is within the tolerance.
        significance: Largest corrected p that counts as significant.
    """

    tolerance: float = 0.005
    tolerances: Mapping[str, float] = field(default_factory=dict)
    noise_floor: float = 0.001
    significance: float = 0.01

    def allowed(self, metric: str) -> float:
        """The tolerance of a metric."""
        return self.tolerances.get(metric, self.tolerance)

    def judge(
        self, metric: str, before: float | None, now: float | None, p: float | None
    ) -> Verdict:
        """Judge one metric.

        Args:
            metric: mteb's name.
            before: The baseline's value; None where it was no number.
            now: The run's value. One that is no number any more is a regression.
            p: Of the paired test, corrected; None where there are no values of single queries.
        """
        if before is None or now is None:
            if before is now:
                return Verdict.EQUAL
            return Verdict.BETTER if before is None else Verdict.REGRESSION
        fell = now - before if metric in ERRORS else before - now
        if fell <= 0:
            return Verdict.BETTER if fell else Verdict.EQUAL
        significant = p is not None and p <= self.significance
        if _above(fell, self.allowed(metric)) or (significant and _above(fell, self.noise_floor)):
            return Verdict.REGRESSION
        return Verdict.WITHIN


def paired_p(pairs: Sequence[tuple[Score, Score]], significance: float) -> list[float | None]:
    """Holm-corrected p-values of no difference, of one family; None where queries are not the same.

    Args:
        pairs: A metric before and now.
        significance: The corrected p that must be within reach, by so many resamples.
    """
    resamples = max(RESAMPLES, math.ceil(2 * len(pairs) / significance))
    raw = [_p(before, now, resamples) for before, now in pairs]
    known = [p for p in raw if p is not None]
    corrected = iter(holm(np.array(known)).tolist())
    return [None if p is None else next(corrected) for p in raw]


def differences(before: Score, now: Score) -> NDArray[np.float64] | None:
    """Each query's value now less that before, (queries,) in the order of the ids.

    None where the queries are not the same, or there are none.
    """
    if not before.queries or before.queries.keys() != now.queries.keys():
        return None
    ids = sorted(before.queries)
    return np.array([now.queries[query] - before.queries[query] for query in ids])


def _p(before: Score, now: Score, resamples: int) -> float | None:
    found = differences(before, now)
    if found is None:
        return None
    moved = found[found != 0]  # a query that stayed adds nothing to any assignment of signs
    if not len(moved):
        return 1.0
    return paired_randomisation(moved, np.zeros_like(moved), resamples=resamples)


def _above(fell: float, limit: float) -> bool:
    """Whether a fall exceeds a limit, the rounding of their decimals aside."""
    return fell > limit and not math.isclose(fell, limit, rel_tol=1e-9, abs_tol=1e-12)
