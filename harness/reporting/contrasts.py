"""Two runs on the tasks of both: what can be compared, and the comparison of each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadInputError
from harness.evaluation.metrics import DEPTHS, METRICS, NAMES, PER_QUERY_FILE, QueryMetrics
from harness.evaluation.results import StoredResult, details_folder
from harness.evaluation.task_texts import Place
from harness.reporting.paired import Contrast, PlacePair, QueryPair, contrast, moved, pair_queries
from harness.reporting.query_facts import QueryFacts, QueryKey, query_facts, read_metrics
from harness.statistics.significance import holm
from harness.text import listed

Results = Mapping[str, StoredResult]


@dataclass(frozen=True)
class MovedQuery:
    """A query whose value differs, and what each run made of it."""

    scores: QueryPair
    first: QueryFacts
    second: QueryFacts


@dataclass(frozen=True, eq=False)
class TaskContrast:
    """Two runs on one task.

    Attributes:
        task: Its name.
        experiments: The folders of the two results.
        metric: mteb's name of the metric.
        figures: How they differ.
        p_holm: The p-value of no difference, corrected over the tasks that are compared.
        places: How many splits and subsets were compared.
        unshared: Queries of these that only one run has, which were left out.
        differences: Of single queries, the second run less the first: float64 (queries,).
        moved: The queries that moved most, largest change first.
    """

    task: str
    experiments: tuple[str, str]
    metric: str
    figures: Contrast
    p_holm: float
    places: int
    unshared: int
    differences: NDArray[np.float64]
    moved: list[MovedQuery]


@dataclass(frozen=True, eq=False)
class RunContrast:
    """Two runs.

    Attributes:
        tasks: The tasks that were compared, by name.
        macro: Their mean; None for a single task.
        left_out: One line for each task of both that could not be compared.
    """

    tasks: list[TaskContrast]
    macro: Contrast | None
    left_out: list[str] = field(default_factory=list)


def contrast_runs(
    first: Results, second: Results, *, tasks: Sequence[str], metric: str | None, top: int
) -> RunContrast:
    """Compare two runs on some tasks, or on all that both have values of single queries of.

    Args:
        first: Results of the first run by task.
        second: Of the second.
        tasks: What is compared; all when empty.
        metric: mteb's name of a metric of single queries; None for each task's main one.
        top: How many of the queries that moved most are given of each task.

    Raises:
        BadInputError: If the runs have no task in common, lack one that was asked for, are of
            different data, or do not have the metric or any query in common.
    """
    if metric is not None and metric not in NAMES:
        raise BadInputError(
            f"metric={metric} is none of single queries; write NAME_at_K with NAME of "
            f"{', '.join(METRICS)} and K of {', '.join(map(str, DEPTHS))}"
        )
    left_out = []
    pairs: list[_Pair] = []
    for task in _chosen(first, second, tasks):
        _check_alike(task, first[task], second[task])
        unranked = _unranked(first[task]) or _unranked(second[task])
        if unranked is None:
            pairs.append(_paired(task, first[task], second[task], metric))
        elif tasks:
            raise BadInputError(f"task={task}: {unranked}")
        else:
            left_out.append(f"{task}: {unranked}")
    if not pairs:
        raise BadInputError(f"nothing to compare: {left_out[0]}")
    figures = [contrast([pair.places]) for pair in pairs]
    corrected = holm(np.array([one.p for one in figures]))
    return RunContrast(
        tasks=[
            TaskContrast(
                pair.task,
                (pair.sides[0].stored.path.parent.name, pair.sides[1].stored.path.parent.name),
                pair.metric,
                one,
                float(p),
                len(pair.places),
                sum(map(pair.unshared, pair.sides)),
                np.concatenate([place.differences for place in pair.places]),
                _moved(pair, top),
            )
            for pair, one, p in zip(pairs, figures, corrected, strict=True)
        ],
        macro=contrast([pair.places for pair in pairs]) if len(pairs) > 1 else None,
        left_out=left_out,
    )


@dataclass(frozen=True)
class _Side:
    """A result with its values of single queries."""

    stored: StoredResult
    metrics: Mapping[Place, QueryMetrics]

    @classmethod
    def of(cls, stored: StoredResult) -> _Side:
        return cls(stored, read_metrics(details_folder(stored.path)))

    def facts(self, queries: Sequence[QueryKey]) -> dict[QueryKey, QueryFacts]:
        return query_facts(details_folder(self.stored.path), queries, self.metrics)


@dataclass(frozen=True)
class _Pair:
    """Two results of one task."""

    task: str
    metric: str
    sides: tuple[_Side, _Side]
    places: list[PlacePair]

    def unshared(self, side: _Side) -> int:
        everywhere = sum(len(one.query_ids) for one in side.metrics.values())
        return everywhere - sum(len(pair.query_ids) for pair in self.places)


def _chosen(first: Results, second: Results, tasks: Sequence[str]) -> list[str]:
    shared = sorted(first.keys() & second.keys())
    for task in tasks:
        for name, run in (("run_a", first), ("run_b", second)):
            if task not in run:
                raise BadInputError(
                    f"task={task}: {name} has no result of it; both runs have: "
                    f"{listed(shared) or 'none'}"
                )
    if not shared:
        raise BadInputError(
            f"run_a and run_b have no task in common: run_a has {listed(sorted(first))}, run_b has "
            f"{listed(sorted(second))}"
        )
    return list(dict.fromkeys(tasks)) or shared


def _check_alike(task: str, first: StoredResult, second: StoredResult) -> None:
    """Refuse one result twice, and results of different data."""
    if first.path.resolve() == second.path.resolve():
        raise BadInputError(f"run_a and run_b are the same result, {first.path}; name two")
    revisions = [one.result["dataset_revision"] for one in (first, second)]
    if revisions[0] != revisions[1]:
        raise BadInputError(
            f"{task}: the data differ, so the runs cannot be compared: run_a has revision "
            f"{revisions[0]}, run_b {revisions[1]}; run the older one again"
        )


def _unranked(stored: StoredResult) -> str | None:
    """Why a result has no values of single queries; None where it has some."""
    if (details_folder(stored.path) / PER_QUERY_FILE).exists():
        return None
    return f"{stored.path} holds no values of single queries, which only tasks that rank have"


def _paired(task: str, first: StoredResult, second: StoredResult, metric: str | None) -> _Pair:
    if metric is None:
        mains = {str(one.experiment.get("main_metric")) for one in (first, second)}
        if len(mains) > 1 or not mains <= set(NAMES):
            raise BadInputError(
                f"{task}: its main metric, {' or '.join(sorted(mains))}, is none of single queries "
                "that both runs have; give one, for instance metric=ndcg_at_10"
            )
        (metric,) = mains
    sides = _Side.of(first), _Side.of(second)
    places = pair_queries(sides[0].metrics, sides[1].metrics, metric)
    if not places:
        raise BadInputError(f"{task}: run_a and run_b have no query in common")
    return _Pair(task, metric, sides, places)


def _moved(pair: _Pair, top: int) -> list[MovedQuery]:
    queries = moved(pair.places, most=top)
    keys = [(query.place, query.query_id) for query in queries]
    first, second = (side.facts(keys) for side in pair.sides)
    return [
        MovedQuery(query, first[key], second[key]) for query, key in zip(queries, keys, strict=True)
    ]
