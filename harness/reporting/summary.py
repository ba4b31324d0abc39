"""Means over tasks, as benchmarks quote them: by task, by type, and of the types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from harness.evaluation.rows import ResultRow
from harness.reporting.terminal import standard_output
from harness.text import printable

ABSENT = "–"


@dataclass(frozen=True)
class Mean:
    """A mean over tasks.

    Attributes:
        value: The mean of the tasks' scores; None where a task has none.
        tasks: Tasks that have a score.
        of: Tasks that it should be over.
    """

    value: float | None
    tasks: int
    of: int

    @property
    def text(self) -> str:
        """The value, or how many of the tasks there are: a mean over fewer is no mean of all."""
        if self.tasks == 0:
            return ABSENT
        return f"{self.value:.4f}" if self.value is not None else f"{self.tasks} of {self.of}"


@dataclass(frozen=True)
class ModeMeans:
    """The means of one mode.

    Attributes:
        mode: Its name.
        by_type: Type of task to the mean over its tasks.
        over_tasks: Over all tasks.
        over_types: The mean of the types' means.
    """

    mode: str
    by_type: dict[str, Mean]
    over_tasks: Mean
    over_types: Mean


def means(rows: Sequence[ResultRow]) -> list[ModeMeans]:
    """Every mode's means over the main scores of tasks, as mteb averages them.

    A task's score is the mean over all its splits and subsets; a part of an aggregate counts as
    nothing of its own. A mean over tasks of which one has no score is none.

    Args:
        rows: One model's rows; tasks and types are all that any mode has a row of.
    """
    main = [row for row in rows if row.main and not row.part_of]
    types = {row.task: row.task_type for row in main}
    found = []
    for mode in dict.fromkeys(row.mode for row in main):
        scores = _task_scores(row for row in main if row.mode == mode)
        by_type = {
            kind: _mean([scores.get(task) for task in types if types[task] == kind])
            for kind in dict.fromkeys(types.values())
        }
        found.append(
            ModeMeans(
                mode=mode,
                by_type=by_type,
                over_tasks=_mean([scores.get(task) for task in types]),
                over_types=_mean([mean.value for mean in by_type.values()]),
            )
        )
    return found


def print_means(rows: Sequence[ResultRow]) -> None:
    """Print the means as a table on standard output; nothing where there are fewer than two tasks.

    Args:
        rows: One model's rows.
    """
    found = means(rows)
    if not found or found[0].over_tasks.of < 2:
        return
    types = list(found[0].by_type)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("mode")
    counts = {kind: found[0].by_type[kind].of for kind in types}
    for kind in types if len(types) > 1 else ():
        table.add_column(Text(printable(f"{kind} ({counts[kind]})")), justify="right")
    table.add_column(f"mean of {found[0].over_tasks.of} tasks", justify="right")
    if len(types) > 1:
        table.add_column(f"mean of {len(types)} types", justify="right")
    for mode in found:
        cells = [mode.by_type[kind].text for kind in types] if len(types) > 1 else []
        cells.append(mode.over_tasks.text)
        cells += [mode.over_types.text] if len(types) > 1 else []
        table.add_row(*(Text(printable(cell)) for cell in (mode.mode, *cells)))
    console = standard_output()
    console.print(Text("Means of the main scores", style="italic"))
    console.print(table)


def _task_scores(rows: Iterable[ResultRow]) -> Mapping[str, float | None]:
    """Task to score, see `means`."""
    places: dict[str, list[float | None]] = {}
    for row in rows:
        places.setdefault(row.task, []).append(row.value)
    return {task: _mean(values).value for task, values in places.items()}


def _mean(values: Sequence[float | None]) -> Mean:
    known = [value for value in values if value is not None]
    whole = len(known) == len(values) and bool(values)
    return Mean(float(np.mean(known)) if whole else None, len(known), len(values))
