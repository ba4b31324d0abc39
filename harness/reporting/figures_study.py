"""Figures of a study: quality against cost of every setting, and the front of the best."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.reporting.figures_labels import Label, place_labels
from harness.reporting.figures_style import (
    INK,
    ORANGE,
    SMALL,
    SOFT,
    VERMILLION,
    WIDTH,
    house_style,
    legend,
    new_figure,
    nothing,
    percent,
    settle,
    shortened,
    title,
)
from harness.reporting.units import bytes_text

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform

_IN_A_ROW = 2
_MOST_LABELS = 8
_BUDGET = 0.05  # of dense scoring FLOPs
_WORTH = 0.5  # of the best: settings that keep less are out of sight
_DENSE = "dense"
_FLOPS = "flops_share"
_Setting = tuple[float, float, Any]  # cost, ratio and its row


@house_style()
def study(data: pd.DataFrame, references: pd.DataFrame) -> Figure:
    """nDCG@10 as a share of dense against scoring FLOPs as a share of dense, a panel each task.

    Settings that reach less than half of the best are below the axis. A mode that is the default
    setting is drawn as that.

    Args:
        data: Columns task, head, transform, doc_top_k (K), query_expansion (M), ratio,
            flops_share, front and default: a row each setting. `front` marks the settings that no
            other beats in both. One without a ratio or with no FLOPs has no place.
        references: Columns task, name, ratio and flops_share: `dense`, a line, and others, marks.
    """
    return _study(data, references, _FLOPS, "scoring FLOPs, share of dense", percent)


@house_style()
def study_bytes(data: pd.DataFrame, references: pd.DataFrame) -> Figure:
    """nDCG@10 as a share of dense against index bytes a document, a panel each task.

    Args:
        data: As for `study`, with index_bytes, a document's, in place of flops_share.
        references: Columns task, name, ratio and index_bytes.
    """
    return _study(data, references, "index_bytes", "index bytes a document", bytes_text)


def _study(
    data: pd.DataFrame,
    references: pd.DataFrame,
    cost: str,
    x_label: str,
    tick: Callable[[float], str],
) -> Figure:
    if data.empty:
        return nothing("No settings were tried.")
    numbers = {cost: np.float64, "ratio": np.float64}  # whole columns of None are not
    data, references = data.astype(numbers), references.astype(numbers)
    tasks = list(data["task"].unique())
    columns = min(_IN_A_ROW, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    figure = new_figure(0.6 + rows * (3.6 if columns == 1 else 3.2))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    expansions = sorted(data["query_expansion"].unique())
    colours = dict(zip(expansions, _shades(len(expansions)), strict=True))
    panels = []
    for axes, task in zip(grid, tasks, strict=False):
        title(axes, str(task), inches=(WIDTH - 1.4) / columns)
        known = references[references["task"] == task]
        panels.append(_panel(axes, data[data["task"] == task], known, cost, colours))
        axes.xaxis.set_major_formatter(lambda value, _: tick(value))
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        axes.yaxis.set_major_formatter(lambda value, _: percent(value))
        axes.set_xlabel(x_label)
    for axes in grid[::columns]:
        axes.set_ylabel("nDCG@10, share of dense")
    for axes in grid[len(tasks) :]:
        axes.set_visible(False)
    _legend(figure, colours)
    settle(figure)
    shorten = _shortener(data)
    for axes, panel in zip(grid, panels, strict=False):
        names = [Label(x, y, shorten(row)) for x, y, row in _spaced(axes, panel.front)]
        labels = [*panel.labels, *names]
        place_labels(axes, labels, panel.marks, steps=panel.steps, avoid=panel.lines)
    return figure


@dataclass
class _Panel:
    """What labels have to know of a panel: the front's settings, and all that they avoid."""

    front: list[_Setting]
    labels: list[Label] = field(default_factory=list)
    marks: list[tuple[float, float]] = field(default_factory=list)
    lines: list[Artist] = field(default_factory=list)

    @property
    def steps(self) -> list[tuple[float, float]]:
        return [(x, y) for x, y, _ in self.front]


