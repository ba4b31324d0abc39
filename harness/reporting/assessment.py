"""How sure a figure is: its interval, its share of dense with a verdict, its group, its fronts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from harness.reporting.collect import Entry
from harness.reporting.costs import QUERIES, cost_shares, shown_costs
from harness.reporting.query_scores import query_scores
from harness.reporting.systems import DenseKey, System, TaskPlace, space_of
from harness.statistics.bootstrap import RESAMPLES
from harness.statistics.paired import PairedFigures, paired_figures
from harness.statistics.pareto import on_front
from harness.statistics.ranks import difference_variances, groups
from harness.statistics.verdict import THRESHOLD, verdict

FRONT_COSTS = ("query_flops", "latency_p50_ms", "index_bytes")


@dataclass(frozen=True, kw_only=True)
class Share:
    """A figure beside that of dense of the same model.

    Attributes:
        value: Over dense's.
        low: Lower end of its 95 % interval; None where no scores of queries are known.
        high: Upper end.
        verdict: Whether it reaches the threshold; None without an interval.
        p: Of no difference from dense, by paired randomisation; corrected by Holm within the
            model's configuration.
        wins: Queries on which it is better than dense.
        ties: Queries on which they are equal.
        losses: Queries on which it is worse.
        tasks: Number of tasks that it is the mean over.
    """

    value: float
    low: float | None = None
    high: float | None = None
    verdict: str | None = None
    p: float | None = None
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None
    tasks: int = 1


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """A system's value at one place, or its mean.

    Attributes:
        low: Lower end of its 95 % interval.
        high: Upper end.
        share: Of dense; None for dense itself and without dense.
        group: A letter; systems of one do not differ significantly from its best.
        front: The costs on whose Pareto front it lies, of `FRONT_COSTS`.
        costs: Its figures, see `shown_costs`.
        cost_shares: Those over dense's of the same model; empty for dense and without dense.
    """

    low: float | None = None
    high: float | None = None
    share: Share | None = None
    group: str = ""
    front: tuple[str, ...] = ()
    costs: Mapping[str, float | None] = field(default_factory=dict)
    cost_shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Scored:
    """Systems that were scored on the same queries at one place.

    Attributes:
        systems: Their numbers, int64 (m,).
        figures: Their figures.
    """

    systems: NDArray[np.int64]
    figures: PairedFigures


@dataclass(frozen=True, eq=False)
class Assessed:
    """All systems at one place.

    Attributes:
        place: The place.
        assessments: By number of the system; p-values are not corrected yet.
        scored: What they are from, a set of queries each, that of most systems first.
        faults: One line for each file of scores that could not be read.
    """

    place: TaskPlace
    assessments: dict[int, Assessment]
    scored: list[Scored] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def assess(
    systems: Sequence[System],
    place: TaskPlace,
    dense_entries: Mapping[DenseKey, Entry],
    *,
    threshold: float = THRESHOLD,
    queries: int = QUERIES,
    resamples: int = RESAMPLES,
    assignments: int = RESAMPLES,
    seed: int = 0,
) -> Assessed:
    """Assess every system that has a result at a place.

    Places are drawn independently of one another, whichever others there are.

    Args:
        systems: All systems of a leaderboard.
        place: One task's split, subset, metric and data.
        dense_entries: See `dense_entries`.
        threshold: What a share of dense is to reach.
        queries: See `shown_costs`.
        resamples: Of the bootstrap.
        assignments: Of the randomisation test.
        seed: Of both.
    """
    members = np.array([n for n, system in enumerate(systems) if place in system.entries])
    entries = [systems[number].entries[place] for number in members]
    numbers = {id(entry): number for number, entry in enumerate(entries)}
    partners = [dense_entries.get((place, *space_of(entry))) for entry in entries]
    dense = [-1 if one is None else numbers[id(one)] for one in partners]
    costs = [shown_costs(entry.row, queries=queries) for entry in entries]
    found = {
        number: Assessment(costs=costs[number])
        if dense[number] in (number, -1)
        else Assessment(
            share=_share(entries[number]),
            costs=costs[number],
            cost_shares=cost_shares(costs[number], costs[dense[number]]),
        )
        for number in range(len(entries))
    }
    scored: list[Scored] = []
    faults: list[str] = []
    for group in query_scores(entries, faults):
        column = {member: number for number, member in enumerate(group.members)}
        reference = [
            -1 if dense[member] == member else column.get(dense[member], -1)
            for member in group.members
        ]
        figures = paired_figures(
            group.values,
            np.array(reference),
            resamples=resamples,
            assignments=assignments,
            seed=[seed, place.number],
        )
        letters = _letters(figures) if not scored else [""] * len(column)
        for number, member in enumerate(group.members):
            found[member] = _with_figures(
                found[member], figures, number, letters[number], threshold=threshold
            )
        scored.append(Scored(members[group.members], figures))
    for number, front in fronts(
        [entry.row.value for entry in entries],
        {name: [each[name] for each in costs] for name in FRONT_COSTS},
    ).items():
        found[number] = replace(found[number], front=front)
    return Assessed(place, {int(members[n]): one for n, one in found.items()}, scored, faults)


def fronts(
    quality: Sequence[float | None], costs: Mapping[str, Sequence[float | None]]
) -> dict[int, tuple[str, ...]]:
    """The costs on whose Pareto front each point lies; a point without a figure is on none.

    Equal points are on a front together.

    Args:
        quality: A point's quality.
        costs: Name to each point's cost.
    """
    values = np.array([np.nan if one is None else one for one in quality], np.float64)
    found: dict[int, tuple[str, ...]] = dict.fromkeys(range(len(values)), ())
    for name, figures in costs.items():
        cost = np.array([np.nan if one is None else one for one in figures], np.float64)
        known = np.flatnonzero(~(np.isnan(values) | np.isnan(cost)))
        front = on_front(cost[known], values[known])
        best = set(zip(cost[known][front], values[known][front], strict=True))
        for number in known:
            if (cost[number], values[number]) in best:
                found[int(number)] += (name,)
    return found


def letter(number: int) -> str:
    """a, b, … z, aa, ab, … as spreadsheets name columns; nothing for -1."""
    if number < 0:
        return ""
    higher, lowest = divmod(number, 26)
    return letter(higher - 1) + chr(ord("a") + lowest)


def _share(entry: Entry) -> Share | None:
    return None if entry.row.ratio is None else Share(value=entry.row.ratio)


def _letters(figures: PairedFigures) -> list[str]:
    if figures.queries < 2:
        return [""] * len(figures.means)
    variances = difference_variances(figures.covariance)
    return [letter(n) for n in groups(figures.means, variances, figures.queries - 1)]


def _with_figures(
    assessment: Assessment,
    figures: PairedFigures,
    column: int,
    group: str,
    *,
    threshold: float,
) -> Assessment:
    share = assessment.share
    if share is not None and figures.wins[column] >= 0:
        share = replace(
            with_interval(share, figures.share_low[column], figures.share_high[column], threshold),
            p=number_or_none(figures.p[column]),
            wins=int(figures.wins[column]),
            ties=int(figures.ties[column]),
            losses=int(figures.losses[column]),
        )
    return replace(
        assessment,
        low=number_or_none(figures.low[column]),
        high=number_or_none(figures.high[column]),
        share=share,
        group=group,
    )


def with_interval(share: Share, low: float, high: float, threshold: float) -> Share:
    """A share with its interval and verdict; an interval without an upper end is not shown.

    Args:
        share: The share.
        low: Lower end; NaN where none is known.
        high: Upper end; infinite where dense has nothing in many resamples.
        threshold: What the share is to reach.
    """
    if np.isnan(low):
        return share
    found = verdict(low, high, threshold)
    if np.isinf(high):
        return replace(share, verdict=found)
    return replace(share, low=float(low), high=float(high), verdict=found)


def number_or_none(value: float) -> float | None:
    """A number; None for NaN."""
    return None if np.isnan(value) else float(value)
