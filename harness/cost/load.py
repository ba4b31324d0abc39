"""Closed-loop load: several clients that each send their next query when the last was answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.cost.summary import LatencySummary, summarise
from harness.cost.timing import NANOSECONDS_PER_SECOND, Clock, garbage_collector_off


@dataclass(frozen=True, eq=False, kw_only=True)
class LoadRecord:
    """What a number of clients measured together: when each query was sent and answered.

    Measurements are sorted by client, then by time.

    Attributes:
        clients: Clients.
        client: Which client sent it, int64 (measurements,).
        query: Which query it was, int64 (measurements,).
        sent: Nanoseconds of the clock when it was sent, int64 (measurements,).
        answered: Nanoseconds of the clock when it was answered, int64 (measurements,).
        complete: Whether all was sent; otherwise the time was up before.
    """

    clients: int
    client: NDArray[np.int64]
    query: NDArray[np.int64]
    sent: NDArray[np.int64]
    answered: NDArray[np.int64]
    complete: bool

    @property
    def steady(self) -> tuple[int, int] | None:
        """From when the last client sent its first query until the first had its last answer.

        Before and after, fewer clients load the system than the record says. None where one client
        was through before another had begun: there were too few queries.
        """
        first = np.searchsorted(self.client, np.arange(self.clients))
        last = np.append(first[1:], len(self.client)) - 1
        start, end = int(self.sent[first].max()), int(self.answered[last].min())
        return (start, end) if start < end else None

    @property
    def queries_per_second(self) -> float | None:
        """Throughput of the steady phase; None without one.

        A query that was on its way at an end of the phase counts by the share of its time that lies
        within, so that the figure does not depend on where in a query the phase ends.
        """
        if self.steady is None:
            return None
        start, end = self.steady
        within = np.minimum(self.answered, end) - np.maximum(self.sent, start)
        taken = self.answered - self.sent
        # A query that took no time by this clock counts whole where it is within.
        whole = (within == 0).astype(np.float64)
        answers = np.divide(within, taken, out=whole, where=taken > 0).clip(min=0).sum()
        return float(answers / (end - start) * NANOSECONDS_PER_SECOND)

    @property
    def latency(self) -> LatencySummary | None:
        """The summary over the queries that were sent in the steady phase; None without one.

        By when they were sent and not by when they were answered: to leave out those that were not
        answered before the end would leave out the long ones.
        """
        if self.steady is None:
            return None
        start, end = self.steady
        steady = (self.sent >= start) & (self.sent < end)
        distinct = len(np.unique(self.query[steady]))
        return summarise((self.answered - self.sent)[steady], independent=distinct)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Run:
    """What the clients of one run share."""

    answer: Callable[[Any], Any]
    queries: Sequence[Any]
    warmup: int
    repetitions: int
    limit_ns: int
    clock: Clock
    together: threading.Barrier
    stop: threading.Event

    def client(self, rows: range) -> tuple[list[tuple[int, int, int]], bool]:
        """Send the queries of these rows; return (row, sent, answered) of each, and if all."""
        try:
            for turn in range(self.warmup):
                if self.stop.is_set():
                    break
                self.answer(self.queries[rows[turn % len(rows)]])
            self.together.wait()
            began = self.clock()
            measured: list[tuple[int, int, int]] = []
            for turn in range(self.repetitions * len(rows)):
                row = rows[turn % len(rows)]
                sent = self.clock()
                if self.stop.is_set() or (measured and sent - began >= self.limit_ns):
                    return measured, False
                self.answer(self.queries[row])
                measured.append((row, sent, self.clock()))
            return measured, True
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let every client end: no further query, and no waiting for the others."""
        self.stop.set()
        self.together.abort()


def closed_loop(
    answer: Callable[[Any], Any],
    queries: Sequence[Any],
    *,
    clients: Sequence[int],
    warmup: int,
    repetitions: int,
    limit_seconds: float,
    clock: Clock = time.perf_counter_ns,
) -> dict[int, LoadRecord]:
    """Measure throughput and latency under a growing number of clients.

    Of n clients, each a thread, client c has the queries c, c+n, c+2n and so on for its own. It
    answers some of them as a warm-up, waits until all others have too, and then sends each of its
    queries ``repetitions`` times, the next as soon as the last was answered, without thinking time.
    So every number of clients answers the same queries, equally often. The garbage collector is off
    while measuring.

    Clients are threads of this process: as far as ``answer`` holds Python's global lock, they wait
    for each other. That is a property of what is measured, and a server in Python has it too.

    Args:
        answer: Answers a query, on whichever thread calls it, and returns when the answer is at
            hand: a device that still computes has not answered.
        queries: The queries, distinct.
        clients: Numbers of clients, each at most as many as there are queries.
        warmup: Queries that each client sends before measuring.
        repetitions: How often each query is sent.
        limit_seconds: After which time a client sends no further query, but at least one; for each
            number of clients anew, from the end of the warm-up. A query on its way is waited for.
        clock: Returns nanoseconds, monotonic, the same on all threads.

    Returns:
        Number of clients to what they measured, in the order given.

    Raises:
        ValueError: No queries, no or repeated numbers of clients, one that is not in [1, queries],
            a negative warm-up, no repetition, or no time.
        Exception: Whatever ``answer`` raises in any client; the others then end after the query
            that they are at.
    """
    if not queries:
        raise ValueError("a load needs at least one query")
    if not clients or len(set(clients)) < len(clients):
        raise ValueError(f"numbers of clients must be some and all different, not {list(clients)}")
    if not all(1 <= number <= len(queries) for number in clients):
        raise ValueError(
            f"numbers of clients must be in [1, {len(queries)}], the queries, not {list(clients)}"
        )
    if warmup < 0 or repetitions < 1 or not limit_seconds > 0:
        raise ValueError(
            f"need warmup ({warmup}) >= 0, repetitions ({repetitions}) >= 1 and"
            f" limit_seconds ({limit_seconds}) > 0"
        )
    return {
        number: _load(
            _Run(
                answer=answer,
                queries=queries,
                warmup=warmup,
                repetitions=repetitions,
                limit_ns=round(limit_seconds * NANOSECONDS_PER_SECOND),
                clock=clock,
                together=threading.Barrier(number),
                stop=threading.Event(),
            ),
            number,
        )
        for number in clients
    }


def _load(run: _Run, clients: int) -> LoadRecord:
    """Let the clients run and gather what they measured."""
    with garbage_collector_off(), ThreadPoolExecutor(clients) as pool:
        futures = [
            pool.submit(run.client, range(client, len(run.queries), clients))
            for client in range(clients)
        ]
        try:
            wait(futures)
        except BaseException:
            run.release()
            raise
    _raise_first(futures)
    parts = [future.result() for future in futures]
    row, sent, answered = np.array([m for part, _ in parts for m in part], dtype=np.int64).T
    return LoadRecord(
        clients=clients,
        client=np.repeat(np.arange(clients), [len(part) for part, _ in parts]),
        query=row,
        sent=sent,
        answered=answered,
        complete=all(complete for _, complete in parts),
    )


def _raise_first(futures: Sequence[Future[Any]]) -> None:
    """Raise what a client raised, and not that others had to stop waiting for it."""
    errors = [error for future in futures if (error := future.exception()) is not None]
    causes = [error for error in errors if not isinstance(error, threading.BrokenBarrierError)]
    for error in causes or errors:
        raise error
