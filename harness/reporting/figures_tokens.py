"""Figures of token lists side by side: lists are columns, and lines join what stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.reporting.figures_style import (
    BLUE,
    FAINT,
    INK,
    SIZE,
    SMALL,
    SOFT,
    VERMILLION,
    WIDTH,
    fitted,
    house_style,
    new_figure,
    nothing,
    shown_token,
    signed,
    wrapped,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_TOKENS = 20
_STATES = {"backbone": "backbone", "adjusted": "backbone + λu₁", "embedder": "embedder"}
_LINE = 0.235  # inches a token
_SIDE = 0.3  # inches for the ranks
_JOIN = 0.3  # of a column's width, for the lines to the next column
_LONGEST_COLUMN = 3.8  # inches


@dataclass(frozen=True)
class _Cell:
    """One token of a list; equal keys in two lists are the same token."""

    key: tuple[str, int]
    text: str
    weight: float
    colour: str
    bold: bool
    joined: bool


@dataclass(frozen=True)
class _Column:
    """One list with what stands above it; `joins` says whether lines lead to it from the left."""

    heading: str
    below: str
    cells: list[_Cell]
    joins: bool = True


@house_style()
def adjusted(data: pd.DataFrame) -> Figure:
    """How one text's aligned tokens move from the backbone to the embedder, or stage by stage.

    Lines that end or begin in nothing are of tokens that leave the list or enter it.

    Args:
        data: Rows of one text: columns id, text, state (some of backbone, adjusted, embedder, then
            any others as they come), rank, token, weight and literal. The first 20 by rank are
            drawn.

    Raises:
        ValueError: If the rows are of several texts.
    """
    if data["id"].nunique() > 1:
        raise ValueError(f"adjusted tokens are drawn for one text, not for {data['id'].nunique()}")
    columns = []
    for state in dict.fromkeys((*_STATES, *data["state"])):
        rows = _leading(data[data["state"] == state])
        if rows.empty:
            continue
        cells = [
            _Cell(key, token, weight, BLUE if literal else INK, bool(literal), joined=True)
            for key, token, weight, literal in zip(
                *(_keys(rows), map(shown_token, rows["token"])),
                *(rows["weight"], rows["literal"]),
                strict=True,
            )
        ]
        columns.append(_Column(_STATES.get(state, str(state)), "", cells))
    if not columns:
        return nothing("No aligned tokens.")
    note = "bold: a token of the text itself; numbers: weights"
    return _side_by_side(columns, str(data["text"].iloc[0]), note, BLUE, fade=True)


@house_style()
def lens(data: pd.DataFrame) -> Figure:
    """Aligned tokens under several instructions or models, or of several texts, side by side.

    Lines join shared tokens of neighbouring columns; where there are several variants as well as
    several texts, only within a variant.

    Args:
        data: Columns variant, text_id, text, rank, token, weight and shared (in all lists that
            are compared). The first 20 by rank are drawn.
    """
    if data.empty:
        return nothing("No aligned tokens.")
    several = data["text_id"].nunique() > 1
    columns: list[_Column] = []
    last = None
    for (variant, _), part in data.groupby(["variant", "text_id"], sort=False, dropna=False):
        rows = _leading(part)
        cells = [
            _Cell(key, token, weight, INK if shared else VERMILLION, not shared, bool(shared))
            for key, token, weight, shared in zip(
                *(_keys(rows), map(shown_token, rows["token"])),
                *(rows["weight"], rows["shared"]),
                strict=True,
            )
        ]
        text = str(rows["text"].iloc[0]) if several else ""
        joins = not several or variant == last or data["variant"].nunique() == 1
        columns.append(_Column(str(variant), text, cells, joins))
        last = variant
    heading = "" if several else str(data["text"].iloc[0])
    return _side_by_side(
        columns, heading, "bold: not in all lists; numbers: weights", VERMILLION, fade=False
    )


def _leading(data: pd.DataFrame) -> pd.DataFrame:
    return data.sort_values("rank", kind="stable").head(_MOST_TOKENS)


def _keys(rows: pd.DataFrame) -> list[tuple[str, int]]:
    """Tokens without case and outer spaces, numbered where several are written alike."""
    seen: Counter[str] = Counter()
    keys = []
    for token in rows["token"]:
        name = str(token).strip(" ␣").casefold()
        keys.append((name, seen[name]))
        seen[name] += 1
    return keys


def _side_by_side(
    columns: Sequence[_Column], heading: str, note: str, note_colour: str, *, fade: bool
) -> Figure:
    deepest = max(len(column.cells) for column in columns)
    each = min(_LONGEST_COLUMN, (WIDTH - _SIDE - 0.1) / len(columns))
    headings = [wrapped(column.heading, 72 * (each - 0.15), 3, bold=True) for column in columns]
    lines = max(text.count("\n") + 1 for text in headings)
    below = 0.2 * any(column.below for column in columns)
    above = 0.2 + 0.18 * lines + below + 0.35 * bool(heading)
    height = above + _LINE * deepest + 0.4
    figure = new_figure(height)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1), frameon=False)
    # In inches, from the upper left corner.
    axes.set(xlim=(0, WIDTH), ylim=(height, 0), xticks=[], yticks=[])
    if heading:
        text = fitted(heading, 72 * (WIDTH - 0.3), size=SIZE + 1, bold=True)
        axes.text(0.12, 0.24, text, va="center", fontsize=SIZE + 1, fontweight="bold")
    starts = [_SIDE + 0.12 + number * each for number in range(len(columns))]
    width = each * (1 - _JOIN)
    places = [
        {cell.key: above + _LINE * (number + 0.5) for number, cell in enumerate(column.cells)}
        for column in columns
    ]
    for rank in range(deepest):
        place = above + _LINE * (rank + 0.5)
        axes.text(_SIDE, place, str(rank + 1), ha="right", va="center", fontsize=SMALL, color=SOFT)
    for column, name, start in zip(columns, headings, starts, strict=True):
        axes.text(start, above - below - 0.04, name, va="bottom", fontweight="bold")
        _draw_column(axes, column, start, width, above)
    gaps = zip(columns, columns[1:], places, places[1:], starts, strict=False)
    for left, right, here, there, start in gaps:
        if not right.joins:
            continue
        x = (start + width + 0.06, start + each - 0.06)
        colours = {cell.key: cell.colour for cell in (*right.cells, *left.cells)}
        joined = {cell.key for cell in left.cells if cell.joined}
        joined &= {cell.key for cell in right.cells if cell.joined}
        for key in here:
            if key in joined:
                emphasis = fade and colours[key] != INK
                _join(axes, x, (here[key], there[key]), colours[key] if emphasis else FAINT)
            elif fade:
                _fade(axes, x, here[key], colours[key])
        for key in there:
            if fade and key not in here:
                _fade(axes, x[::-1], there[key], colours[key])
    axes.text(0.12, height - 0.17, note, va="center", fontsize=SMALL, color=note_colour)
    return figure


def _draw_column(axes: Axes, column: _Column, start: float, width: float, above: float) -> None:
    if column.below:
        text = fitted(column.below, 72 * width, size=SMALL)
        axes.text(start, above - 0.12, text, va="center", fontsize=SMALL, color=SOFT)
    for rank, cell in enumerate(column.cells):
        place = above + _LINE * (rank + 0.5)
        axes.text(
            start,
            place,
            fitted(cell.text, 72 * (width - 0.55), bold=cell.bold),
            va="center",
            color=cell.colour,
            fontweight="bold" if cell.bold else "normal",
        )
        if np.isfinite(cell.weight):
            weight = signed(f"{cell.weight:.2f}")
            end = start + width
            axes.text(end, place, weight, ha="right", va="center", fontsize=SMALL, color=SOFT)


def _join(axes: Axes, x: tuple[float, float], y: tuple[float, float], colour: str) -> None:
    share = np.linspace(0, 1, 40)
    bent = share * share * (3 - 2 * share)
    axes.plot(x[0] + (x[1] - x[0]) * share, y[0] + (y[1] - y[0]) * bent, color=colour)


def _fade(axes: Axes, x: tuple[float, float], y: float, colour: str) -> None:
    """A line that sinks towards the lower edge and is gone on its way."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    share = np.linspace(0, 0.42, 13)
    points = np.column_stack([x[0] + (x[1] - x[0]) * share, y + 1.6 * _LINE * (share / 0.42) ** 2])
    colours = [
        (*to_rgba(FAINT if colour == INK else colour)[:3], 1 - share_of / 0.42)
        for share_of in share[:-1]
    ]
    lines = np.stack([points[:-1], points[1:]], axis=1)
    axes.add_collection(LineCollection(list(lines), colors=colours, linewidths=1.5))
