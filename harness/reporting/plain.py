"""The leaderboard as CSV, for machines and spreadsheets, and as Markdown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from harness.markdown import inert, table_line
from harness.reporting.boards import COLUMNS, Board
from harness.reporting.costs import SHOWN_COSTS
from harness.reporting.standings import Standings
from harness.reporting.tables import TextTable
from harness.text import printable

_NAMES = ("model", "mode", "kind", "settings", "task", "split", "subset", "metric")
_ORIGIN = ("hardware", "commit", "dataset_revision", "experiment")
# Columns keep their places: what came later stands at the end.
_FIRST = (
    *("value", "ratio", "query_flops", "document_flops", "latency_p50_ms", "latency_p95_ms"),
    *("index_bytes", "documents_per_second"),
)
_THEN = ("published", "difference")
_OVERALL = ("mean", "low", "high", "rank", "borda", "rank_borda", "group", "tasks", "missing")
_FORMULA = re.compile(r"\s*[=+\-@]|[\t\r\n]")


def csv_text(tables: Sequence[Board]) -> str:
    """All rows under one header, figures in full; absent ones are empty."""
    by_name = {column.name: column for column in COLUMNS}
    first, then = ([by_name[name] for name in names] for names in (_FIRST, _THEN))
    last = [column for column in COLUMNS if column not in first and column not in then]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = [[column.name for column in columns] for columns in (first, then, last)]
    writer.writerow([*_NAMES, *names[0], *_ORIGIN, *names[1], *names[2]])
    for table in tables:
        for standing in table.standings:
            texts = {**standing.row.__dict__, "settings": standing.settings}
            writer.writerow(
                [
                    *(_harmless(texts[name]) for name in _NAMES),
                    *(column.figure(standing) for column in first),
                    *(_harmless(texts[name]) for name in _ORIGIN),
                    *(column.figure(standing) for column in (*then, *last)),
                ]
            )
    return file.getvalue()


def overall_csv_text(standings: Standings) -> str:
    """Means, ranks and macro shares of all systems, a line each and tab; absent ones are empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    shares = ("value", "low", "high", "verdict", "p", "wins", "ties", "losses", "tasks")
    writer.writerow(
        [
            *("tasks_of", "model", "mode", "kind", "settings", "system", *_OVERALL),
            *(f"ratio_{name}" if name != "value" else "ratio" for name in shares),
            *SHOWN_COSTS,
        ]
    )
    for tab, lines in standings.overall.items():
        for system, line in zip(standings.systems, lines, strict=True):
            if line is not None:
                row = system.row
                texts = (tab, row.model, row.mode, row.kind, system.settings, system.name)
                writer.writerow(
                    [
                        *map(_harmless, texts),
                        *(getattr(line, name) for name in _OVERALL),
                        *(getattr(line.share, name, None) for name in shares),
                        *(line.costs[name] for name in SHOWN_COSTS),
                    ]
                )
    return file.getvalue()


def markdown_text(tables: Sequence[TextTable], *, title: str, summary: str) -> str:
    """The tables under headings.

    Args:
        tables: The tables.
        title: The document's heading.
        summary: A sentence under it.
    """
    parts = [f"# {escape_markdown(title)}", escape_markdown(summary)]
    for table in tables:
        figures = len(table.header) - table.text_columns
        numbered = table.header[0] == ""
        rule = ["---:" if numbered else "---", *["---"] * (table.text_columns - 1)]
        lines = [_line(table.header), table_line([*rule, *["---:"] * figures])]
        lines += [_line(row) for row in table.rows]
        parts += [
            f"## {escape_markdown(table.heading)}",
            *(escape_markdown(text) for text in table.before),
            "\n".join(lines),
            *(escape_markdown(text) for text in table.after),
        ]
    return "\n\n".join(parts) + "\n"


def escape_markdown(text: str) -> str:
    """Text from outside that Markdown shows as it is, on one line."""
    return inert(printable(" ".join(text.split())))


def _line(cells: Sequence[str]) -> str:
    return table_line([escape_markdown(cell) for cell in cells])


def _harmless(text: str) -> str:
    """The text, marked as text where a spreadsheet would take it for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text
