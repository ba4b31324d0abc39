"""Figures of a leaderboard: quality against a cost with its front, and shares of dense."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

from harness.reporting.figures_labels import Label, place_labels
from harness.reporting.figures_style import (
    BLUE,
    COLOURS,
    FAINT,
    INK,
    RULE,
    SMALL,
    SOFT,
    VERMILLION,
    WIDTH,
    fitted,
    house_style,
    legend,
    new_figure,
    nothing,
    percent,
    settle,
    title,
)
from harness.reporting.units import si

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_IN_A_ROW = 2
_MARKERS = "osD^vPX*"
_VERDICT_COLOURS = {"reached": BLUE, "not reached": VERMILLION}
_ROW = 0.24  # inches


@house_style()
def pareto(data: pd.DataFrame) -> Figure:
    """Quality with its 95 % interval against FLOPs per query, a panel each task; the front a line.

    Args:
        data: Columns task, metric, name, kind, value, low, high, query_flops and front: a row each
            system. One without a value or with no FLOPs has no place.
    """
    known = data[(data["query_flops"] > 0) & data["value"].notna()]
    if known.empty:
        return nothing("No result has both a value and FLOPs per query above 0.")
    tasks = list(known["task"].unique())
    kinds = {kind: number for number, kind in enumerate(data["kind"].unique())}
    columns = min(_IN_A_ROW, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    figure = new_figure(0.6 + 3.0 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, task in zip(grid, tasks, strict=False):
        panel = known[known["task"] == task]
        title(axes, str(task), inches=(WIDTH - 1.4) / columns)
        _points(axes, panel, kinds)
        axes.set_xlabel("FLOPs per query")
        axes.set_ylabel(str(panel["metric"].iloc[0]))
    for axes in grid[len(tasks) :]:
        axes.set_visible(False)
    handles = [
        (grid[0].plot([], [], _marker(n), color=_colour(n), linestyle="none")[0], str(kind))
        for kind, n in kinds.items()
    ]
    legend(figure, [*handles, (grid[0].plot([], [], color=FAINT)[0], "Pareto front")])
    settle(figure)
    for axes, task in zip(grid, tasks, strict=False):
        panel = known[known["task"] == task]
        places = list(zip(panel["query_flops"], panel["value"], strict=True))
        names = [
            Label(x, y, fitted(str(name), 110, size=SMALL))
            for (x, y), name in zip(places, panel["name"], strict=True)
        ]
        place_labels(axes, names, places, steps=[], avoid=[])
    return figure


@house_style()
def shares(data: pd.DataFrame, threshold: float) -> Figure:
    """Each system's share of dense with its 95 % interval, a panel each task, and the threshold.

    Args:
        data: Columns task, name, kind, ratio, ratio_low, ratio_high and verdict: a row each system.
            One without a ratio, and dense itself, has no place.
        threshold: What a share is to reach.
    """
    known = data[data["ratio"].notna() & (data["kind"] != "dense")]
    if known.empty:
        return nothing("No result has a share of dense.")
    tasks = list(known["task"].unique())
    heights = [len(known[known["task"] == task]) for task in tasks]
    figure = new_figure(1.0 + sum(_ROW * height + 0.5 for height in heights))
    grid = figure.subplots(
        len(tasks), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": heights}
    ).ravel()
    for axes, task in zip(grid, tasks, strict=True):
        panel = known[known["task"] == task].iloc[::-1]
        title(axes, str(task))
        for row, line in enumerate(panel.itertuples()):
            colour = _VERDICT_COLOURS.get(str(line.verdict), SOFT)
            if not (np.isnan(line.ratio_low) or np.isnan(line.ratio_high)):
                axes.plot([line.ratio_low, line.ratio_high], [row, row], color=colour)
            axes.plot(line.ratio, row, "o", color=colour, markersize=5)
        axes.set_yticks(range(len(panel)), [fitted(str(n), 200, size=SMALL) for n in panel["name"]])
        axes.set_ylim(-0.7, len(panel) - 0.3)
        axes.axvline(threshold, color=INK, linewidth=0.8, linestyle="--")
        axes.axvline(1.0, color=RULE, linewidth=0.8)
        axes.xaxis.set_major_formatter(lambda value, _: percent(value))
    grid[-1].set_xlabel(f"share of dense with 95 % interval; dashed: {percent(threshold)}")
    handles = [
        (grid[0].plot([], [], "o-", color=colour)[0], name)
        for name, colour in (*_VERDICT_COLOURS.items(), ("undecided, or no interval", SOFT))
    ]
    legend(figure, handles)
    return settle(figure)


def _points(axes: Axes, panel: pd.DataFrame, kinds: dict[str, int]) -> None:
    front = panel[panel["front"]].sort_values("query_flops")
    axes.step(front["query_flops"], front["value"], where="post", color=FAINT, linewidth=1.0)
    for line in panel.itertuples():
        number = kinds[line.kind]
        if not (np.isnan(line.low) or np.isnan(line.high)):
            ends = [line.low, line.high]
            axes.plot([line.query_flops] * 2, ends, color=_colour(number), linewidth=0.9)
        axes.plot(line.query_flops, line.value, _marker(number), color=_colour(number))
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter(lambda value, _: re.sub(r"\.0+(?= |$)", "", si(value)))
    axes.xaxis.set_minor_formatter(lambda value, _: "")


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _marker(number: int) -> str:
    return _MARKERS[number % len(_MARKERS)]
