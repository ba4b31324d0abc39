"""What a drill-down page tells of one task: its value, and its queries beside those of dense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np

from harness.evaluation.metrics import NAMES, QueryMetrics
from harness.evaluation.results import StoredResult, details_folder
from harness.evaluation.task_texts import Place
from harness.files import file_name
from harness.reporting.difference_chart import MOST_STEPS, DifferenceChart, difference_chart
from harness.reporting.drilldown_why import Why, one_line, why
from harness.reporting.figures_style import signed
from harness.reporting.paired import QueryPair, losses_and_gains, pair_queries
from harness.reporting.query_facts import FoundDocument, QueryFacts, query_facts, read_metrics
from harness.reporting.units import ABSENT, metric_name, ratio_text
from harness.text import printable

MOST_QUERIES = 10

_FEW = 3  # queries of a list: the page is of many tasks, and tells less of each
_FEW_STEPS = 60  # of a chart on such a page
_LONGEST_QUERY = 240
_LONGEST_DOCUMENT = 90
_LONGEST_ID = 60


@dataclass(frozen=True)
class Ranked:
    """A document that a result ranks for a query."""

    id: str
    text: str
    relevant: bool


@dataclass(frozen=True)
class QueryStory:
    """One query.

    Attributes:
        id: Its id, with split and subset where a task has several.
        text: Its text; empty where none is kept.
        dense: Dense's value; empty without dense.
        value: The run's.
        difference: The run's less dense's; empty without dense.
        dense_found: What dense ranks highest.
        found: What the run ranks highest.
        why: Why the run ranked so; None where nothing explains it.
    """

    id: str
    text: str
    dense: str
    value: str
    difference: str
    dense_found: list[Ranked]
    found: list[Ranked]
    why: Why | None


@dataclass(frozen=True)
class TaskStory:
    """One task.

    Attributes:
        task: Its name.
        anchor: Its place in the page, see `task_anchor`.
        metric: The main metric's name.
        value: Its value.
        dense: Dense's; absent without dense.
        share: The value over dense's; absent without dense.
        facts: How much there is, and of which data.
        wins: Queries on which the run is better than dense; None without dense.
        ties: Queries on which they are equal.
        losses: Queries on which it is worse.
        chart: The differences; None where there are none.
        lost: The queries that lose most; the reason is told of these alone.
        won: Those that gain most.
        lowest: Without dense: the queries of the lowest values.
        note: Why nothing is told of single queries; empty where something is.
    """

    task: str
    anchor: str
    metric: str
    value: str
    dense: str
    share: str
    facts: str
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None
    chart: DifferenceChart | None = None
    lost: list[QueryStory] = field(default_factory=list)
    won: list[QueryStory] = field(default_factory=list)
    lowest: list[QueryStory] = field(default_factory=list)
    note: str = ""


def task_anchor(task: str) -> str:
    """The name of a task's section, which a link to the page ends in after `#`."""
    return file_name(task)


def task_story(
    task: str, stored: StoredResult, dense: StoredResult | None, *, most: int = MOST_QUERIES
) -> TaskStory:
    """Tell of a task.

    Args:
        task: Its name.
        stored: The run's result.
        dense: That of dense of the same model, on the same data; None without.
        most: How many queries are told of at most, of each list.

    Raises:
        BadInputError: If a file beside a result cannot be read.
    """
    metric = str(stored.experiment.get("main_metric", "ndcg_at_10"))
    value, of_dense = _value(stored), None if dense is None else _value(dense)
    share = (
        value / of_dense if value is not None and of_dense is not None and of_dense > 0 else None
    )
    story = TaskStory(
        task=printable(task),
        anchor=task_anchor(task),
        metric=printable(metric_name(metric)),
        value=_four(value),
        dense=_four(of_dense),
        share=ratio_text(share),
        facts=_facts(stored),
    )
    own = read_metrics(details_folder(stored.path))
    if not own:
        return replace(story, note="No values of single queries are kept of this task.")
    if metric not in NAMES:
        return replace(story, note="The main metric is not one of single queries.")
    if dense is None:
        return replace(story, lowest=_lowest(stored, own, metric, most))
    theirs = read_metrics(details_folder(dense.path))
    pairs = pair_queries(theirs, own, metric)
    if not pairs:
        return replace(story, note="Dense has no query in common with this run.")
    differences = np.concatenate([pair.differences for pair in pairs])
    lost, won = losses_and_gains(pairs, most=most)
    told = _stories(
        [*lost, *won],
        (dense, theirs),
        (stored, own),
        several=len(pairs) > 1,
        depth=3 if most > _FEW else 1,
    )
    return replace(
        story,
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
        chart=difference_chart(
            differences, most=MOST_STEPS if most == MOST_QUERIES else _FEW_STEPS
        ),
        lost=told[: len(lost)],
        won=[replace(one, why=None) for one in told[len(lost) :]],
    )


