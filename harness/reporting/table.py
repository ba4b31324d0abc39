"""The comparison in the terminal, and as JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby

from rich import box
from rich.table import Table
from rich.text import Text

from harness.evaluation.results import without_nan
from harness.evaluation.rows import ResultRow
from harness.reporting.standings import document_flops
from harness.reporting.terminal import standard_output
from harness.reporting.units import bytes_text, metric_name, milliseconds, ratio_text, si
from harness.text import printable

_COLUMNS = ("mode", "value", "of dense", "FLOPs/query", "ms/query", "index", "FLOPs/document")


def json_lines(rows: Sequence[ResultRow]) -> None:
    """Print each row as one JSON object on standard output."""
    for row in rows:
        line = json.dumps(without_nan(row.flat()), ensure_ascii=False, allow_nan=False)
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def print_comparison(rows: Sequence[ResultRow], notes: Mapping[str, str] | None = None) -> None:
    """Print one table a task, split, subset and metric on standard output.

    Args:
        rows: The figures.
        notes: Task name to a line that goes with its tables.
    """
    console = standard_output()
    for (task, subset, split, metric), group in groupby(
        sorted(rows, key=_place), key=lambda row: (row.task, row.subset, row.split, row.metric)
    ):
        members = list(group)
        title = printable(f"{members[0].model} on {task} ({split}, {subset})")
        console.print(Text(title, style="italic"))
        if note := (notes or {}).get(task):
            console.print(Text(printable(note), style="dim"))
        table = Table(box=box.SIMPLE_HEAD)
        for name in _COLUMNS:
            table.add_column(
                metric_name(metric) if name == "value" else name,
                justify="left" if name == "mode" else "right",
            )
        best = max((row.value for row in members if row.value is not None), default=None)
        for row in members:
            style = "bold" if row.value == best else ""
            table.add_row(*_cells(row), style=style)
        console.print(table)
    if rows:
        where = sorted({f"{row.hardware}, commit {row.commit or 'unknown'}" for row in rows})
        for line in where:
            console.print(Text(f"measured on {line}", style="dim"))


def _cells(row: ResultRow) -> list[Text]:
    cost = row.cost
    return [
        Text(printable(cell))
        for cell in (
            row.mode,
            "-" if row.value is None else f"{row.value:.4f}",
            ratio_text(row.ratio),
            si(cost.get("query_flops")),
            milliseconds(cost.get("latency_p50_ms")),
            bytes_text(cost.get("index_bytes")),
            si(document_flops(row)),
        )
    ]


def _place(row: ResultRow) -> tuple[bool, str, str, str, str]:
    return (not row.main, row.task, row.split, row.subset, row.metric)
