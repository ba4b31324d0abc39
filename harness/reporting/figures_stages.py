"""Figures of an ablation: what each stage of training brings, stages from left to right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.reporting.figures_style import (
    COLOURS,
    FAINT,
    INK,
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
    signed,
    title,
)
from harness.reporting.units import ratio_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT = 2.5  # inches, of a row of panels
_SPREAD = 0.3  # of the way to the next stage, that marks of one stage share
_WORTH = 1.3  # of the largest share: intervals that end above are cut
_SPARSE = "aligned_sparse"
_IN_A_ROW = 4  # names under the panels
_METRICS = {"hit": "Hit", "lar": "LAR", "gar": "GAR"}
_NONE = "No stages."


@house_style()
def stages_dense(data: pd.DataFrame) -> Figure:
    """Dense nDCG@10 by stage: a row of panels each task, a panel each attention, a line a pooling.

    Args:
        data: Columns task, stage, attention, pooling, ndcg and own, which has a ring.
    """
    from matplotlib.lines import Line2D

    if data.empty:
        return nothing(_NONE)
    stages = _order(data, "stage")
    poolings, attentions = _order(data, "pooling"), _order(data, "attention")
    figure, grid = _panels(_order(data, "task"), len(attentions), alike=True)
    for task, row in grid:
        for attention, axes in zip(attentions, row, strict=True):
            part = data[(data["task"] == task) & (data["attention"] == attention)]
            title(axes, f"{task}, {attention}", inches=(WIDTH - 1) / len(attentions))
            for number, pooling in enumerate(poolings):
                rows = part[part["pooling"] == pooling]
                _line(axes, stages, rows, "ndcg", number=number)
            ringed = part[part["own"].astype(bool) & part["ndcg"].notna()]
            places = [stages.index(stage) for stage in ringed["stage"]]
            if places:
                axes.plot(places, ringed["ndcg"], "o", mfc="none", mec=INK, markersize=10)
        row[0].set_ylabel("dense nDCG@10")
    ring = Line2D([], [], color="none", marker="o", mfc="none", mec=INK, markersize=9)
    return _finished(figure, grid, stages, [*_marks(poolings), (ring, "the stage's own setting")])


@house_style()
def stages_modes(data: pd.DataFrame, threshold: float) -> Figure:
    """Modes by stage, a row each task: nDCG@10, and aligned sparse retrieval's share of dense.

    Shares of other modes are left out: of a dense retrieval that finds little they are without end.

    Args:
        data: Columns task, stage, mode, ndcg, share, low and high.
        threshold: Share of dense that is to be reached, a line.
    """
    from matplotlib.lines import Line2D

    if data.empty:
        return nothing(_NONE)
    stages, modes = _order(data, "stage"), _order(data, "mode")
    figure, grid = _panels(_order(data, "task"), 2)
    for task, (left, right) in grid:
        part = data[data["task"] == task]
        title(left, f"{task}: nDCG@10", inches=WIDTH / 2 - 0.5)
        title(right, "aligned sparse, share of dense", inches=WIDTH / 2 - 0.5)
        for number, mode in enumerate(modes):
            rows = part[part["mode"] == mode]
            _line(left, stages, rows, "ndcg", number=number)
            if mode.startswith(_SPARSE):
                _line(right, stages, rows, "share", number=number, of=len(modes))
        shares = part.loc[part["mode"].str.startswith(_SPARSE), "share"].to_numpy(np.float64)
        largest = np.max(shares, initial=1.0, where=np.isfinite(shares))
        right.set_ylim(top=min(right.get_ylim()[1], _WORTH * largest))
        right.axhline(1, color=COLOURS[0], linewidth=1)
        right.axhline(threshold, color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)))
        right.yaxis.set_major_formatter(lambda value, _: percent(round(value, 6)))
    line = Line2D([], [], color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)))
    reach = (line, f"{percent(threshold)} of dense")
    return _finished(figure, grid, stages, [*_marks(modes), _interval(), reach])


@house_style()
def stages_rates(data: pd.DataFrame) -> Figure:
    """Alignment rates by stage: a row of panels each task, a panel each side, a line a metric.

    Args:
        data: Columns task, stage, side, k (of Hit@K), metric, value, low and high.
    """
    if data.empty:
        return nothing(_NONE)
    stages, sides = _order(data, "stage"), _order(data, "side")
    metrics = [name for name in _METRICS if name in set(data["metric"])]
    figure, grid = _panels(_order(data, "task"), len(sides))
    for task, row in grid:
        for side, axes in zip(sides, row, strict=True):
            part = data[(data["task"] == task) & (data["side"] == side)]
            title(axes, f"{task}, {side}", inches=(WIDTH - 1) / len(sides))
            for number, metric in enumerate(metrics):
                rows = part[part["metric"] == metric]
                _line(axes, stages, rows, "value", number=number, of=len(metrics))
            axes.set_ylim(-0.03, 1.03)
            axes.yaxis.set_major_formatter(lambda value, _: percent(round(value, 6)))
    k = data["k"].iloc[0]
    names = [f"Hit@{k:g}" if name == "hit" else _METRICS[name] for name in metrics]
    return _finished(figure, grid, stages, [*_marks(names), _interval()])


@house_style()
def stages_variation(data: pd.DataFrame) -> Figure:
    """v_1 by stage beside the largest of the other directions, a panel each task.

    Args:
        data: Columns task, stage, v_1, v_1_share (written above the bars), largest_other and
            direction (what u_1 decodes to).
    """
    from matplotlib.patches import Patch

    if data.empty:
        return nothing(_NONE)
    stages = _order(data, "stage")
    figure, grid = _panels(_order(data, "task"), 1)
    for task, (axes,) in grid:
        part = data[data["task"] == task]
        title(axes, str(task))
        places = np.array([stages.index(stage) for stage in part["stage"]], np.float64)
        moved = np.nan_to_num(part["v_1"].to_numpy(np.float64))
        others = np.nan_to_num(part["largest_other"].to_numpy(np.float64))
        axes.bar(places - 0.18, moved, width=0.34, color=VERMILLION)
        axes.bar(places + 0.18, others, width=0.34, color=FAINT)
        axes.axhline(0, color=SOFT, linewidth=0.6)
        axes.margins(y=0.2)
        for place, value, share in zip(places, moved, part["v_1_share"], strict=True):
            if np.isfinite(share):
                axes.annotate(
                    f"{signed(f'{value:.3g}')}, {ratio_text(float(share))}",
                    (place - 0.18, value),
                    xytext=(0, 3 if value >= 0 else -3),
                    textcoords="offset points",
                    ha="center",
                    va="bottom" if value >= 0 else "top",
                    fontsize=SMALL,
                    color=VERMILLION,
                )
        text = f"u₁ decodes to  {part['direction'].iloc[0]}"
        axes.set_xlabel(fitted(text, 72 * (WIDTH - 1)))
    first = (Patch(color=VERMILLION), "v₁, and its share of all movement")
    return _finished(figure, grid, stages, [first, (Patch(color=FAINT), "the largest other |vⱼ|")])


def _order(data: pd.DataFrame, column: str) -> list[str]:
    """The values of a column as they come."""
    return list(dict.fromkeys(data[column]))


def _panels(
    tasks: Sequence[str], columns: int, *, alike: bool = False
) -> tuple[Figure, list[tuple[str, list[Axes]]]]:
    """A figure, and the panels of each task, with one scale where they are `alike`."""
    figure = new_figure(0.7 + _HEIGHT * len(tasks))
    axes = figure.subplots(len(tasks), columns, squeeze=False, sharey="row" if alike else "none")
    return figure, [(task, list(row)) for task, row in zip(tasks, axes, strict=True)]


def _line(
    axes: Axes, stages: list[str], rows: pd.DataFrame, column: str, *, number: int, of: int = 1
) -> None:
    """One line over the stages; with intervals, marks of one stage stand beside each other."""
    rows = rows[np.isfinite(rows[column].to_numpy(np.float64))]
    if rows.empty:  # the layout breaks on marks without any place
        return
    colour = COLOURS[number % len(COLOURS)]
    offset = _SPREAD * ((number + 0.5) / of - 0.5) if of > 1 else 0.0
    places = np.array([stages.index(stage) for stage in rows["stage"]]) + offset
    values = rows[column].to_numpy(np.float64)
    axes.plot(places, values, "o-", color=colour, markersize=4.5, clip_on=False)
    if of > 1:
        low, high = rows["low"].to_numpy(np.float64), rows["high"].to_numpy(np.float64)
        known = np.isfinite(low) & np.isfinite(high)
        if known.any():
            ends = places[known], low[known], high[known]
            axes.vlines(*ends, color=colour, alpha=0.45, linewidth=2.5)


def _marks(names: Sequence[str]) -> list[tuple[Artist, str]]:
    from matplotlib.lines import Line2D

    return [
        (Line2D([], [], color=COLOURS[number % len(COLOURS)], marker="o", markersize=4.5), name)
        for number, name in enumerate(names)
    ]


def _interval() -> tuple[Artist, str]:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=FAINT, lw=3), "95 % interval"


def _finished(
    figure: Figure,
    grid: list[tuple[str, list[Axes]]],
    stages: list[str],
    marks: Sequence[tuple[Artist, str]],
) -> Figure:
    """With the stages below every panel, and the names of the marks below all."""
    for _, row in grid:
        room = 72 * (WIDTH - 1) / len(row) / len(stages) - 4
        for axes in row:
            names = [fitted(stage, room, size=SMALL) for stage in stages]
            axes.set_xticks(range(len(stages)), names)
            axes.set_xlim(-0.5, len(stages) - 0.5)
            axes.grid(axis="y")
    legend(figure, marks, columns=_IN_A_ROW)
    return settle(figure)
