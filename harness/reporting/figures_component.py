"""Figures of the first principal component (paper section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.reporting.figures_style import (
    BLUE,
    COLOURS,
    FAINT,
    INK,
    SMALL,
    SOFT,
    VERMILLION,
    WIDTH,
    figure_of,
    fitted,
    house_style,
    legend,
    new_figure,
    nothing,
    percent,
    settle,
    shown_token,
    signed,
    spread,
    title,
)
from harness.reporting.units import ratio_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_TOKENS = 30
_MOST_COMPONENTS = 256
_FIRST = "u₁"
_FEWEST_PLACES = 8  # on the axis of components: fewer bars are not wider
_PLATE = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
_DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)))  # lines of one colour differ in these
_LINE = 0.17  # inches from one name to the next


@house_style()
def spectrum(data: pd.DataFrame) -> Figure:
    """The share of energy of each principal component, and how far training moved texts along it.

    Args:
        data: Columns component (1 to r), singular_value, share, variation (v_j; NaN throughout
            where there is no embedder to compare with, and then it has no panel) and tokens (what
            u_j decodes to). The first 256 are drawn.
    """
    from matplotlib.patches import Patch

    if data.empty:
        return nothing("No principal components.")
    known = len(data)
    data = data.sort_values("component", kind="stable").head(_MOST_COMPONENTS)
    components = data["component"].to_numpy(np.int64)
    moved = data["variation"].to_numpy(np.float64)
    compared = bool(np.isfinite(moved).any())
    figure = new_figure(4.6 if compared else 2.7)
    column = figure.subplots(1 + compared, 1, sharex=True, squeeze=False)[:, 0]
    shares = data["share"].to_numpy(np.float64)
    _bars(column[0], components, shares)
    column[0].set_title("Share of energy")
    column[0].yaxis.set_major_formatter(lambda value, _: percent(value))
    column[0].set_ylim(0, max(1.12 * np.nanmax(shares, initial=0), 1e-9))
    _name_first(column[0], shares[0], ratio_text(float(shares[0])))
    if compared:
        _bars(column[1], components, np.nan_to_num(moved))
        column[1].set_title("Variation vⱼ: how far training moved the texts along uⱼ")
        column[1].axhline(0, color=SOFT, linewidth=0.6)
        column[1].margins(y=0.15)
        _name_first(column[1], moved[0], signed(f"{moved[0]:.3g}"))
    cut = f" ({len(data)} of {known:,})" if len(data) < known else ""
    column[-1].set_xlabel(f"principal component{cut}")
    column[-1].xaxis.get_major_locator().set_params(integer=True)
    tokens = data["tokens"].iloc[0]
    if isinstance(tokens, str) and tokens.strip():
        text = fitted(f"{_FIRST} decodes to  {tokens}", 72 * (WIDTH - 0.8), size=SMALL)
        legend(figure, [(Patch(color=VERMILLION), text)])
    return settle(figure)


@house_style()
def contributions(data: pd.DataFrame) -> Figure:
    """What of each aligned token's logit lies along u_1 and what in the rest, for one text.

    Args:
        data: Rows of one text: columns id, text, rank, token, logit, first and rest, with logit =
            first + rest; parts may be negative. The first 30 by rank are drawn.

    Raises:
        ValueError: If the rows are of several texts.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if data.empty:
        return nothing("No aligned tokens.")
    if data["id"].nunique() > 1:
        raise ValueError(f"contributions are drawn for one text, not for {data['id'].nunique()}")
    drawn = data.sort_values("rank", kind="stable").head(_MOST_TOKENS)
    first, rest = drawn["first"].to_numpy(np.float64), drawn["rest"].to_numpy(np.float64)
    logits = drawn["logit"].to_numpy(np.float64)
    figure = new_figure(1.25 + 0.22 * len(drawn))
    axes = figure.subplots()
    places = np.arange(len(drawn))
    axes.barh(places, first, height=0.68, color=VERMILLION)
    # Of the same sign it goes on where the first part ends, else it starts at 0 as well.
    axes.barh(places, rest, left=np.where(first * rest > 0, first, 0.0), height=0.68, color=BLUE)
    axes.plot(logits, places, "D", color=INK, markersize=4.5, markeredgecolor="white", zorder=4)
    axes.axvline(0, color=SOFT, linewidth=0.6)
    for place, logit in zip(places, logits, strict=True):
        axes.text(
            1.01,
            float(place),
            signed(f"{logit:.2f}"),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=SMALL,
            color=SOFT,
        )
    names = [fitted(shown_token(token), 72 * 1.5, size=SMALL) for token in drawn["token"]]
    axes.set_yticks(places, names)
    axes.set_ylim(len(drawn) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    cut = f" ({len(drawn)} of {len(data):,} tokens)" if len(drawn) < len(data) else ""
    axes.set_xlabel(f"logit of the aligned token{cut}")
    title(axes, str(drawn["text"].iloc[0]), inches=WIDTH - 2)
    legend(
        figure,
        [
            (Patch(color=VERMILLION), f"part along {_FIRST}"),
            (Patch(color=BLUE), "the rest"),
            (Line2D([], [], color="none", marker="D", mfc=INK, mec="white"), "logit"),
        ],
    )
    return settle(figure)


@house_style()
def sweep(data: pd.DataFrame) -> Figure:
    """Hit@10 and nDCG@10 over the weight λ of u_1 that is added to the backbone's embeddings.

    Args:
        data: Columns weight (λ), task, hit, ndcg and v_1; a panel without any value is left out,
            and so is the line at v_1 where it is NaN.
    """
    panels = [
        (name, column)
        for name, column in (("Hit@10", "hit"), ("nDCG@10", "ndcg"))
        if data[column].notna().any()
    ]
    if not panels:
        return nothing("No weights were tried.")
    tasks = list(data["task"].unique())
    figure = new_figure(0.7 + len(panels) * max(1.9, 0.25 + 0.17 * len(tasks)))
    column = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    shift = data["v_1"].dropna()
    for axes, (name, values) in zip(column, panels, strict=True):
        axes.set_title(name)
        axes.grid(axis="y")
        ends = []
        for number, task in enumerate(tasks):
            rows = data[data["task"] == task].sort_values("weight", kind="stable")
            colour = COLOURS[number % len(COLOURS)]
            shown = rows[rows[values].notna()]
            dashes = _DASHES[number // len(COLOURS) % len(_DASHES)]
            axes.plot(
                shown["weight"],
                shown[values],
                color=colour,
                linestyle=dashes,
                marker="o",
                markersize=3.5,
            )
            if len(shown):
                ends.append((float(shown[values].iloc[-1]), str(task), colour))
        axes.margins(y=0.12)
        if len(shift):
            axes.axvline(float(shift.iloc[0]), color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
        _name_ends(axes, ends)
    column[-1].set_xlabel(f"λ, the weight of {_FIRST}")
    if len(shift):
        place = float(shift.iloc[0])
        left, right = column[0].get_xlim()
        after = place < (left + right) / 2
        column[0].annotate(
            signed(f"v₁ = {place:.3g}"),
            (place, 1),
            xycoords=column[0].get_xaxis_transform(),
            xytext=(4 if after else -4, 0),
            textcoords="offset points",
            ha="left" if after else "right",
            va="top",
            fontsize=SMALL,
            bbox=_PLATE,
        )
    return settle(figure)


def _bars(axes: Axes, components: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    colours = [VERMILLION, *[FAINT] * (len(values) - 1)]
    axes.bar(components, values, color=colours, width=0.8)
    axes.grid(axis="y")
    axes.set_xlim(0.1, max(components[-1], _FEWEST_PLACES) + 0.9)


def _name_first(axes: Axes, value: float, text: str) -> None:
    if np.isnan(value):
        return
    axes.annotate(
        text,
        (1.4, value),
        xytext=(4, -2 if value >= 0 else 2),
        textcoords="offset points",
        va="top" if value >= 0 else "bottom",
        fontsize=SMALL,
        color=VERMILLION,
        fontweight="bold",
        bbox=_PLATE,
    )


def _name_ends(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Names right of the lines' ends, moved apart where they would overlap."""
    if not ends:
        return
    low, high = axes.get_ylim()
    inches = axes.get_position().height * figure_of(axes).get_figheight()
    ends = sorted(ends)
    places = spread([end for end, _, _ in ends], _LINE * (high - low) / inches, low, high)
    for place, (_, name, colour) in zip(places, ends, strict=True):
        axes.text(
            1.015,
            place,
            fitted(name, 72 * 1.4),
            transform=axes.get_yaxis_transform(),
            va="center",
            color=colour,
        )
