"""The comparison in the terminal, and as JSON lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from rich import box
from rich.table import Table
from rich.text import Text

from harness.evaluation.published import Comparison
from harness.evaluation.rows import ResultRow
from harness.reporting.cost_table import break_even_lines, cost_table
from harness.reporting.costs import document_flops
from harness.reporting.terminal import print_json, standard_output
from harness.reporting.units import ABSENT, bytes_text, metric_name, milliseconds, ratio_text, si
from harness.text import printable

_COLUMNS = ("mode", "value", "of dense", "FLOPs/query", "ms/query", "index", "FLOPs/document")
_ALWAYS = ("mode", "value", "of dense")


def json_lines(rows: Sequence[ResultRow], comparisons: Sequence[Comparison] = ()) -> None:
    """Print each row as one JSON object on standard output.

    Args:
        rows: The figures.
        comparisons: Published scores of some of these rows; they add `published`, `difference` and
            `published_revision` to theirs.
    """
    official = {
        id(one.row): {
            "published": one.published.value,
            "difference": one.difference,
            "published_revision": one.published.revision,
        }
        for one in comparisons
    }
    print_json(row.flat() | official.get(id(row), {}) for row in rows)


def print_comparison(
    rows: Sequence[ResultRow], notes: Mapping[str, str] | None = None, *, costs: bool = False
) -> None:
    """Print one table a task, split, subset and metric on standard output.

    Figures that no mode has are left out, as are the parts of a task that is shown as a whole.

    Args:
        rows: The figures.
        notes: Task name to a line that goes with its tables.
        costs: Whether a table of every cost figure goes with the main metric's.
    """
    console = standard_output()
    whole = {row.task for row in rows}
    shown = [row for row in rows if row.part_of not in whole]
    for (task, subset, split, metric), group in groupby(
        sorted(shown, key=_place), key=lambda row: (row.task, row.subset, row.split, row.metric)
    ):
        members = list(group)
        title = printable(f"{members[0].model} on {task} ({split}, {subset})")
        console.print(Text(title, style="italic"))
        if note := (notes or {}).get(task):
            console.print(Text(printable(note), style="dim"))
        console.print(_table(members, metric))
        if members[0].main:
            if costs:
                console.print(cost_table(members))
            for line in break_even_lines(members):
                console.print(Text(printable(line), style="dim"))
    if rows:
        where = sorted({f"{row.hardware}, commit {row.commit or 'unknown'}" for row in rows})
        for line in where:
            console.print(Text(f"measured on {line}", style="dim"))


def _table(rows: Sequence[ResultRow], metric: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    lines = [_cells(row) for row in rows]
    kept = [
        column
        for column, name in enumerate(_COLUMNS)
        if name in _ALWAYS or any(line[column] != ABSENT for line in lines)
    ]
    for column in kept:
        name = _COLUMNS[column]
        table.add_column(
            metric_name(metric) if name == "value" else name,
            justify="left" if name == "mode" else "right",
        )
    best = max((row.value for row in rows if row.value is not None), default=None)
    for row, line in zip(rows, lines, strict=True):
        cells = [Text(printable(line[column])) for column in kept]
        table.add_row(*cells, style="bold" if row.value == best else "")
    return table


def _cells(row: ResultRow) -> list[str]:
    cost = row.cost
    return [
        row.mode,
        ABSENT if row.value is None else f"{row.value:.4f}",
        ratio_text(row.ratio),
        si(cost.get("query_flops")),
        milliseconds(cost.get("latency_p50_ms")),
        bytes_text(cost.get("index_bytes")),
        si(document_flops(row)),
    ]


def _place(row: ResultRow) -> tuple[bool, str, str, str, str]:
    return (not row.main, row.task, row.split, row.subset, row.metric)
