"""The comparison with dense in the terminal: what each mode keeps, and whether that is enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from harness.reporting.assessment import Share
from harness.reporting.boards import Board, outcomes_text, share_text
from harness.reporting.standings import ALL, Standings
from harness.reporting.systems import ABSENT, System
from harness.reporting.terminal import standard_output
from harness.reporting.units import p_text, ratio_text
from harness.text import printable

MOST_LINES = 40

_Line = tuple[str, System, Share]


def print_verdicts(standings: Standings, boards: Sequence[Board]) -> None:
    """Print every share of dense, task by task and over tasks, on standard output.

    Where that is more than `MOST_LINES` lines, those over tasks only, the best first.

    Args:
        standings: The assessed systems.
        boards: Their tables by task.
    """
    by_task = [
        (board.heading, standings.systems[line.system], line.assessment.share)
        for board in boards
        for line in board.standings
        if line.assessment.share is not None
    ]
    overall = [
        (f"mean of {line.share.tasks} tasks", system, line.share)
        for system, line in zip(standings.systems, standings.overall[ALL], strict=True)
        if line is not None and line.share is not None and line.share.tasks > 1
    ]
    overall.sort(key=lambda one: (-one[2].tasks, -one[2].value))
    shown = [*by_task, *overall]
    if len(shown) > MOST_LINES and overall:
        shown = overall[:MOST_LINES]
    if shown:
        title = f"of dense of the same model; to be reached: {ratio_text(standings.threshold)}"
        console = standard_output()
        console.print(Text(title, style="italic"))
        console.print(_table(shown))


def _table(lines: Sequence[_Line]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("task", overflow="fold")
    table.add_column("mode", overflow="fold")
    for name in ("of dense, 95 % interval", "verdict", "p", "win/tie/loss"):
        table.add_column(name, justify="right", no_wrap=True)
    models = _brief({system.row.model for _, system, _ in lines})
    modes = Counter((task, system.row.model, system.row.mode) for task, system, _ in lines)
    last = ""
    for task, system, share in lines:
        name = system.row.mode
        if modes[task, system.row.model, system.row.mode] > 1:
            name += f" {system.name.rpartition('-')[2][:6]}"
        if len(models) > 1:
            name += f"\n  {models[system.row.model]}"
        if last and task != last:
            table.add_section()
        cells = (
            "" if task == last else task,
            name,
            share_text(share),
            share.verdict or ABSENT,
            p_text(share.p),
            outcomes_text(share),
        )
        lost = share.verdict == "not reached"
        table.add_row(
            *(Text("\n".join(map(printable, cell.split("\n")))) for cell in cells),
            style="bold" if lost else "",
        )
        last = task
    return table


def _brief(models: Collection[str]) -> dict[str, str]:
    """Each model's name without its owner, where that keeps them distinct."""
    brief = {model: model.rpartition("/")[2] for model in models}
    return brief if len(set(brief.values())) == len(brief) else {model: model for model in models}
