"""Means over tasks, as benchmarks quote them: by task, by type, and of the types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from harness.evaluation.rows import ResultRow
from harness.reporting.systems import ABSENT
from harness.reporting.terminal import standard_output
from harness.text import printable


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

    A task's score is the mean over all its splits and subsets; the parts of an aggregate count as
    that task, whether it is finished or not. A mean over tasks of which one has no score is none.

    Args:
        rows: One model's rows; tasks and types are all that any mode has a row of.
    """
    all_main = [row for row in rows if row.main]
    main = [row for row in all_main if not row.part_of]
    types = {row.part_of or row.task: row.task_type for row in all_main}
    found = []
    for mode in dict.fromkeys(row.mode for row in all_main):
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
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("type (tasks)")
    for mode in found:
        table.add_column(Text(printable(mode.mode)), justify="right", no_wrap=True)
    types = list(found[0].by_type)
    for kind in types if len(types) > 1 else ():
        cells = [mode.by_type[kind] for mode in found]
        _add(table, f"{kind or 'unknown'} ({cells[0].of})", cells)
    table.add_section()
    _add(table, f"mean of {found[0].over_tasks.of} tasks", [mode.over_tasks for mode in found])
    if len(types) > 1:
        _add(table, f"mean of {len(types)} types", [mode.over_types for mode in found])
    console = standard_output()
    console.print(Text("Means of the main scores", style="italic"))
    console.print(table)


def _add(table: Table, name: str, cells: Sequence[Mean]) -> None:
    table.add_row(*(Text(printable(text)) for text in (name, *(cell.text for cell in cells))))


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
