"""Systems over several tasks: means, ranks, and the macro share of dense."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.reporting.assessment import (
    FRONT_COSTS,
    Assessed,
    Share,
    fronts,
    letter,
    number_or_none,
    with_interval,
)
from harness.reporting.collect import Entry
from harness.reporting.costs import QUERIES, SHOWN_COSTS, shown_costs
from harness.reporting.systems import DenseKey, System, TaskPlace, space_of
from harness.statistics.bootstrap import RESAMPLES, interval, ratios
from harness.statistics.ranks import borda_counts, difference_variances, groups, ranks
from harness.statistics.significance import stratified_randomisation
from harness.statistics.verdict import THRESHOLD


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
        group: As `Assessment.group`, of the means; empty where scores of queries are missing, or a
            place has one query alone.
        share: Mean over the tasks that have it of a task's value over dense's, each the mean over
            its places.
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
        dense: Mapping[DenseKey, Entry],
        *,
        queries: int = QUERIES,
        resamples: int = RESAMPLES,
        assignments: int = RESAMPLES,
        seed: int = 0,
    ) -> None:
        """Weigh the places: tasks alike, and alike the places within a task.

        Args:
            systems: All systems of a leaderboard.
            places: The places that count here, of one type or all.
            dense: See `dense_entries`.
            queries: See `shown_costs`.
            resamples: As in `assess`.
            assignments: As in `assess`.
            seed: As in `assess`.
        """
        self._systems = systems
        self._places = {place: number for number, place in enumerate(places)}
        self._queries, self._assignments, self._seed = queries, assignments, seed
        names = [(place.task, place.dataset_revision) for place in places]
        tasks = {name: number for number, name in enumerate(dict.fromkeys(names))}
        self._task_of = [tasks[name] for name in names]
        # float64 (places, tasks): a place's share of its task.
        of_task = np.zeros((len(names), len(tasks)))
        of_task[range(len(names)), self._task_of] = 1
        self._of_task = of_task / of_task.sum(axis=0)
        self._open = [self._task_of.count(task) for task in range(len(tasks))]
        self._sums: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        self._values = self._figures(lambda place, entry: entry.row.value)

        def of_dense(place: TaskPlace, entry: Entry) -> float | None:
            other = dense.get((place, *space_of(entry)))
            return None if other is None or other is entry else other.row.value

        self._dense = self._figures(of_dense)
        task_values = _over(np.where(np.isnan(self._dense), np.nan, self._values), self._of_task)
        task_dense = _over(self._dense, self._of_task)
        # float64 (systems, tasks): a task's value over dense's.
        self._shares = np.full(task_values.shape, np.nan)
        np.divide(task_values, task_dense, out=self._shares, where=task_dense > 0)
        known = ~np.isnan(self._shares)
        counts = np.maximum(known.sum(axis=1, keepdims=True), 1)
        # float64 (systems, places): weights in the macro share.
        self._weights = (known / counts) @ self._of_task.T
        self._task_weights = known / counts
        shape = len(systems), len(names)
        self._share_sums = np.zeros((resamples, len(systems)), np.float32)
        self._mean_sums = np.zeros((resamples, len(systems)), np.float32)
        self._scored = np.zeros(shape, np.bool_)
        # The set of queries, by number, on which a system is compared with dense at a place.
        self._compared_in = np.full(shape, -1)
        self._differences: dict[tuple[int, int], tuple[NDArray[np.float64], NDArray[np.int64]]] = {}
        self._outcomes = np.zeros((3, len(systems)), np.int64)
        self._variances = np.zeros((len(systems), len(systems)))
        self._squares = np.zeros((len(systems), len(systems)))

    def add(self, assessed: Assessed) -> None:
        """Add a place; one that does not count here is left out."""
        place = self._places.get(assessed.place)
        if place is None:
            return
        weight = float(self._of_task[place].sum() / self._of_task.shape[1])
        task = self._task_of[place]
        if task not in self._sums:
            empty = np.zeros_like(self._share_sums)
            self._sums[task] = empty, empty.copy()
        above, below = self._sums[task]
        for number, scored in enumerate(assessed.scored):
            figures, rows = scored.figures, scored.systems
            enough = figures.queries > 1
            self._scored[rows, place] = enough
            self._mean_sums[:, rows] += figures.samples * np.float32(weight)
            compared = figures.reference >= 0
            others = figures.reference[compared]
            rows = rows[compared]
            above[:, rows] += figures.samples[:, compared]
            below[:, rows] += figures.samples[:, others]
            self._compared_in[rows, place] = number if enough else -1
            self._differences[place, number] = figures.differences[:, compared], rows
            counted = self._weights[rows, place] > 0
            for sums, values in zip(
                self._outcomes, (figures.wins, figures.ties, figures.losses), strict=True
            ):
                sums[rows[counted]] += values[compared][counted]
        self._add_variances(assessed, weight)
        self._open[task] -= 1
        if not self._open[task]:
            del self._sums[task]
            weights = self._task_weights[:, task].astype(np.float32)
            counted = np.flatnonzero(weights)
            shares = ratios(above[:, counted], below[:, counted])
            self._share_sums[:, counted] += shares * weights[counted]

    def _add_variances(self, assessed: Assessed, weight: float) -> None:
        """Variances of differences of means, and what tells their degrees of freedom."""
        variances = np.full_like(self._variances, np.nan)
        degrees = 1
        if assessed.scored:
            first = assessed.scored[0]
            here = difference_variances(first.figures.covariance)
            variances[np.ix_(first.systems, first.systems)] = weight**2 * here
            degrees = max(first.figures.queries - 1, 1)
        self._variances += variances
        self._squares += variances**2 / degrees

    def overall(self, *, threshold: float = THRESHOLD) -> list[Overall | None]:
        """Every system's figures, None for one without a result here; p is not corrected yet."""
        tasks = _over(self._values, self._of_task)
        present: NDArray[np.bool_] = np.asarray(~np.isnan(self._values).all(axis=1))
        means = tasks.mean(axis=1)
        borda = np.where(present, borda_counts(tasks), np.nan)
        by_mean, by_borda = ranks(means), ranks(borda)
        letters = self._letters(means)
        costs = self._costs(means)
        front = fronts(
            [number_or_none(mean) for mean in means],
            {name: [cost[name] for cost in costs] for name in FRONT_COSTS},
        )
        shares = self._macro_shares(threshold)
        low, high = interval(self._mean_sums)
        unscored = np.isnan(means) | (~self._scored).any(axis=1)
        low[unscored] = high[unscored] = np.nan
        return [
            Overall(
                mean=number_or_none(means[n]),
                low=number_or_none(low[n]),
                high=number_or_none(high[n]),
                missing=int(np.isnan(tasks[n]).sum()),
                tasks=tasks.shape[1],
                borda=number_or_none(borda[n]),
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
        tested = np.where(np.isnan(self._variances.diagonal()), np.nan, means)
        if np.count_nonzero(~np.isnan(tested)) < 2:
            return [""] * len(means)
        with np.errstate(divide="ignore", invalid="ignore"):
            # Welch and Satterthwaite's: tasks differ in size and in spread.
            degrees = self._variances**2 / self._squares
        degrees = np.where(np.isfinite(degrees), degrees, 1.0)
        return [letter(group) for group in groups(tested, self._variances, degrees)]

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
            {name: number_or_none(value) for name, value in zip(SHOWN_COSTS, column, strict=True)}
            for column in averages.T
        ]

    def _macro_shares(self, threshold: float) -> list[Share | None]:
        known: NDArray[np.bool_] = ~np.isnan(self._shares)
        counted = self._weights > 0
        low, high = interval(self._share_sums)
        low[((self._compared_in < 0) & counted).any(axis=1)] = np.nan
        p = self._p_values(counted)
        found: list[Share | None] = []
        for number in range(len(self._systems)):
            tasks = int(known[number].sum())
            if not tasks:
                found.append(None)
                continue
            share = Share(value=float(self._shares[number][known[number]].mean()), tasks=tasks)
            if not np.isnan(low[number]):
                wins, ties, losses = (int(count) for count in self._outcomes[:, number])
                share = replace(
                    with_interval(share, low[number], high[number], threshold),
                    p=number_or_none(p[number]),
                    wins=wins,
                    ties=ties,
                    losses=losses,
                )
            found.append(share)
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
                strata, weights=weights, resamples=self._assignments, seed=self._seed
            )
        return p

    def _figures(self, of: Callable[[TaskPlace, Entry], float | None]) -> NDArray[np.float64]:
        """float64 (systems, places); NaN where a figure is missing."""
        figures = np.full((len(self._systems), len(self._places)), np.nan)
        for number, system in enumerate(self._systems):
            for place, entry in system.entries.items():
                if place in self._places:
                    value = of(place, entry)
                    figures[number, self._places[place]] = np.nan if value is None else value
        return figures


def _over(figures: NDArray[np.float64], of_task: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over each task's places, NaN where one is missing: (systems, tasks)."""
    missing = np.isnan(figures) @ (of_task > 0)
    return np.where(missing > 0, np.nan, np.nan_to_num(figures) @ of_task)


def _whole(value: float) -> int | None:
    return None if np.isnan(value) else int(value)
