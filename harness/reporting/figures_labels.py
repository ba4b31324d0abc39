"""Labels beside points: each where it covers no other, or left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.reporting.figures_style import INK, figure_of, text_width

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_SIZE = 7.5
_NEAR = 7.0  # points from a mark's centre to its label
_LINE_FROM = 10.0  # a label this far away is joined to its mark
_ALONG = np.linspace(0.05, 0.95, 19)  # of such a line, which crosses no label


@dataclass(frozen=True)
class Label:
    """A text for the mark at (x, y), in data coordinates."""

    x: float
    y: float
    text: str
    colour: str = INK
    bold: bool = False


def place_labels(
    axes: Axes,
    labels: Sequence[Label],
    marks: Sequence[tuple[float, float]],
    *,
    steps: Sequence[tuple[float, float]] = (),
    avoid: Sequence[Artist] = (),
) -> list[Label]:
    """Draw each label beside its mark, in the order given; the figure has to be laid out.

    Args:
        axes: Where.
        labels: What; one that finds no free place is left out.
        marks: Points (x, y) that no label may cover.
        steps: Marks joined by a line that runs level and then steps to the next; likewise.
        avoid: Straight lines and texts, likewise.

    Returns:
        The labels that were drawn.
    """
    scale = 72 / figure_of(axes).dpi
    frame = np.asarray(axes.get_window_extent().extents) * scale

    def in_points(x: float, y: float) -> NDArray[np.float64]:
        place: NDArray[np.float64] = axes.transData.transform((x, y)) * scale
        return place

    centres = [in_points(x, y) for x, y in (*marks, *steps)]
    taken = [_box(x, y, 8.0, 8.0) for x, y in centres]
    taken += [np.asarray(artist.get_window_extent().extents) * scale for artist in avoid]
    for (x, y), (then, above) in pairwise(steps):
        corners = [in_points(x, y), in_points(then, y), in_points(then, above)]
        taken += [
            np.concatenate([np.minimum(*ends), np.maximum(*ends)]) for ends in pairwise(corners)
        ]
    drawn: list[Label] = []
    names: list[NDArray[np.float64]] = []
    for label in labels:
        x, y = in_points(label.x, label.y)
        width = text_width(label.text, size=_SIZE, bold=label.bold) + 3
        for dx, dy in _offsets(width):
            box = _box(x + dx, y + dy, width, _SIZE + 3)
            inside = (box[:2] >= frame[:2]).all() and (box[2:] <= frame[2:]).all()
            away = max(abs(dx) - width / 2, abs(dy) - _SIZE / 2) > _LINE_FROM
            leader = [_box(x + dx * at, y + dy * at, 1, 1) for at in _ALONG] if away else []
            if (
                inside
                and not any(_overlap(box, other) for other in taken)
                and not any(_overlap(dot, other) for dot in leader for other in names)
            ):
                break
        else:
            continue
        taken.append(box)
        names.append(box)
        drawn.append(label)
        axes.annotate(
            label.text,
            (label.x, label.y),
            xytext=(dx, dy),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=_SIZE,
            color=label.colour,
            fontweight="bold" if label.bold else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
            arrowprops={"arrowstyle": "-", "color": label.colour, "linewidth": 0.5}
            if away
            else None,
            zorder=6,
        )
    return drawn


def _offsets(width: float) -> list[tuple[float, float]]:
    """From the mark to the label's centre, the best first: upper left of a rising front."""
    places = []
    for away in (0.0, 10.0, 20.0, 32.0, 44.0):
        side, up = _NEAR + width / 2 + away / 2, _NEAR + 3 + away
        places += [
            *((-side, up / 2 + away / 2), (side, -up / 2 - away / 2)),
            *((0.0, up), (0.0, -up), (side, away), (-side, away), (side, -away), (-side, -away)),
        ]
    return places


def _box(x: float, y: float, width: float, height: float) -> NDArray[np.float64]:
    return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])


def _overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return bool((one[:2] < other[2:]).all() and (other[:2] < one[2:]).all())
