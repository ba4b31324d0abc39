"""The house style of figures: one context of settings, colours, and names that fit their place."""

from __future__ import annotations

import io
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from harness.text import printable

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 8.0  # inches: 800 px on a page, so that 9 points are 12 px
SIZE, SMALL = 9.0, 8.0
INK, SOFT, RULE, FAINT = "#1c1e21", "#5b6067", "#d5d5d0", "#a9aeb4"
# From the palettes of Okabe and Ito and of Tol: colour-blind readers tell them apart.
BLUE, VERMILLION, GREEN, ORANGE = "#0072b2", "#d55e00", "#009e73", "#e69f00"
COLOURS = (BLUE, VERMILLION, GREEN, "#aa3377", INK, "#8a7200", "#56b4e9")
SPACE = "\u2423"
ABSENT = "–"
_NO_METADATA = {
    "png": {"Software": None},
    "svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
}
# Taken where installed: the bundled font has no Chinese, Japanese or Korean, nor Indian scripts.
_WIDE_FONTS = ("Noto Sans CJK SC", "Noto Sans Devanagari", "Arial Unicode MS", "Unifont")
_STYLE: dict[str, Any] = {
    "font.size": SIZE,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.labelsize": SIZE,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": SIZE + 1,
    "axes.titleweight": "bold",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "xtick.color": SOFT,
    "xtick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "xtick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.color": SOFT,
    "ytick.labelcolor": INK,
    "ytick.labelsize": SMALL,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "legend.fontsize": SMALL,
    "legend.handlelength": 1.4,
    "lines.linewidth": 1.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "harness",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's own defaults with the house's settings on top, whatever a user's file says.

    A character that no font has is drawn as a box, without a warning.
    """
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcdefaults()
        settings: Any = mpl.rcParams  # its stub wants literal names
        settings.update(_STYLE)
        settings["font.family"] = ["DejaVu Sans", *_installed(), "sans-serif"]
        settings["font.sans-serif"] = ["DejaVu Sans"]
        yield


def new_figure(height: float) -> Figure:
    """An empty figure of the house's width and a height in inches, laid out automatically."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), dpi=100, layout="constrained", facecolor="white")


def figure_of(axes: Axes) -> Figure:
    """The whole figure that axes are in."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def settle(figure: Figure) -> Figure:
    """Lay the figure out once and for all: later drawings move nothing."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def nothing(reason: str) -> Figure:
    """A figure that says why it shows nothing."""
    figure = new_figure(1.0)
    figure.text(0.5, 0.5, printable(reason), ha="center", va="center", color=SOFT)
    return settle(figure)


def picture(figure: Figure, kind: str, *, resolution: int = 200) -> bytes:
    """The figure as a file: the same figure gives the same bytes.

    Args:
        figure: Any figure of this package.
        kind: `png`, or `svg` with text as text.
        resolution: Of a PNG, dots an inch.
    """
    file = io.BytesIO()
    with house_style():
        figure.savefig(file, format=kind, dpi=resolution, metadata=_NO_METADATA[kind])
    return file.getvalue()


def shown_token(token: str) -> str:
    """A token on one line whose outer spaces are seen."""
    text = printable(str(token))
    inner = text.strip(" ")
    if not inner:
        return SPACE * len(text) or "(empty)"
    before = len(text) - len(text.lstrip(" "))
    after = len(text) - len(text.rstrip(" "))
    return SPACE * before + inner + SPACE * after


def shortened(text: str, longest: int) -> str:
    """Text on one line, cut to a number of columns; Chinese characters take two."""
    line = " ".join(printable(" ".join(str(text).split())).split())
    if _columns(line) <= longest:
        return line
    kept = ""
    for char in line:
        if _columns(kept + char) > longest - 1:
            break
        kept += char
    return f"{kept.rstrip()}…"


def fitted(text: str, points: float, *, size: float = SIZE, bold: bool = False) -> str:
    """Text on one line, cut to a width in points."""
    line = shortened(text, 400)
    if text_width(line, size=size, bold=bold) <= points:
        return line
    low, high = 0, len(line)
    while low < high:
        middle = (low + high + 1) // 2
        if text_width(line[:middle].rstrip() + "…", size=size, bold=bold) <= points:
            low = middle
        else:
            high = middle - 1
    return f"{line[:low].rstrip()}…"


def wrapped(text: str, points: float, lines: int, *, size: float = SIZE, bold: bool = False) -> str:
    """Text broken between words to a width in points, cut to a number of lines."""
    rows: list[str] = []
    words = shortened(text, 400).split()
    while words and len(rows) < lines - 1:
        fits = 1
        while fits < len(words) and (
            text_width(" ".join(words[: fits + 1]), size=size, bold=bold) <= points
        ):
            fits += 1
        rows.append(fitted(" ".join(words[:fits]), points, size=size, bold=bold))
        words = words[fits:]
    if words:
        rows.append(fitted(" ".join(words), points, size=size, bold=bold))
    return "\n".join(rows)


def text_width(text: str, *, size: float = SIZE, bold: bool = False) -> float:
    """Width in points; to be called inside `house_style`."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    width: float = text_to_path.get_text_width_height_descent(text, font, False)[0]
    return width


def spread(places: Sequence[float], step: float, low: float, high: float) -> list[float]:
    """Ascending places moved apart by at least a step, as little as that takes.

    Args:
        places: Ascending.
        step: At least this far apart.
        low: None below.
        high: None above, unless there is too little room.
    """
    # Less number times step, they have to ascend: the nearest such places are means of neighbours.
    groups: list[tuple[float, int]] = []
    for number, place in enumerate(places):
        mean, size = place - number * step, 1
        while groups and groups[-1][0] >= mean:
            other, count = groups.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        groups.append((mean, size))
    levels = [mean for mean, size in groups for _ in range(size)]
    highest = high - step * (len(places) - 1)
    return [min(max(mean, low), highest) + n * step for n, mean in enumerate(levels)]


def percent(value: float) -> str:
    """A share as per cent with as many digits as it needs: `5 %`, `0.02 %`."""
    return f"{100 * value:.4g} %"


def signed(number: str) -> str:
    """A formatted number with a true minus sign."""
    return number.replace("-", "−")


def legend(figure: Figure, entries: Sequence[tuple[Artist, str]], *, columns: int = 8) -> None:
    """Named marks under the panels, in rows of a number of columns."""
    figure.legend(
        [handle for handle, _ in entries],
        [name for _, name in entries],
        loc="outside lower left",
        ncols=min(len(entries), columns),
        columnspacing=1.6,
    )


def title(axes: Axes, text: str, *, inches: float = WIDTH - 0.4) -> None:
    """A bold title from outside, cut to a width in inches."""
    axes.set_title(fitted(text, 72 * inches, size=SIZE + 1, bold=True))


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


@cache
def _installed() -> tuple[str, ...]:
    from matplotlib.font_manager import fontManager

    names = set(fontManager.get_font_names())
    return tuple(font for font in _WIDE_FONTS if font in names)
