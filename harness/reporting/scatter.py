"""A scatter plot as one SVG element: quality against a cost on a logarithmic axis."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from harness.reporting.units import si

_WIDTH, _HEIGHT = 640, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 14, 46
_FONT = 12
_CHARACTER = 0.62 * _FONT  # a generous mean width, so that estimated boxes do not overlap
_RADIUS = 5
_LONGEST_LABEL = 36
_LEAST_SPAN = 0.3  # decades: a single point still gets an axis


@dataclass(frozen=True)
class Point:
    """One point.

    Attributes:
        x: Cost; None or 0 has no place on a logarithmic axis.
        y: Quality; None is left out.
        label: Its name in the plot.
        colour: Its class is `c` and this number; the page's style gives it a colour.
    """

    x: float | None
    y: float | None
    label: str
    colour: int = 1

    @property
    def drawable(self) -> bool:
        """Whether the point has a place in the plot."""
        return self.y is not None and self.x is not None and self.x > 0


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: _Box) -> float:
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return width * height if width > 0 and height > 0 else 0.0


@dataclass(frozen=True)
class _Axis:
    """A linear map of [low, high] to pixels; x is given as a logarithm."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def scatter(points: Sequence[Point], *, x_label: str, y_label: str, title: str, name: str) -> str:
    """An SVG element of the drawable points; empty when there is none.

    Lines and text take the colour of the page's text, points that of their class.

    Args:
        points: The points.
        x_label: What the logarithmic axis shows.
        y_label: What the vertical axis shows.
        title: The plot's name for those who do not see it.
        name: A name that is unique in the page, letters, digits and dashes only.
    """
    drawn = [(point.x, point.y, point) for point in points if point.drawable]
    placed = [(math.log10(x), y, point) for x, y, point in drawn if x is not None and y is not None]
    if not placed:
        return ""
    xs, ys = [x for x, _, _ in placed], [y for _, y, _ in placed]
    x_axis = _Axis(*_padded(xs, _LEAST_SPAN), _LEFT, _WIDTH - _RIGHT)
    y_axis = _Axis(*_padded(ys, max(0.02, 0.02 * max(map(abs, ys)))), _HEIGHT - _BOTTOM, _TOP)
    dots = [(x_axis.at(x), y_axis.at(y), point) for x, y, point in placed]
    facts = "; ".join(f"{p.label}: {y_label} {p.y:.4f}, {x_label} {si(p.x)}" for _, _, p in dots)
    return "\n".join(
        [
            f'<svg class="scatter" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
            f'aria-labelledby="{name}-title {name}-desc" font-size="{_FONT}" fill="currentColor">',
            f'<title id="{name}-title">{escape(title)}</title>',
            f'<desc id="{name}-desc">{escape(facts)}</desc>',
            *_vertical(y_axis, y_label),
            *_horizontal(x_axis, x_label),
            *_points(dots),
            "</svg>",
        ]
    )


def _vertical(axis: _Axis, label: str) -> list[str]:
    step = _step((axis.high - axis.low) / 6)
    decimals = max(0, -math.floor(math.log10(step)))
    first, last = math.ceil(axis.low / step), math.floor(axis.high / step)
    lines = [_text(_LEFT - 46, (_TOP + _HEIGHT - _BOTTOM) / 2, label, "middle", turned=True)]
    for number in range(first, last + 1):
        y = axis.at(number * step)
        lines.append(_line(_LEFT, y, _WIDTH - _RIGHT, y))
        lines.append(_text(_LEFT - 8, y + 4, f"{number * step:.{decimals}f}", "end"))
    return lines


def _horizontal(axis: _Axis, label: str) -> list[str]:
    floor = _HEIGHT - _BOTTOM
    lines = [_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, label, "middle")]
    for value in _decimal_ticks(axis.low, axis.high):
        x = axis.at(math.log10(value))
        shown = re.sub(r"\.0+(?= |$)", "", si(value))
        lines += [_line(x, _TOP, x, floor), _text(x, floor + 18, shown, "middle")]
    return lines


def _points(dots: list[tuple[float, float, Point]]) -> list[str]:
    taken = [_around(x, y, _RADIUS + 1) for x, y, _ in dots]
    lines = []
    for own, (x, y, point) in sorted(enumerate(dots), key=lambda item: item[1][1]):
        lines.append(
            f'<circle class="point c{point.colour}" cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS}"/>'
        )
        label = point.label
        if len(label) > _LONGEST_LABEL:
            label = label[: _LONGEST_LABEL - 1] + "…"
        others = [box for number, box in enumerate(taken) if number != own]
        (anchor, base, alignment), box = _label_place(x, y, len(label) * _CHARACTER, others)
        taken.append(box)
        lines.append(_text(anchor, base, label, alignment))
    return lines


def _label_place(
    x: float, y: float, width: float, taken: list[_Box]
) -> tuple[tuple[float, float, str], _Box]:
    """Anchor, base line and alignment of a label, and its box: the first free place."""
    beside, base = _RADIUS + 5, y + 0.33 * _FONT
    candidates = [
        (x + beside, base, "start"),
        (x - beside, base, "end"),
        (x, y - beside, "middle"),
        (x, y + beside + 0.7 * _FONT, "middle"),
        *((x + beside, base + lines * _FONT, "start") for lines in (-1, 1, -2, 2)),
        *((x - beside, base + lines * _FONT, "end") for lines in (-1, 1, -2, 2)),
    ]

    def cost(candidate: tuple[float, float, str]) -> float:
        box = _label_box(*candidate, width)
        frame = _Box(_LEFT, 0, _WIDTH, _HEIGHT - _BOTTOM)
        outside = (box.right - box.left) * (box.bottom - box.top) - box.overlap(frame)
        return round(10 * outside + sum(box.overlap(other) for other in taken), 3)

    place = min(candidates, key=cost)  # the first among equals
    return place, _label_box(*place, width)


def _label_box(anchor: float, base: float, alignment: str, width: float) -> _Box:
    left = anchor - width * {"start": 0.0, "middle": 0.5, "end": 1.0}[alignment]
    return _Box(left, base - 0.8 * _FONT, left + width, base + 0.25 * _FONT)


def _around(x: float, y: float, reach: float) -> _Box:
    return _Box(x - reach, y - reach, x + reach, y + reach)


def _padded(values: Sequence[float], least: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    span = max(high - low, least)
    slack = (span - (high - low)) / 2 + 0.1 * span
    return low - slack, high + slack


def _step(rough: float) -> float:
    """The next of 1, 2, 5, 10, 20, … at or above."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)


def _decimal_ticks(low: float, high: float) -> list[float]:
    """Ticks between two logarithms: powers of ten, with 2 and 5 where these are too few."""
    first, last = math.floor(low), math.ceil(high)
    if last - first > 4:
        every = math.ceil((last - first) / 8)
        powers = [10.0**power for power in range(first, last + 1, every)]
        return [tick for tick in powers if low <= math.log10(tick) <= high]
    ticks = [factor * 10.0**power for power in range(first, last) for factor in (1, 2, 5)]
    return [tick for tick in ticks if low <= math.log10(tick) <= high]


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="currentColor" stroke-opacity="0.14"/>'


def _text(x: float, y: float, text: str, anchor: str, *, turned: bool = False) -> str:
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turn}>{escape(text)}</text>'
