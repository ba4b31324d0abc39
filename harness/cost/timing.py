"""What every timing needs: a quiet collector, an idle device, one clock reading a boundary."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

NANOSECONDS_PER_MILLISECOND = 1e6
NANOSECONDS_PER_SECOND = 1e9

Clock = Callable[[], int]
"""Returns nanoseconds, monotonic."""

_Item = TypeVar("_Item")


def idle_clock(synchronise: Callable[[], object] | None, clock: Clock) -> Clock:
    """Return a clock that waits until the device is idle before each reading."""
    if synchronise is None:
        return clock

    def read() -> int:
        synchronise()
        return clock()

    return read


def stage_boundaries(
    calls: Sequence[Callable[[Any], Any]], value: Any, read_clock: Clock
) -> list[int]:
    """Run the stages, each on what the one before returned, and read the clock around each.

    Returns:
        One reading more than stages: a stage ends at the reading that starts the next, so that
        stages add up to the total.
    """
    readings = [read_clock()]
    for call in calls:
        value = call(value)
        readings.append(read_clock())
    return readings


def rotated(items: Sequence[_Item], turn: int) -> list[_Item]:
    """Return the items from number ``turn`` on, cyclically: over the turns each is first alike."""
    start = turn % len(items)
    return [*items[start:], *items[:start]]


@contextmanager
def garbage_collector_off() -> Iterator[None]:
    """Collect once, switch the collector off, and leave it afterwards as it was."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
