"""Which of several callables is faster, on a machine whose speed drifts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.cost.summary import CONFIDENCE
from harness.cost.timing import (
    NANOSECONDS_PER_MILLISECOND,
    Clock,
    garbage_collector_off,
    idle_clock,
    rotated,
)

_RESAMPLES_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How long a callable takes, in times of the first one's duration.

    Attributes:
        value: Median over the rounds of duration / duration of the first in the same round.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """What a comparison measured.

    Attributes:
        nanoseconds: Name to raw durations, int64 (rounds,), in the order given.
        ratios: Name to its ratio to the first; the first's own is 1.
        warmup: Rounds run before measuring.
    """

    nanoseconds: dict[str, NDArray[np.int64]]
    ratios: dict[str, Ratio]
    warmup: int

    @property
    def median_ms(self) -> dict[str, float]:
        """Median milliseconds of each callable, on this machine in this hour."""
        return {
            name: float(np.median(durations) / NANOSECONDS_PER_MILLISECOND)
            for name, durations in self.nanoseconds.items()
        }


def compare(
    callables: Mapping[str, Callable[[], Any]],
    *,
    rounds: int,
    warmup: int,
    synchronise: Callable[[], object] | None = None,
    clock: Clock = time.perf_counter_ns,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Time callables in turns and compare them round by round.

    Each round runs every callable once, one after the other, and starts one further on than the
    round before, so that none is always the first. Durations are compared within their round: what
    changes more slowly than a round takes, such as the clock rate or a neighbour's load, changes
    both and leaves the ratio. The intervals are percentile bootstraps over rounds
    (Efron, 1979), the same resamples for all. The garbage collector is off while measuring.

    Args:
        callables: Name to callable without arguments; the first is what the others are compared to.
        rounds: How often each runs, measured; a multiple of the callables makes each first equally
            often.
        warmup: Rounds before that, not recorded.
        synchronise: Waits until the device is idle; called before each reading of the clock.
        clock: Returns nanoseconds, monotonic.
        resamples: Resamples of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        ValueError: Fewer than two callables, no round, a negative warm-up, no resample, or a
            callable that took no time by this clock.
        Exception: Whatever a callable raises.
    """
    if len(callables) < 2:
        raise ValueError("a comparison needs at least two callables")
    if rounds < 1 or warmup < 0 or resamples < 1:
        raise ValueError(
            f"need rounds ({rounds}) >= 1, warmup ({warmup}) >= 0, resamples ({resamples}) >= 1"
        )
    read_clock = idle_clock(synchronise, clock)
    names = list(callables)
    durations = {name: np.empty(rounds, dtype=np.int64) for name in names}
    with garbage_collector_off():
        for turn in range(-warmup, rounds):
            for name in rotated(names, turn):
                start = read_clock()
                callables[name]()
                elapsed = read_clock() - start
                if turn >= 0:
                    durations[name][turn] = elapsed
    for name, taken in durations.items():
        if not taken.all():
            raise ValueError(f"{name} took no time by this clock: let it do its work several times")

    base = durations[names[0]]
    return Comparison(
        nanoseconds=durations,
        ratios={
            name: _median_ratio(durations[name] / base, resamples=resamples, seed=seed)
            for name in names
        },
        warmup=warmup,
    )


def _median_ratio(ratios: NDArray[np.float64], *, resamples: int, seed: int) -> Ratio:
    """The median of ratios, (rounds,), and its bootstrap interval."""
    random = np.random.default_rng(seed)
    rounds = len(ratios)
    step = max(1, _RESAMPLES_AT_ONCE // rounds)
    medians = np.concatenate(
        [
            np.median(ratios[random.integers(rounds, size=(min(step, resamples - at), rounds))], 1)
            for at in range(0, resamples, step)
        ]
    )
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians, (tail, 1 - tail))
    return Ratio(value=float(np.median(ratios)), low=float(low), high=float(high))
