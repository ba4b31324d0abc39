"""The leaderboard: one self-contained page, and the same rows as CSV and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from markupsafe import Markup

from harness import __version__
from harness.files import write_text
from harness.reporting.collect import Collection
from harness.reporting.pages import inline, policy_hash, templates
from harness.reporting.plain import csv_text, markdown_text
from harness.reporting.scatter import Point, scatter
from harness.reporting.standings import ABSENT, DIFFERENCE, VALUE, Board, Standing, boards

_KINDS = ("dense", "aligned_sparse", "hybrid", "bm25")  # these keep their colour on every page
_COLOURS = 8


@dataclass(frozen=True)
class _Plot:
    """A board's plot; `svg` is empty where no point has a place, `legend` the kinds that it has."""

    svg: Markup
    caption: str
    legend: list[str]


def write_leaderboard(collection: Collection, folder: Path, *, title: str, today: date) -> Path:
    """Write `index.html`, `leaderboard.csv` and `leaderboard.md`.

    Args:
        collection: The results.
        folder: Where the files go; made when missing.
        title: The page's title.
        today: The date that the page bears.

    Returns:
        The page's path.
    """
    tables = boards(collection.entries)
    page = folder / "index.html"
    write_text(folder / "leaderboard.csv", csv_text(tables))
    summary = f"{_summary(collection)} Generated {today.isoformat()}."
    write_text(folder / "leaderboard.md", markdown_text(tables, title=title, summary=summary))
    write_text(page, html_text(collection, tables, title=title, today=today))
    return page


def html_text(collection: Collection, tables: Sequence[Board], *, title: str, today: date) -> str:
    """The page; its content security policy lets it load nothing and run its own script only."""
    colours = _colours(entry.row.kind for entry in collection.entries)
    style, script = inline("leaderboard.css"), inline("sort.js")
    return (
        templates()
        .get_template("leaderboard.html")
        .render(
            title=title,
            today=today.isoformat(),
            summary=_summary(collection),
            tables=[
                (table, _plot(table, number, colours)) for number, table in enumerate(tables, 1)
            ],
            value=VALUE,
            compared=any(entry.comparison for entry in collection.entries),
            difference=DIFFERENCE,
            absent=ABSENT,
            colours=colours,
            bar=_bar,
            version=__version__,
            style=style,
            script=script,
            style_hash=policy_hash(style),
            script_hash=policy_hash(script),
        )
    )


def _summary(collection: Collection) -> str:
    """How much there is, and what is left out."""
    rows = [entry.row for entry in collection.entries]
    counts = (
        _count(len(rows), "result"),
        _count(len({row.task for row in rows}), "task"),
        _count(len({row.model for row in rows if row.encoder}), "model"),
        _count(len({row.mode for row in rows}), "retrieval mode"),
    )
    missing = len(collection.unreadable)
    left_out = f" {_count(missing, 'more result')} could not be read." if missing else ""
    return f"{counts[0]}: {', '.join(counts[1:])}.{left_out}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _colours(kinds: Iterable[str]) -> dict[str, int]:
    known = dict.fromkeys((*_KINDS, *sorted(set(kinds) - set(_KINDS))))
    return {kind: number % _COLOURS + 1 for number, kind in enumerate(known)}


def _plot(table: Board, number: int, colours: dict[str, int]) -> _Plot:
    points = [
        Point(
            x=standing.row.cost.get("query_flops"),
            y=standing.row.value,
            label=standing.label,
            colour=colours[standing.row.kind],
        )
        for standing in table.standings
    ]
    svg = scatter(
        points,
        x_label="FLOPs per query",
        y_label=table.metric,
        title=f"{table.heading}: {table.metric} against FLOPs per query",
        name=f"plot-{number}",
    )
    absent = [point.label for point in points if not point.drawable]
    if not svg:
        none = "No plot: no result has both a value and FLOPs per query above 0."
        asks = any(column.name == "query_flops" for column in table.columns)
        return _Plot(Markup(), none if asks else "", [])
    caption = f"{table.metric} against FLOPs per query, logarithmic."
    if any(point.label.isdecimal() for point in points):
        caption += " Numbers are those of the table’s lines."
    if absent:
        caption += f" Not drawn, for want of a value or of FLOPs above 0: {', '.join(absent)}."
    legend = sorted({standing.row.kind for standing in table.standings}, key=colours.__getitem__)
    return _Plot(Markup(svg), caption, legend)  # every text in the plot is escaped


def _bar(standing: Standing, table: Board) -> str:
    """Length of a value's bar in per cent of 1, or of the largest value where that is above 1."""
    largest = max(1.0, *(other.row.value or 0.0 for other in table.standings))
    return f"{100 * max(0.0, standing.row.value or 0.0) / largest:.2f}"
