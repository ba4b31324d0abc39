"""Joules from readings of a sensor: of a counter of energy, or of power over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class EnergySource(Protocol):
    """Something that tells how much energy it took.

    Attributes:
        name: What it is, and how it is read.
    """

    name: str

    def sample(self) -> None:
        """Read the sensor and add what came since the last reading."""

    @property
    def joules(self) -> float | None:
        """Joules between the first sample and the last; None where they are not known."""


class EnergyCounter:
    """A counter of energy that grows until it wraps around.

    A reading that fails makes the whole phase unknown: the counter may have wrapped unseen. One
    that never moved is no measurement either: the phase was too short, or the sensor is dead.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], int | None],
        *,
        joules_per_unit: float,
        wraps_after: int | None = None,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            name: What is counted.
            read: Returns the counter, None where it cannot be read.
            joules_per_unit: The counter's unit.
            wraps_after: Units after which it starts at 0 again; None where it never does.
        """
        self.name = name
        self._read = read
        self._joules_per_unit = joules_per_unit
        self._wraps_after = wraps_after
        self._last: int | None = None
        self._units = 0
        self._known = True

    def sample(self) -> None:
        """See `EnergySource`; at least once per wrap-around."""
        now = self._read()
        if now is None:
            self._known = False
        elif self._last is not None:
            grown = now - self._last
            if grown < 0:
                if self._wraps_after is None:
                    self._known = False
                else:
                    grown += self._wraps_after
            self._units += grown
        self._last = now

    @property
    def joules(self) -> float | None:
        """See `EnergySource`."""
        return self._units * self._joules_per_unit if self._known and self._units else None


class PowerIntegral:
    """The integral of power samples over time, by trapezoids."""

    def __init__(
        self, name: str, read: Callable[[], float | None], *, clock: Callable[[], float]
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            name: Whose power it is.
            read: Returns watts, None where they cannot be read.
            clock: Returns seconds, monotonic.
        """
        self.name = name
        self._read = read
        self._clock = clock
        self._last: tuple[float, float] | None = None
        self._joules = 0.0
        self._known = True

    def sample(self) -> None:
        """See `EnergySource`; often, since power between samples is taken as a straight line."""
        watts = self._read()
        now = self._clock()
        if watts is None:
            self._known = False
            return
        if self._last is not None:
            then, before = self._last
            self._joules += (now - then) * (before + watts) / 2
        self._last = (now, watts)

    @property
    def joules(self) -> float | None:
        """See `EnergySource`."""
        return self._joules if self._known and self._joules else None
