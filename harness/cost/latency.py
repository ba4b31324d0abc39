"""Query latency, stage by stage: the probe takes callables and queries and knows no model."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NANOSECONDS_PER_MILLISECOND = 1e6


@dataclass(frozen=True, kw_only=True)
class LatencySummary:
    """Summary of one duration over all measurements, in milliseconds.

    The percentiles interpolate linearly between the two nearest measurements (numpy's default,
    method 7 of Hyndman and Fan, 1996, "Sample Quantiles in Statistical Packages"). With fewer than
    100 measurements p99 lies between the two longest.

    Attributes:
        count: Measurements.
        mean_ms: Arithmetic mean.
        p50_ms: Median.
        p95_ms: 95th percentile.
        p99_ms: 99th percentile.
    """

    count: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, eq=False, kw_only=True)
class LatencyRecord:
    """What a probe measured: the raw values, and summaries of them.

    Attributes:
        stages: The stages' names, in order.
        nanoseconds: Raw durations, int64 (measurements, stages); measurement r·queries + q is query
            q in repetition r.
        cold_nanoseconds: Durations of the very first query, int64 (stages,); in no summary.
        queries: Distinct queries in one repetition.
        warmup: Queries run, and not recorded, between the cold one and the measurements.
    """

    stages: tuple[str, ...]
    nanoseconds: NDArray[np.int64]
    cold_nanoseconds: NDArray[np.int64]
    queries: int
    warmup: int

    @property
    def total(self) -> LatencySummary:
        """The summary of all stages together, per query."""
        return _summarise(self.nanoseconds.sum(axis=1))

    @property
    def by_stage(self) -> dict[str, LatencySummary]:
        """The summary of each stage; percentiles of stages do not add up to those of the total."""
        return {
            stage: _summarise(self.nanoseconds[:, column])
            for column, stage in enumerate(self.stages)
        }

    @property
    def cold_ms(self) -> float:
        """Milliseconds of the very first query: with lazy loading, compilation and cold caches."""
        return float(self.cold_nanoseconds.sum() / _NANOSECONDS_PER_MILLISECOND)


def probe(
    stages: Mapping[str, Callable[[Any], Any]],
    queries: Sequence[Any],
    *,
    warmup: int,
    repetitions: int,
    synchronise: Callable[[], None] | None = None,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> LatencyRecord:
    """Time the stages of answering a query, one query at a time.

    Runs the first query once (cold), then ``warmup`` queries, then all queries ``repetitions``
    times. Repetitions are the outer loop: the same query twice in a row would find its data in the
    caches. A stage ends at the clock reading that starts the next, so stages add up to the total.
    The garbage collector is off while measuring, after one full collection.

    Args:
        stages: Name to callable, in order; the first gets the query, each other one what the stage
            before it returned.
        queries: The queries, in whatever form the first stage takes.
        warmup: Queries to run before measuring, taken from the front of ``queries``, cyclically.
        repetitions: How often to measure every query.
        synchronise: Waits until the device is idle; called before each reading of the clock.
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

    def read_clock() -> int:
        if synchronise is not None:
            synchronise()
        return clock()

    def readings(query: Any) -> list[int]:
        value = query
        times = [read_clock()]
        for call in calls:
            value = call(value)
            times.append(read_clock())
        return times

    boundaries = np.empty((repetitions * len(queries), len(calls) + 1), dtype=np.int64)
    with _garbage_collector_off():
        cold = np.asarray(readings(queries[0]), dtype=np.int64)
        for turn in range(warmup):
            readings(queries[turn % len(queries)])
        for row in range(len(boundaries)):
            boundaries[row] = readings(queries[row % len(queries)])

    return LatencyRecord(
        stages=tuple(stages),
        nanoseconds=boundaries[:, 1:] - boundaries[:, :-1],
        cold_nanoseconds=cold[1:] - cold[:-1],
        queries=len(queries),
        warmup=warmup,
    )


@contextmanager
def _garbage_collector_off() -> Iterator[None]:
    """Collect once, switch the collector off, and leave it afterwards as it was."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _summarise(nanoseconds: NDArray[np.int64]) -> LatencySummary:
    """Summarise durations, (measurements,), in milliseconds."""
    milliseconds = nanoseconds / _NANOSECONDS_PER_MILLISECOND
    p50, p95, p99 = np.percentile(milliseconds, (50, 95, 99), method="linear")
    return LatencySummary(
        count=len(milliseconds),
        mean_ms=float(milliseconds.mean()),
        p50_ms=float(p50),
        p95_ms=float(p95),
        p99_ms=float(p99),
    )
