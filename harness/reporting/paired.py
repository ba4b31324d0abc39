"""Two results query by query: which queries both have, and how their scores differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.metrics import NAMES, QueryMetrics
from harness.evaluation.task_texts import Place
from harness.statistics.bootstrap import interval, ratios, resampled_means
from harness.statistics.paired import without_rounding
from harness.statistics.significance import stratified_randomisation


@dataclass(frozen=True, eq=False)
class PlacePair:
    """One metric of two results on the queries of one place that both have.

    Attributes:
        place: Split and subset.
        query_ids: The queries, ascending.
        first: The first result's scores, float64 (queries,).
        second: The second's.
    """

    place: Place
    query_ids: tuple[str, ...]
    first: NDArray[np.float64]
    second: NDArray[np.float64]

    @property
    def differences(self) -> NDArray[np.float64]:
        """Second less first, 0 where they differ by rounding alone: float64 (queries,)."""
        return without_rounding(self.second - self.first)


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """How the second of two results differs from the first, on the queries of both.

    A value is the mean over a task's places of the means over their queries, as mteb has it, and
    of several tasks the mean of theirs.

    Attributes:
        queries: How many there are.
        first: The first result's value.
        second: The second's.
        difference: Second less first.
        difference_low: Lower end of its 95 % interval: paired bootstrap within places.
        difference_high: Upper end.
        ratio: Second over first, of several tasks the mean of theirs; None where a first value is
            not above 0.
        ratio_low: Lower end of its 95 % interval; None where the ratio is.
        ratio_high: Upper end.
        p: Of no difference, by paired randomisation.
        wins: Queries on which the second is better.
        ties: Queries on which they are equal.
        losses: Queries on which the second is worse.
    """

    queries: int
    first: float
    second: float
    difference: float
    difference_low: float
    difference_high: float
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    p: float
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class QueryPair:
    """One query's scores.

    Attributes:
        place: Split and subset.
        query_id: The query.
        first: The first result's score.
        second: The second's.
        difference: Second less first.
    """

    place: Place
    query_id: str
    first: float
    second: float
    difference: float


def pair_queries(
    first: Mapping[Place, QueryMetrics], second: Mapping[Place, QueryMetrics], metric: str
) -> list[PlacePair]:
    """The scores of two results on the queries that both have, place by place.

    Args:
        first: A result's metrics.
        second: Another's.
        metric: One of `NAMES`.

    Returns:
        Places in ascending order, those without a shared query left out.
    """
    column = NAMES.index(metric)
    pairs = []
    for place in sorted(first.keys() & second.keys()):
        rows = [
            {name: row for row, name in enumerate(one[place].query_ids)} for one in (first, second)
        ]
        shared = sorted(rows[0].keys() & rows[1].keys())
        if shared:
            scores = [
                one[place].values[[own[name] for name in shared], column]
                for one, own in zip((first, second), rows, strict=True)
            ]
            pairs.append(PlacePair(place, tuple(shared), *scores))
    return pairs


def contrast(tasks: Sequence[Sequence[PlacePair]]) -> Contrast:
    """Contrast two results on one task, or on several as the mean over them.

    Args:
        tasks: The pairs of each task's places; at least one task, each with at least one place.
    """
    places = [pair for task in tasks for pair in task]
    differences = np.concatenate([pair.differences for pair in places])
    values = np.array([_value(task) for task in tasks])
    seeds = iter(range(len(places)))  # places are drawn independently of one another
    samples = [_resampled(task, [next(seeds) for _ in task]) for task in tasks]
    shares = [1 / (len(tasks) * len(task)) for task in tasks for _ in task]
    means = np.mean(samples, axis=0)
    (low,), (high,) = interval(means[:, 2:])
    ratio = ratio_low = ratio_high = None
    if (values[:, 0] > 0).all():
        ratio = float((values[:, 1] / values[:, 0]).mean())
        each = np.column_stack([ratios(one[:, 1], one[:, 0]) for one in samples])
        (ratio_low,), (ratio_high,) = interval(each.mean(axis=1)[:, None])
    first, second = values.mean(axis=0)
    p = stratified_randomisation([pair.differences[:, None] for pair in places], weights=shares)
    return Contrast(
        queries=len(differences),
        first=float(first),
        second=float(second),
        difference=float(second - first),
        difference_low=float(low),
        difference_high=float(high),
        ratio=ratio,
        ratio_low=None if ratio_low is None else float(ratio_low),
        ratio_high=None if ratio_high is None else float(ratio_high),
        p=float(p[0]),
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
    )


def moved(pairs: Sequence[PlacePair], *, most: int) -> list[QueryPair]:
    """The queries whose score changes, the largest changes first, equal ones by place and id.

    Args:
        pairs: One task's places.
        most: How many are given at most.
    """
    changed = sorted(_changed(pairs), key=lambda query: -abs(query.difference))
    return changed[:most]


def losses_and_gains(
    pairs: Sequence[PlacePair], *, most: int
) -> tuple[list[QueryPair], list[QueryPair]]:
    """The largest losses and the largest gains of the second result, at most `most` of each."""
    changed = sorted(_changed(pairs), key=lambda query: query.difference)
    losses = [query for query in changed if query.difference < 0][:most]
    gains = sorted(
        (query for query in changed if query.difference > 0), key=lambda query: -query.difference
    )
    return losses, gains[:most]


def _changed(pairs: Sequence[PlacePair]) -> list[QueryPair]:
    """The queries whose score changes, by place and id."""
    return [
        QueryPair(
            pair.place,
            pair.query_ids[row],
            float(pair.first[row]),
            float(pair.second[row]),
            float(pair.second[row] - pair.first[row]),
        )
        for pair in pairs
        for row in np.flatnonzero(pair.differences)
    ]


def _value(task: Sequence[PlacePair]) -> tuple[float, float]:
    """The task's value by the first and by the second result."""
    return (
        float(np.mean([pair.first.mean() for pair in task])),
        float(np.mean([pair.second.mean() for pair in task])),
    )


def _resampled(task: Sequence[PlacePair], seeds: Sequence[int]) -> NDArray[np.floating[Any]]:
    """A task's two values and their difference in each resample: (resamples, 3)."""
    drawn = [
        resampled_means(np.column_stack([pair.first, pair.second, pair.differences]), seed=seed)
        for pair, seed in zip(task, seeds, strict=True)
    ]
    return np.asarray(np.mean(drawn, axis=0))
