"""The leaderboard as CSV, for machines and spreadsheets, and as Markdown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from harness.reporting.standings import COLUMNS, PUBLISHED, VALUE, Board, Column, Standing

_NAMES = ("model", "mode", "kind", "settings", "task", "split", "subset", "metric")
_ORIGIN = ("hardware", "commit", "dataset_revision", "experiment")
_FORMULA = re.compile(r"\s*[=+\-@]|[\t\r\n]")
_MARKDOWN = re.compile(r"[\\`*\[\]|~#]|(?<![^\W_])_|_(?![^\W_])")


def csv_text(tables: Sequence[Board]) -> str:
    """All rows under one header, figures in full; absent ones are empty."""
    figures = (VALUE, *COLUMNS)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = [column.name for column in figures]
    # At the end, so that the others keep their places.
    last = [column.name for column in PUBLISHED]
    writer.writerow([*_NAMES, *names, *_ORIGIN, *last])
    for table in tables:
        for standing in table.standings:
            row = standing.row
            texts = {**row.__dict__, "settings": standing.settings}
            writer.writerow(
                [
                    *(_harmless(texts[name]) for name in _NAMES),
                    *(column.figure(standing) for column in figures),
                    *(_harmless(texts[name]) for name in _ORIGIN),
                    *(column.figure(standing) for column in PUBLISHED),
                ]
            )
    return file.getvalue()


def markdown_text(tables: Sequence[Board], *, title: str, summary: str) -> str:
    """One table a board, under headings.

    Args:
        tables: The boards.
        title: The document's heading.
        summary: A sentence under it.
    """
    parts = [f"# {escape_markdown(title)}", escape_markdown(summary)]
    for table in tables:
        header = ["", "model", "mode", "settings", table.metric, *(c.header for c in table.columns)]
        lines = [_line([escape_markdown(cell) for cell in header])]
        lines.append(_line(["---:", *["---"] * 3, *["---:"] * (len(table.columns) + 1)]))
        lines += [_line(_cells(standing, table.columns)) for standing in table.standings]
        measured = [
            f"Measured on {escape_markdown(where)}."
            if not mark
            else f"({mark}) Measured on {escape_markdown(where)}."
            for mark, where in table.conditions
        ]
        parts += [
            f"## {escape_markdown(table.heading)}",
            f"{escape_markdown(table.facts)}.",
            "\n".join(lines),
            "\n\n".join(measured),
        ]
    return "\n\n".join(parts) + "\n"


def escape_markdown(text: str) -> str:
    """Text from outside that Markdown shows as it is: no markup, no HTML, one line."""
    inert = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(lambda found: "\\" + found[0], inert)


def _cells(standing: Standing, columns: Sequence[Column]) -> list[str]:
    row = standing.row
    mode = f"{row.mode} ({standing.mark})" if standing.mark else row.mode
    return [
        str(standing.number),
        *(escape_markdown(text) for text in (row.model, mode, standing.settings)),
        *(column.cell(standing) for column in (VALUE, *columns)),
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _harmless(text: str) -> str:
    """The text, marked as text where a spreadsheet would take it for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text
