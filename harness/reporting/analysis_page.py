"""The page of an analysis: figures, tables and aligned tokens under headings, all in one file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import __version__
from harness.files import write_text
from harness.reporting.figures_style import ABSENT, picture, shortened, shown_token, signed
from harness.reporting.pages import inline, policy_hash, templates
from harness.text import printable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_LARGEST_SVG = 150_000  # bytes: a larger one is shown as PNG
_LARGEST_FIGURES = 3_000_000  # bytes: more in one page are shown at half the resolution
_RESOLUTIONS = (200, 100)
_LONGEST_CELL = 300
_MOST_CHIPS = 50
_SHADES = 10


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of the page.

    Attributes:
        heading: Its heading.
        text: A paragraph in plain language; an empty line begins another.
        figure: Shown when given.
        table: Shown when given: the first `rows` rows.
        tokens: Aligned tokens of texts, shown when given: columns id, text, rank, token, weight
            and literal; the first `rows` texts.
        rows: At most so many rows, or texts.
        file: The Parquet file that holds all rows, for the note on those left out.
    """

    heading: str
    text: str
    figure: Figure | None = None
    table: pd.DataFrame | None = None
    tokens: pd.DataFrame | None = None
    rows: int = 20
    file: str = ""


@dataclass(frozen=True)
class _Cell:
    text: str
    number: bool


@dataclass(frozen=True)
class _Table:
    header: list[_Cell]
    rows: list[list[_Cell]]
    note: str


@dataclass(frozen=True)
class _Chip:
    """One token; `shade` from 1 to 10 is its weight over the text's largest."""

    text: str
    title: str
    shade: int
    literal: bool


@dataclass(frozen=True)
class _Chips:
    texts: list[tuple[str, list[_Chip]]]
    note: str


def write_page(path: Path, *, title: str, model: str, sections: Sequence[Section]) -> Path:
    """Write one HTML page that loads nothing and runs no script.

    Args:
        path: The file; its folder is made when missing.
        title: The page's title.
        model: Name of the model that was analysed.
        sections: In order.

    Returns:
        The path.
    """
    style = inline("analysis.css")
    page = (
        templates()
        .get_template("analysis.html.j2")
        .render(
            title=printable(title),
            model=printable(model),
            sections=[
                _shown(section, image)
                for section, image in zip(sections, _images(sections), strict=True)
            ],
            version=__version__,
            style=style,
            style_hash=policy_hash(style),
        )
    )
    write_text(path, page)
    return path


def _shown(section: Section, image: str) -> dict[str, Any]:
    texts = [shortened(part, 5000) for part in section.text.split("\n\n")]
    figure = section.figure
    return {
        "heading": printable(section.heading),
        "texts": [text for text in texts if text],
        "image": image,
        "width": 0 if figure is None else round(figure.get_figwidth() * 100),
        "height": 0 if figure is None else round(figure.get_figheight() * 100),
        "table": None if section.table is None else _table(section.table, section),
        "chips": None if section.tokens is None else _chips(section.tokens, section),
    }


def _images(sections: Sequence[Section]) -> list[str]:
    """Each section's figure, or an empty text, at a resolution that keeps the page small."""
    for resolution in _RESOLUTIONS:
        images = [
            "" if section.figure is None else _image(section.figure, resolution)
            for section in sections
        ]
        if sum(map(len, images)) <= _LARGEST_FIGURES:
            break
    return images


def _image(figure: Figure, resolution: int) -> str:
    """The figure as a `data:` address: as SVG where it is small.

    As an image, and not as a part of the page, its ids and styles meet no others'.
    """
    content, kind = picture(figure, "svg"), "svg+xml"
    if len(content) > _LARGEST_SVG:
        content, kind = picture(figure, "png", resolution=resolution), "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _table(data: pd.DataFrame, section: Section) -> _Table:
    shown = data.head(section.rows)
    numbers = [_is_number(data[name]) for name in data.columns]
    header = [
        _Cell(printable(str(name)), number) for name, number in zip(shown, numbers, strict=True)
    ]
    rows = [
        [_Cell(_text(value), number) for value, number in zip(row, numbers, strict=True)]
        for row in shown.itertuples(index=False, name=None)
    ]
    return _Table(header, rows, _note(len(data) - len(shown), "row", section.file))


def _chips(data: pd.DataFrame, section: Section) -> _Chips:
    texts = []
    groups = list(data.groupby("id", sort=False))
    for _, part in groups[: section.rows]:
        rows = part.sort_values("rank", kind="stable").head(_MOST_CHIPS)
        largest = rows["weight"].max()
        chips = [
            _Chip(
                text=shortened(shown_token(row["token"]), 40),
                title=f"rank {row['rank']}, weight {_text(row['weight'])}"
                + (", a token of the text itself" if row["literal"] else ""),
                shade=_shade(row["weight"], largest),
                literal=bool(row["literal"]),
            )
            for row in rows.to_dict(orient="records")
        ]
        texts.append((shortened(str(rows["text"].iloc[0]), _LONGEST_CELL), chips))
    return _Chips(texts, _note(len(groups) - len(texts), "text", section.file))


def _shade(weight: float, largest: float) -> int:
    """From 1 to 10; a text without a weight above 0 has them all alike."""
    if not largest > 0 or not weight > 0:
        return 1
    return max(1, round(_SHADES * weight / largest))


def _note(left_out: int, thing: str, file: str) -> str:
    if left_out <= 0:
        return ""
    things = thing if left_out == 1 else f"{thing}s"
    verb = "is" if left_out == 1 else "are"
    where = f"in {printable(file)}" if file else "not shown"
    return f"{left_out:,} more {things} {verb} {where}."


def _is_number(column: pd.Series) -> bool:
    return column.dtype.kind in "iuf"


def _text(value: Any) -> str:
    from pandas import isna
    from pandas.api.types import is_bool, is_float, is_integer, is_scalar

    if is_scalar(value) and isna(value):
        return ABSENT
    if is_bool(value):
        return "yes" if value else "no"
    if is_integer(value):
        return signed(f"{int(value):,}")
    if is_float(value):
        return signed(f"{float(value):.4g}")
    return shortened(str(value), _LONGEST_CELL)
