"""What `harness train` made, as a table or as JSON lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from harness.reporting.terminal import print_json, standard_output
from harness.reporting.units import ABSENT, duration
from harness.text import printable


def print_training(
    records: Sequence[Mapping[str, Any]], output: Path, *, as_json: bool = False
) -> None:
    """Print a line a step.

    Args:
        records: See `harness.training.stages.perform`.
        output: Where the products are.
        as_json: One JSON object a step instead.
    """
    if as_json:
        print_json(records)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("stage", no_wrap=True)
    for name in ("steps", "trained", "tokens", "tokens/s", "loss", "held out", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    for record in records:
        tokens, seconds = record.get("tokens"), record.get("seconds")
        rate = tokens / seconds if tokens and seconds else None
        cells = [
            str(record["name"]),
            f"{record['steps']:,}",
            f"{record['trained_parameters'] / 1e6:.2f} M",
            _number(tokens, ",.0f"),
            _number(rate, ",.0f"),
            _number(record.get("loss"), ".4f"),
            _number(record.get("validation"), ".4f"),
            ABSENT if seconds is None else duration(seconds),
        ]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console = standard_output()
    console.print(table)
    console.print(Text(printable(f"written to {output}")), soft_wrap=True)


def _number(value: Any, form: str) -> str:
    return ABSENT if value is None else format(value, form)
