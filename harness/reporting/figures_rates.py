"""The figure of alignment metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.reporting.figures_style import (
    ABSENT,
    COLOURS,
    FAINT,
    SMALL,
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

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_METRICS = {"hit": "Hit", "lar": "LAR", "gar": "GAR"}


@house_style()
def rates(data: pd.DataFrame) -> Figure:
    """Alignment metrics: a panel each metric, a line each task, a dot each side of it.

    Args:
        data: Columns task, side, texts, k (of Hit@K), metric (hit, lar, gar), value, low and high:
            shares and their 95 % intervals; NaN is shown as absent.
    """
    from matplotlib.lines import Line2D

    if data.empty:
        return nothing("No alignment metrics.")
    panels = _panels(data)
    tasks, sides = list(data["task"].unique()), list(data["side"].unique())
    figure = new_figure(0.95 + len(tasks) * (0.16 + 0.2 * len(sides)))
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (name, part) in zip(row, panels, strict=True):
        title(axes, name, inches=(WIDTH - 2) / len(panels))
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(lambda value, _: percent(value))
        axes.set_xticks([0, 0.5, 1])
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        for number, side in enumerate(sides):
            rows = part[part["side"] == side]
            offset = 0.56 * ((number + 0.5) / len(sides) - 0.5)
            places = np.array([tasks.index(task) for task in rows["task"]]) + offset
            colour = COLOURS[number % len(COLOURS)]
            values = rows["value"].to_numpy(np.float64)
            lows, highs = rows["low"].to_numpy(np.float64), rows["high"].to_numpy(np.float64)
            # The layout breaks on a NaN, and on marks without any place.
            if (known := np.isfinite(lows) & np.isfinite(highs)).any():
                intervals = places[known], lows[known], highs[known]
                axes.hlines(*intervals, color=colour, alpha=0.5, linewidth=3)
            if (known := np.isfinite(values)).any():
                dots = values[known], places[known]
                axes.plot(*dots, "o", color=colour, markersize=5, clip_on=False, zorder=3)
            for place, value in zip(places, values, strict=True):
                text = ABSENT if np.isnan(value) else f"{100 * value:.1f}"
                axes.annotate(
                    text,
                    (1, place),
                    xycoords=axes.get_yaxis_transform(),
                    xytext=(36, 0),
                    textcoords="offset points",
                    ha="right",
                    va="center",
                    fontsize=SMALL,
                    color=colour,
                )
    longest = 72 * 1.8
    row[0].set_yticks(range(len(tasks)), [fitted(task, longest, size=SMALL) for task in tasks])
    row[0].set_ylim(len(tasks) - 0.5, -0.5)
    marks = [
        (Line2D([], [], color=COLOURS[number % len(COLOURS)], marker="o", lw=0), str(side))
        for number, side in enumerate(sides)
    ]
    legend(figure, [*marks, (Line2D([], [], color=FAINT, lw=3), "95 % interval")])
    return settle(figure)


def _panels(data: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Name and rows of each metric: Hit@K for each K, the others once."""
    found = []
    for metric in dict.fromkeys((*_METRICS, *data["metric"])):
        rows = data[data["metric"] == metric]
        name = _METRICS.get(metric, str(metric))
        if metric != "hit":
            rows = rows.drop_duplicates(["task", "side"])  # they do not depend on K
            found += [(name, rows)] if len(rows) else []
            continue
        for k in sorted(rows["k"].unique()):
            found.append((f"{name}@{k:g}", rows[rows["k"] == k]))
    return found
