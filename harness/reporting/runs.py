"""The runs of a results folder as a table or as JSON lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from rich import box
from rich.table import Table
from rich.text import Text

from harness.evaluation.run_status import STATUSES, RunStatus
from harness.reporting.terminal import print_json, standard_output
from harness.reporting.units import ABSENT, duration
from harness.text import listed, printable

_STYLES = {"partial": "yellow", "failed": "red", "killed": "red", "running": "green"}


def run_lines(runs: Sequence[RunStatus]) -> None:
    """Print one JSON object a run on standard output."""
    print_json(map(asdict, runs))


def print_runs(runs: Sequence[RunStatus]) -> None:
    """Print a line a run, and what did not finish below it.

    Args:
        runs: In the order that they are shown in.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("started", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for name in ("model", "tasks", "modes"):
        table.add_column(name, overflow="fold")
    for name in ("computed", "kept", "encoded", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in runs:
        modes = list(dict.fromkeys(mode for own in run.tasks.values() for mode in own))
        cells = [
            run.started[:19].replace("T", " "),
            run.status,
            run.model.rpartition("/")[2],
            listed(list(run.tasks), most=3),
            ", ".join(modes),
            f"{run.computed:,}",
            f"{run.kept:,}",
            f"{run.texts_encoded:,}",
            ABSENT if run.seconds is None else duration(run.seconds),
        ]
        texts = [Text(printable(cell)) for cell in cells]
        texts[1].stylize(_STYLES.get(run.status, ""))
        table.add_row(*texts)
    console = standard_output()
    console.print(table)
    for run in runs:
        lines = run.failed if run.status in ("partial", "failed") else []
        if run.status in ("running", "unknown") and run.host:
            lines = [f"process {run.pid} on {run.host}"]
        if run.status == "killed":
            lines = ["its process is gone; the same command computes what is missing"]
        for line in lines:
            console.print(Text(printable(f"{run.name} {run.status}: {line}")), soft_wrap=True)


def counts_line(runs: Sequence[RunStatus]) -> str:
    """How many runs there are of each status: `12 runs: 10 done, 1 partial, 1 failed`."""
    counts = Counter(run.status for run in runs)
    told = [f"{counts[status]:,} {status}" for status in STATUSES if counts[status]]
    return f"{len(runs):,} run{'s' * (len(runs) != 1)}" + (f": {', '.join(told)}" if told else "")
