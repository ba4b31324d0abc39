"""What a job of a sweep found, a row each mode: its quality and costs over all tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import BadInputError
from harness.evaluation.results import without_nan
from harness.reporting.summary import means
from harness.reporting.units import metric_name

if TYPE_CHECKING:
    from harness.config import RunConfig
    from harness.evaluation.rows import ResultRow

PER_QUERY = ("query_flops", "scoring_flops_per_query", "latency_p50_ms")
IN_ALL = ("corpus_flops", "index_bytes")


def job_rows(rows: Sequence[ResultRow]) -> list[dict[str, Any]]:
    """A run's modes, each with its quality and costs over the tasks that it was run on.

    Args:
        rows: One run's.

    Returns:
        A JSON-able mapping each mode: `mode`, `kind`, `metric`, `tasks`; `value`, the mean of the
        tasks' main scores as `means` takes it; the mean over tasks, splits and subsets of what a
        query costs (`query_flops`, `scoring_flops_per_query`, `latency_p50_ms`); the sum over them
        of `corpus_flops` and `index_bytes`; and `texts_encoded` in this run. What any of them lacks
        is None.
    """
    main = [row for row in rows if row.main]
    whole = {row.task for row in main}
    shown = [row for row in main if row.part_of not in whole]
    tasks = sorted({row.task for row in shown})
    metrics = sorted({row.metric for row in shown})
    found = []
    for mode in means(rows):
        own = [row for row in shown if row.mode == mode.mode]
        if not own:  # only parts of what is to be shown as a whole
            continue
        figures = {name: _combined(own, name) for name in (*PER_QUERY, *IN_ALL)}
        found.append(
            {
                "mode": mode.mode,
                "kind": own[0].kind,
                "metric": metric_name(metrics[0]) if len(metrics) == 1 else "main score",
                "tasks": tasks,
                "value": mode.over_tasks.value,
                **figures,
                "texts_encoded": sum(row.encoded_now for row in own),
            }
        )
    return [without_nan(row) for row in found]


def searched_mode(config: RunConfig) -> str:
    """The mode that a sweeper which searches goes by.

    Raises:
        BadInputError: The run has several modes and names none of them, or counts no cost.
    """
    if config.sweep.mode is not None:
        return str(config.sweep.mode)
    if len(config.retrieval) > 1:
        raise BadInputError(
            f"a search needs one mode to go by and this run has {', '.join(config.retrieval)}; "
            "add sweep.mode=NAME, or run one mode only"
        )
    return str(next(iter(config.retrieval)))


def objectives(rows: Sequence[dict[str, Any]], mode: str) -> tuple[float, float]:
    """A mode's quality, which is to be large, and its scoring FLOPs a query, to be small.

    Args:
        rows: Of `job_rows`.
        mode: The mode's name.

    Raises:
        BadInputError: One of the two is unknown.
    """
    row = next((row for row in rows if row["mode"] == mode), None)
    value = None if row is None else row["value"]
    flops = None if row is None else row["scoring_flops_per_query"]
    if value is None or flops is None:
        raise BadInputError(
            f"{mode} has no {'score' if value is None else 'scoring FLOPs'} on all tasks of this "
            "run, so there is nothing to search by; run other tasks or modes"
        )
    return float(value), float(flops)


def _combined(rows: Sequence[ResultRow], name: str) -> float | None:
    known = [row.cost[name] for row in rows if row.cost.get(name) is not None]
    if not known or len(known) < len(rows):
        return None
    return float(np.mean(known) if name in PER_QUERY else np.sum(known))
