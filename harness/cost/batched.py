"""Latency and throughput of queries that are answered in batches, by batch size."""

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
    NANOSECONDS_PER_SECOND,
    Clock,
    garbage_collector_off,
    idle_clock,
    rotated,
    stage_boundaries,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class BatchRecord:
    """What a batched probe measured at one batch size.

    Attributes:
        batch_size: Queries in a batch; the last batch has what remains of them.
        stages: The stages' names, in order.
        nanoseconds: Raw durations, int64 (measurements, stages); measurement r·batches + b is batch
            b in repetition r.
        sizes: Queries in each measured batch, int64 (measurements,).
        queries: Distinct queries in one repetition.
        warmup: Batches run before measuring.
    """

    batch_size: int
    stages: tuple[str, ...]
    nanoseconds: NDArray[np.int64]
    sizes: NDArray[np.int64]
    queries: int
    warmup: int

    @property
    def per_batch(self) -> LatencySummary:
        """The summary of all stages together, per full batch: what each of its queries waits."""
        return self._per_full_batch(self.nanoseconds.sum(axis=1))

    @property
    def per_batch_by_stage(self) -> dict[str, LatencySummary]:
        """The summary of each stage, per full batch."""
        return {
            stage: self._per_full_batch(self.nanoseconds[:, column])
            for column, stage in enumerate(self.stages)
        }

    @property
    def ms_per_query(self) -> float:
        """Mean milliseconds a query, over all batches, the last and smaller one included."""
        return float(self.nanoseconds.sum() / self.sizes.sum() / NANOSECONDS_PER_MILLISECOND)

    @property
    def ms_per_query_by_stage(self) -> dict[str, float]:
        """The same of each stage; they add up to `ms_per_query`."""
        means = self.nanoseconds.sum(axis=0) / self.sizes.sum() / NANOSECONDS_PER_MILLISECOND
        return dict(zip(self.stages, means.tolist(), strict=True))

    @property
    def queries_per_second(self) -> float:
        """Queries answered per second by one caller that sends batch after batch."""
        return float(self.sizes.sum() / self.nanoseconds.sum() * NANOSECONDS_PER_SECOND)

    def _per_full_batch(self, nanoseconds: NDArray[np.int64]) -> LatencySummary:
        full = nanoseconds[self.sizes == self.batch_size]
        return summarise(full, independent=self.queries // self.batch_size)


def probe_batches(
    stages: Mapping[str, Callable[[list[Any]], Any]],
    queries: Sequence[Any],
    *,
    batch_sizes: Sequence[int],
    warmup: int,
    repetitions: int,
    synchronise: Callable[[], object] | None = None,
    clock: Clock = time.perf_counter_ns,
) -> dict[int, BatchRecord]:
    """Time the stages of answering the same queries in batches of several sizes.

    Every size answers every query once in a repetition, in the same order; the sizes take turns
    within a repetition, each time another one first, so that a machine that slows down slows all
    of them. The garbage collector is off while measuring.

    Args:
        stages: Name to callable, in order; the first gets a list of queries, each other one what
            the stage before it returned.
        queries: The queries, distinct.
        batch_sizes: Queries in a batch, each at most as many as there are queries.
        warmup: Batches of each size to run before measuring, from the front, cyclically.
        repetitions: How often to measure every query at every size.
        synchronise: Waits until the device is idle; called before each reading of the clock.
        clock: Returns nanoseconds, monotonic.

    Returns:
        Batch size to what was measured, in the order given.

    Raises:
        ValueError: No stages, no queries, no or repeated batch sizes, a batch size that is not in
            [1, queries], a negative warm-up, or no repetition.
        Exception: Whatever a stage raises.
    """
    if not stages or not queries:
        raise ValueError("a batched probe needs at least one stage and one query")
    if not batch_sizes or len(set(batch_sizes)) < len(batch_sizes):
        raise ValueError(f"batch sizes must be some and all different, not {list(batch_sizes)}")
    if not all(1 <= size <= len(queries) for size in batch_sizes):
        raise ValueError(
            f"batch sizes must be in [1, {len(queries)}], the queries, not {list(batch_sizes)}"
        )
    if warmup < 0 or repetitions < 1:
        raise ValueError(f"need warmup ({warmup}) >= 0 and repetitions ({repetitions}) >= 1")

    calls = tuple(stages.values())
    read_clock = idle_clock(synchronise, clock)
    batches = {
        size: [list(queries[start : start + size]) for start in range(0, len(queries), size)]
        for size in batch_sizes
    }
    boundaries: dict[int, list[list[int]]] = {size: [] for size in batch_sizes}
    with garbage_collector_off():
        for parts in batches.values():
            for turn in range(warmup):
                stage_boundaries(calls, parts[turn % len(parts)], read_clock)
        for repetition in range(repetitions):
            for size in rotated(batch_sizes, repetition):
                for batch in batches[size]:
                    boundaries[size].append(stage_boundaries(calls, batch, read_clock))

    return {
        size: _record(tuple(stages), boundaries[size], batches[size], repetitions, warmup)
        for size in batch_sizes
    }


def _record(
    stages: tuple[str, ...],
    boundaries: list[list[int]],
    batches: list[list[Any]],
    repetitions: int,
    warmup: int,
) -> BatchRecord:
    readings = np.asarray(boundaries, dtype=np.int64)
    sizes = np.array([len(batch) for batch in batches], dtype=np.int64)
    return BatchRecord(
        batch_size=len(batches[0]),
        stages=stages,
        nanoseconds=readings[:, 1:] - readings[:, :-1],
        sizes=np.tile(sizes, repetitions),
        queries=int(sizes.sum()),
        warmup=warmup,
    )
