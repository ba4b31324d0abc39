"""Sorted differences of single queries as steps above and below a line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 640, 120  # of the drawing, in its own units
MOST_STEPS = 160


@dataclass(frozen=True)
class DifferenceChart:
    """What an SVG of `WIDTH` by `HEIGHT` draws.

    Attributes:
        gains: Path of the area above the middle; empty without gains.
        losses: Path of the area below.
        largest: The difference that the full height stands for.
    """

    gains: str
    losses: str
    largest: float


def difference_chart(
    differences: NDArray[np.float64], *, most: int = MOST_STEPS
) -> DifferenceChart | None:
    """Draw the differences from the largest gain to the largest loss; None where all are 0.

    Many queries are drawn as steps of several, each as high as their mean.

    Args:
        differences: (n,).
        most: Steps are at most so many.
    """
    largest = float(np.abs(differences).max(initial=0))
    if largest == 0:
        return None
    ordered = np.sort(differences)[::-1]
    steps = min(len(ordered), most)
    bounds = np.linspace(0, len(ordered), steps + 1).round().astype(int)
    heights = np.add.reduceat(ordered, bounds[:-1]) / np.diff(bounds)
    ends = WIDTH * bounds / len(ordered)
    middle = HEIGHT / 2
    places = middle - heights / largest * middle
    return DifferenceChart(
        gains=_area(ends, np.minimum(places, middle)),
        losses=_area(ends, np.maximum(places, middle)),
        largest=largest,
    )


def _area(ends: NDArray[np.float64], places: NDArray[np.float64]) -> str:
    """The path between the middle and steps at some places; empty where all are the middle."""
    middle = HEIGHT / 2
    drawn = np.flatnonzero(places != middle)
    if not len(drawn):
        return ""
    first, last = drawn[0], drawn[-1]
    path = [f"M{_number(ends[first])},{_number(middle)}"]
    before = middle
    for step in range(first, last + 1):
        if places[step] != before:
            path.append(f"V{_number(places[step])}")
            before = places[step]
        if step == last or places[step + 1] != before:
            path.append(f"H{_number(ends[step + 1])}")
    return "".join([*path, f"V{_number(middle)}Z"])


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
