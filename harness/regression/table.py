"""Checks in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.regression.check import Check
from harness.regression.words import allowed, change, figure_name, p_text, tables, values
from harness.text import printable

COLUMNS = ("mode", "figure", "baseline", "now", "change", "allowed", "p", "verdict")
_TEXT = ("mode", "figure", "verdict")


def print_checks(console: Console, checks: Sequence[Check]) -> None:
    """Print one table a task, split and subset; figures of cost and time only where they moved."""
    for (task, place), group in tables(checks).items():
        split, _, subset = place.partition("/")
        console.print(Text(printable(f"{task} ({split}, {subset})"), style="italic"))
        table = Table(box=box.SIMPLE_HEAD)
        for name in COLUMNS:
            table.add_column(name, justify="left" if name in _TEXT else "right")
        for check in group:
            cells = [Text(printable(cell)) for cell in row(check)]
            table.add_row(*cells, style="bold" if check.alarms else "")
        console.print(table)


def row(check: Check) -> tuple[str, ...]:
    """The cells of a check, as `COLUMNS`."""
    return (
        check.system.mode,
        figure_name(check),
        *values(check),
        change(check),
        allowed(check),
        p_text(check),
        check.verdict.value,
    )