def _panel(
    axes: Axes, data: pd.DataFrame, references: pd.DataFrame, cost: str, colours: dict[Any, Any]
) -> _Panel:
    """Draw everything but the labels."""
    drawn = data[(data[cost] > 0) & data["ratio"].notna()]
    axes.set_xscale("log")
    axes.grid(axis="both", which="major")
    for expansion, rows in drawn.groupby("query_expansion", sort=True):
        axes.plot(
            rows[cost],
            rows["ratio"],
            "o",
            color=colours[expansion],
            markersize=3.5,
            markeredgewidth=0,
            alpha=0.45,
        )
    panel = _Panel(_front(axes, drawn, cost, colours))
    for x, y in drawn.loc[drawn["default"].astype(bool), [cost, "ratio"]].to_numpy(np.float64):
        axes.plot([x], [y], "*", color=ORANGE, markersize=13, markeredgecolor=INK, zorder=5)
        panel.marks.append((x, y))
        panel.labels.append(Label(x, y, "default", bold=True))
    for row in references.to_dict(orient="records"):
        x, y, name = float(row[cost]), float(row["ratio"]), str(row["name"])
        if name == _DENSE:
            y = 1.0 if np.isnan(y) else y
            panel.lines.append(axes.axhline(y, color=VERMILLION, linewidth=1))
            panel.lines.append(_beside(axes, name, (0, y), axes.get_yaxis_transform(), VERMILLION))
            if cost == _FLOPS:
                continue  # dense is at 100 % of itself
        if x > 0 and np.isfinite(y) and (x, y) not in panel.marks:
            axes.plot([x], [y], "s", color=VERMILLION, markersize=6, zorder=5)
            panel.marks.append((x, y))
            if name != _DENSE:
                panel.labels.append(Label(x, y, shortened(name, 20), VERMILLION))
    if cost == _FLOPS:
        line = axes.axvline(_BUDGET, color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)))
        place = (_BUDGET, 0.0)
        written = _beside(axes, percent(_BUDGET), place, axes.get_xaxis_transform(), SOFT)
        panel.lines += [line, written]
    axes.margins(x=0.08, y=0.1)
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, _WORTH * high), high)
    panel.front = [setting for setting in panel.front if setting[1] > _WORTH * high]
    return panel


def _front(axes: Axes, drawn: pd.DataFrame, cost: str, colours: dict[Any, Any]) -> list[_Setting]:
    """Draw the front as steps: what is reached at a cost or below it."""
    front = drawn[drawn["front"].astype(bool)].sort_values([cost, "ratio"], kind="stable")
    front = front[front["ratio"] >= front["ratio"].cummax()]
    settings = [
        (float(row[cost]), float(row["ratio"]), row) for row in front.to_dict(orient="records")
    ]
    axes.plot(front[cost], front["ratio"], color=INK, linewidth=1.1, drawstyle="steps-post")
    for x, y, row in settings:
        axes.plot(
            [x],
            [y],
            "o",
            color=colours[row["query_expansion"]],
            markersize=5.5,
            markeredgecolor=INK,
            markeredgewidth=0.8,
            zorder=4,
        )
    return settings


def _beside(
    axes: Axes, text: str, place: tuple[float, float], transform: Transform, colour: str
) -> Artist:
    """The name of a line, upper right of a place on it."""
    return axes.annotate(
        text,
        place,
        xycoords=transform,
        xytext=(4, 3),
        textcoords="offset points",
        fontsize=SMALL,
        color=colour,
    )


def _spaced(axes: Axes, front: list[tuple[float, float, Any]]) -> list[tuple[float, float, Any]]:
    """At most 8 points of the front, evenly along it, both ends among them."""
    if len(front) <= _MOST_LABELS:
        return front
    pixels = axes.transData.transform([(x, y) for x, y, _ in front])
    way = np.concatenate([[0], np.hypot(*np.diff(pixels, axis=0).T).cumsum()])
    wanted = np.linspace(0, way[-1], _MOST_LABELS)
    return [front[number] for number in dict.fromkeys(np.abs(way - at).argmin() for at in wanted)]


def _shortener(data: pd.DataFrame) -> Callable[[Any], str]:
    """What tells a setting from others: K, and head and transform where they differ."""
    varied = [name for name in ("head", "transform") if data[name].nunique() > 1]

    def short(row: Any) -> str:
        k = row["doc_top_k"]
        parts = [f"K {k:g}" if isinstance(k, int | float) and not np.isnan(k) else "K all"]
        return ", ".join([*parts, *(shortened(row[name], 12) for name in varied)])

    return short


def _shades(count: int) -> list[Any]:
    """Colours from dark to light that differ in lightness too."""
    import matplotlib as mpl

    return [mpl.colormaps["viridis"](share) for share in np.linspace(0.05, 0.88, count)]


def _legend(figure: Figure, colours: dict[Any, Any]) -> None:
    from matplotlib.lines import Line2D

    entries = [
        (Line2D([], [], color="none", marker="o", mfc=colour, mec="none"), f"M = {expansion:g}")
        for expansion, colour in colours.items()
    ]
    front = Line2D([], [], color=INK, linewidth=1.1, marker="o", mfc="white")
    legend(figure, [*entries, (front, "front")])