def _lowest(
    stored: StoredResult, metrics: Mapping[Place, QueryMetrics], metric: str, most: int
) -> list[QueryStory]:
    """The queries of the lowest values, equal ones by place and id; those of value 1 are none."""
    column = NAMES.index(metric)
    values = sorted(
        (float(one.values[row, column]), place, name)
        for place, one in metrics.items()
        for row, name in enumerate(one.query_ids)
        if one.values[row, column] < 1
    )[:most]
    facts = query_facts(
        details_folder(stored.path), [(place, name) for _, place, name in values], metrics
    )
    return [
        _story(place, name, facts[place, name], value=value, several=len(metrics) > 1)
        for value, place, name in values
    ]


def _stories(
    queries: Sequence[QueryPair],
    dense: tuple[StoredResult, Mapping[Place, QueryMetrics]],
    run: tuple[StoredResult, Mapping[Place, QueryMetrics]],
    *,
    several: bool,
    depth: int,
) -> list[QueryStory]:
    keys = [(query.place, query.query_id) for query in queries]
    theirs, own = (
        query_facts(details_folder(stored.path), keys, metrics, depth=depth)
        for stored, metrics in (dense, run)
    )
    return [
        _story(*key, own[key], value=query.second, several=several, query=query, dense=theirs[key])
        for key, query in zip(keys, queries, strict=True)
    ]


def _story(
    place: Place,
    name: str,
    facts: QueryFacts,
    *,
    value: float,
    several: bool,
    query: QueryPair | None = None,
    dense: QueryFacts | None = None,
) -> QueryStory:
    text = facts.text or (dense.text if dense else "")
    return QueryStory(
        id=one_line(f"{'/'.join(place)} {name}" if several else name, _LONGEST_ID),
        text=one_line(text, _LONGEST_QUERY),
        dense="" if query is None else _four(query.first),
        value=_four(value),
        difference="" if query is None else signed(f"{query.difference:+.4f}"),
        dense_found=_ranked(dense.documents) if dense else [],
        found=_ranked(facts.documents),
        why=why(facts),
    )


def _ranked(documents: Sequence[FoundDocument]) -> list[Ranked]:
    return [
        Ranked(one_line(one.id, _LONGEST_ID), one_line(one.text, _LONGEST_DOCUMENT), one.relevant)
        for one in documents
    ]


def _value(stored: StoredResult) -> float | None:
    """The mean of the main scores of all places; None where one is missing."""
    values = [
        place["main_score"] for places in stored.result["scores"].values() for place in places
    ]
    return fmean(values) if values and all(value is not None for value in values) else None


def _four(value: float | None) -> str:
    return ABSENT if value is None else signed(f"{value:.4f}")


def _facts(stored: StoredResult) -> str:
    places = sum(len(places) for places in stored.result["scores"].values())
    parts = [f"{places} splits and subsets"] if places > 1 else []
    cost: Mapping[str, Any] = next(iter(stored.cost.values()), {})
    if places == 1:
        parts += [
            f"{cost[name]:,} {name}"
            for name in ("documents", "queries")
            if isinstance(cost.get(name), int) and cost[name]
        ]
    parts.append(f"data revision {stored.result['dataset_revision']}")
    return printable(", ".join(parts))
