"""Systems over several tasks: means, ranks, and the macro share of dense."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.reporting.assessment import FRONT_COSTS, Assessed, Share, fronts, letter
from harness.reporting.collect import Entry
from harness.reporting.costs import QUERIES, SHOWN_COSTS, shown_costs
from harness.reporting.systems import System, TaskPlace
from harness.statistics.bootstrap import RESAMPLES, interval
from harness.statistics.ranks import borda_counts, groups, ranks
from harness.statistics.significance import stratified_randomisation
from harness.statistics.verdict import THRESHOLD, verdict


@dataclass(frozen=True, kw_only=True)
class Overall:
    """One system over the tasks of a leaderboard, or of one type.

    Attributes:
        mean: Mean over tasks of the mean over a task's places; None where a task is missing.
        low: Lower end of its 95 % interval, resampled within each task; None where there is no mean
            or scores of queries are missing.
        high: Upper end.
        missing: Number of tasks without a value at every place.
        tasks: Number of tasks.
        borda: Borda count, see `borda_counts`; None without any task.
        rank: By mean.
        rank_borda: By Borda count.
        group: As `Assessment.group`, of the means; empty where scores of queries are missing.
        share: Mean over the tasks that have it of the mean share of dense over a task's places.
        costs: Means over places; None where a task is missing or lacks the figure.
        front: The costs on whose Pareto front it lies.
    """

    mean: float | None
    low: float | None
    high: float | None
    missing: int
    tasks: int
    borda: float | None
    rank: int | None
    rank_borda: int | None
    group: str
    share: Share | None
    costs: dict[str, float | None]
    front: tuple[str, ...] = ()


class OverallSums:
    """Gathers what places tell of systems, so that no place's resamples need be kept."""

    def __init__(
        self,
        systems: Sequence[System],
        places: Sequence[TaskPlace],
        *,
        queries: int = QUERIES,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> None:
        """Weigh the places: tasks alike, and alike the places within a task.

        Args:
            systems: All systems of a leaderboard.
            places: The places that count here, of one type or all.
            queries: See `shown_costs`.
            resamples: As in `assess`.
            seed: As in `assess`.
        """
        self._systems = systems
        self._places = list(places)
        self._queries, self._resamples, self._seed = queries, resamples, seed
        names = [(place.task, place.dataset_revision) for place in places]
        self._tasks = list(dict.fromkeys(names))
        # float64 (places, tasks): a place's share of its task.
        of_task = np.array([[name == task for task in self._tasks] for name in names], np.float64)
        self._of_task = of_task / of_task.sum(axis=0)
        self._values = self._figures(lambda entry: entry.row.value)
        shares = self._figures(lambda entry: entry.row.ratio)
        for number, system in enumerate(systems):
            if system.row.kind == "dense":  # a share of itself
                shares[number] = np.nan
        self._shares = _over(shares, self._of_task)
        known = ~np.isnan(self._shares)
        counts = np.maximum(known.sum(axis=1, keepdims=True), 1)
        # float64 (systems, places): weights in the macro share.
        self._weights = (known / counts) @ self._of_task.T
        self._sums = np.zeros((resamples, len(systems)), np.float32)
        self._mean_sums = np.zeros((resamples, len(systems)), np.float32)
        self._sampled = np.zeros((len(systems), len(places)), np.bool_)
        self._differences: dict[tuple[int, int], tuple[NDArray[np.float64], NDArray[np.int64]]] = {}
        self._outcomes = np.zeros((3, len(systems)), np.int64)
        self._covariance = np.zeros((len(systems), len(systems)))
        self._degrees = 0
        self._scored = np.zeros((len(systems), len(places)), np.bool_)
        # The set of queries, by number, on which a system is compared with dense at a place.
        self._compared_in = np.full((len(systems), len(places)), -1)

    def add(self, assessed: Assessed) -> None:
        """Add a place; one that does not count here is left out."""
        if assessed.place not in self._places:
            return
        place = self._places.index(assessed.place)
        for number, scored in enumerate(assessed.scored):
            figures, rows = scored.figures, scored.systems
            self._scored[rows, place] = True
            self._mean_sums[:, rows] += figures.samples * np.float32(self._weight(place))
            compared = figures.wins >= 0
            rows = rows[compared]
            self._compared_in[rows, place] = number
            weights = self._weights[rows, place]
            self._sums[:, rows] += figures.share_samples[:, compared] * weights.astype(np.float32)
            self._sampled[rows, place] = ~np.isnan(figures.share_low[compared])
            self._differences[place, number] = figures.differences[:, compared], rows
            counted = weights > 0
            for sums, values in zip(
                self._outcomes, (figures.wins, figures.ties, figures.losses), strict=True
            ):
                sums[rows[counted]] += values[compared][counted]
        covariance = np.full_like(self._covariance, np.nan)
        if assessed.scored:
            first = assessed.scored[0]
            covariance[np.ix_(first.systems, first.systems)] = first.figures.covariance
            self._degrees += len(first.figures.differences) - 1
        self._covariance += self._weight(place) ** 2 * covariance

    def _weight(self, place: int) -> float:
        """A place's weight in the mean over tasks."""
        return float(self._of_task[place].sum() / len(self._tasks))

    def overall(self, *, threshold: float = THRESHOLD) -> list[Overall | None]:
        """Every system's figures, None for one without a result here; p is not corrected yet."""
        tasks = _over(self._values, self._of_task)
        present: NDArray[np.bool_] = np.asarray(~np.isnan(tasks).all(axis=1))
        means = tasks.mean(axis=1)
        borda = np.where(present, borda_counts(tasks), np.nan)
        by_mean, by_borda = ranks(means), ranks(borda)
        letters = self._letters(means)
        costs = self._costs(means)
        front = fronts(
            [_number(mean) for mean in means],
            {name: [cost[name] for cost in costs] for name in FRONT_COSTS},
        )
        shares = self._macro_shares(threshold)
        low, high = interval(self._mean_sums)
        unscored = np.isnan(means) | (~self._scored).any(axis=1)
        low[unscored] = high[unscored] = np.nan
        return [
            Overall(
                mean=_number(means[n]),
                low=_number(low[n]),
                high=_number(high[n]),
                missing=int(np.isnan(tasks[n]).sum()),
                tasks=len(self._tasks),
                borda=_number(borda[n]),
                rank=_whole(by_mean[n]),
                rank_borda=_whole(by_borda[n]),
                group=letters[n],
                share=shares[n],
                costs=costs[n],
                front=front[n],
            )
            if present[n]
            else None
            for n in range(len(self._systems))
        ]

    def _letters(self, means: NDArray[np.float64]) -> list[str]:
        testable = ~np.isnan(means) & ~np.isnan(self._covariance.diagonal())
        if self._degrees < 1 or len(self._systems) < 2:
            return [""] * len(means)
        tested = np.where(testable, means, np.nan)
        return [letter(group) for group in groups(tested, self._covariance, self._degrees)]

    def _costs(self, means: NDArray[np.float64]) -> list[dict[str, float | None]]:
        figures = np.full((len(SHOWN_COSTS), len(self._systems), len(self._places)), np.nan)
        for number, system in enumerate(self._systems):
            for column, place in enumerate(self._places):
                if place in system.entries:
                    row = system.entries[place].row
                    known = shown_costs(row, queries=self._queries).values()
                    figures[:, number, column] = [np.nan if v is None else v for v in known]
        averages = np.where(np.isnan(means), np.nan, figures.mean(axis=2))
        return [
            {name: _number(value) for name, value in zip(SHOWN_COSTS, column, strict=True)}
            for column in averages.T
        ]

    def _macro_shares(self, threshold: float) -> list[Share | None]:
        known: NDArray[np.bool_] = ~np.isnan(self._shares)
        low, high = interval(self._sums)
        counted = self._weights > 0
        p = self._p_values(counted)
        found: list[Share | None] = []
        for number in range(len(self._systems)):
            tasks = int(known[number].sum())
            if not tasks:
                found.append(None)
                continue
            value = float(self._shares[number][known[number]].mean())
            if not (self._sampled[number] | ~counted[number]).all() or np.isnan(low[number]):
                found.append(Share(value=value, tasks=tasks))
                continue
            ends = float(low[number]), float(high[number])
            wins, ties, losses = (int(count) for count in self._outcomes[:, number])
            found.append(
                Share(
                    value=value,
                    low=ends[0],
                    high=ends[1],
                    verdict=verdict(*ends, threshold),
                    p=_number(p[number]),
                    wins=wins,
                    ties=ties,
                    losses=losses,
                    tasks=tasks,
                )
            )
        return found

    def _p_values(self, counted: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Systems with scores on the same queries at the same places are tested together."""
        alike: dict[tuple[tuple[int, int], ...], list[int]] = defaultdict(list)
        for number, places in enumerate(counted):
            at = np.flatnonzero(places)
            groups_at = self._compared_in[number, at]
            if len(at) and (groups_at >= 0).all():
                alike[tuple(zip(at.tolist(), groups_at.tolist(), strict=True))].append(number)
        p = np.full(len(self._systems), np.nan)
        for where, members in alike.items():
            strata = []
            for key in where:
                differences, rows = self._differences[key]
                strata.append(differences[:, np.searchsorted(rows, members)])
            weights = [self._weights[members[0], place] for place, _ in where]
            p[members] = stratified_randomisation(
                strata, weights=weights, resamples=self._resamples, seed=self._seed
            )
        return p

    def _figures(self, of: Callable[[Entry], float | None]) -> NDArray[np.float64]:
        """float64 (systems, places); NaN where a figure is missing."""
        figures = np.full((len(self._systems), len(self._places)), np.nan)
        for number, system in enumerate(self._systems):
            for column, place in enumerate(self._places):
                if place in system.entries:
                    value = of(system.entries[place])
                    figures[number, column] = np.nan if value is None else value
        return figures


def _over(figures: NDArray[np.float64], of_task: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over each task's places, NaN where one is missing: (systems, tasks)."""
    missing = np.isnan(figures) @ (of_task > 0)
    return np.where(missing > 0, np.nan, np.nan_to_num(figures) @ of_task)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _whole(value: float) -> int | None:
    return None if np.isnan(value) else int(value)
