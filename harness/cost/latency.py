"""Query latency, stage by stage: the probe takes callables and queries and knows no model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.cost.summary import LatencySummary, summarise
from harness.cost.timing import (
    NANOSECONDS_PER_MILLISECOND,
    Clock,
    garbage_collector_off,
    idle_clock,
    stage_boundaries,
)

__all__ = ["LatencyRecord", "LatencySummary", "probe"]


@dataclass(frozen=True, eq=False, kw_only=True)
class LatencyRecord:
    """What a probe measured: the raw values, and summaries of them.

    Attributes:
        stages: The stages' names, in order.
        nanoseconds: Raw durations, int64 (measurements, stages); measurement r·queries + q is query
            q in repetition r.
        cold_nanoseconds: Durations of the very first query, int64 (stages,); in no summary.
        evicted_nanoseconds: Durations of every query after ``between``, int64 (queries, stages);
            None where the probe got no ``between``.
        queries: Distinct queries in one repetition.
        warmup: Queries run, and not recorded, between the cold one and the measurements.
    """

    stages: tuple[str, ...]
    nanoseconds: NDArray[np.int64]
    cold_nanoseconds: NDArray[np.int64]
    evicted_nanoseconds: NDArray[np.int64] | None = None
    queries: int
    warmup: int

    @property
    def total(self) -> LatencySummary:
        """The summary of all stages together, per query."""
        return summarise(self.nanoseconds.sum(axis=1), independent=self.queries)

    @property
    def by_stage(self) -> dict[str, LatencySummary]:
        """The summary of each stage; percentiles of stages do not add up to those of the total."""
        return self._by_stage(self.nanoseconds)

    @property
    def cold_ms(self) -> float:
        """Milliseconds of the very first query: with lazy loading, compilation and cold caches."""
        return float(self.cold_nanoseconds.sum() / NANOSECONDS_PER_MILLISECOND)

    @property
    def evicted(self) -> LatencySummary | None:
        """The summary of all stages after ``between``: all is loaded, but the caches are cold."""
        if self.evicted_nanoseconds is None:
            return None
        return summarise(self.evicted_nanoseconds.sum(axis=1), independent=self.queries)

    @property
    def evicted_by_stage(self) -> dict[str, LatencySummary] | None:
        """The summary of each stage after ``between``."""
        if self.evicted_nanoseconds is None:
            return None
        return self._by_stage(self.evicted_nanoseconds)

    def _by_stage(self, nanoseconds: NDArray[np.int64]) -> dict[str, LatencySummary]:
        return {
            stage: summarise(nanoseconds[:, column], independent=self.queries)
            for column, stage in enumerate(self.stages)
        }


def probe(
    stages: Mapping[str, Callable[[Any], Any]],
    queries: Sequence[Any],
    *,
    warmup: int,
    repetitions: int,
    synchronise: Callable[[], object] | None = None,
    between: Callable[[], object] | None = None,
    clock: Clock = time.perf_counter_ns,
) -> LatencyRecord:
    """Time the stages of answering a query, one query at a time.

    Runs the first query once (cold), then ``warmup`` queries, then all queries ``repetitions``
    times. Repetitions are the outer loop: the same query twice in a row would find its data in the
    caches. With ``between``, all queries run once more at the end, each after a call of it, and are
    reported apart. A stage ends at the clock reading that starts the next, so stages add up to the
    total. The garbage collector is off while measuring, after one full collection.

    Args:
        stages: Name to callable, in order; the first gets the query, each other one what the stage
            before it returned.
        queries: The queries, in whatever form the first stage takes, distinct.
        warmup: Queries to run before measuring, taken from the front of ``queries``, cyclically.
        repetitions: How often to measure every query.
        synchronise: Waits until the device is idle; called before each reading of the clock.
        between: Called before each query of the last pass, outside its time, such as
            `harness.cost.caches.CacheEviction`.
        clock: Returns nanoseconds, monotonic.

    Returns:
        The raw durations and their summaries.

    Raises:
        ValueError: No stages, no queries, a negative warm-up, or no repetition.
        Exception: Whatever a stage raises.
    """
    if not stages:
        raise ValueError("a probe needs at least one stage")
    if not queries:
        raise ValueError("a probe needs at least one query")
    if warmup < 0:
        raise ValueError(f"warmup must not be negative, not {warmup}")
    if repetitions < 1:
        raise ValueError(f"repetitions must be at least 1, not {repetitions}")

    calls = tuple(stages.values())
    read_clock = idle_clock(synchronise, clock)
    boundaries = np.empty((repetitions * len(queries), len(calls) + 1), dtype=np.int64)
    evicted = np.empty((len(queries) if between else 0, len(calls) + 1), dtype=np.int64)
    with garbage_collector_off():
        cold = np.asarray(stage_boundaries(calls, queries[0], read_clock), dtype=np.int64)
        for turn in range(warmup):
            stage_boundaries(calls, queries[turn % len(queries)], read_clock)
        for row in range(len(boundaries)):
            boundaries[row] = stage_boundaries(calls, queries[row % len(queries)], read_clock)
        if between is not None:
            for row, query in enumerate(queries):
                between()
                evicted[row] = stage_boundaries(calls, query, read_clock)

    return LatencyRecord(
        stages=tuple(stages),
        nanoseconds=boundaries[:, 1:] - boundaries[:, :-1],
        cold_nanoseconds=cold[1:] - cold[:-1],
        evicted_nanoseconds=None if between is None else evicted[:, 1:] - evicted[:, :-1],
        queries=len(queries),
        warmup=warmup,
    )
