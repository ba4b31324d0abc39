"""Our scores beside published ones: in the terminal, in lines, and on the leaderboard's entries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from statistics import fmean

from rich import box
from rich.table import Table
from rich.text import Text

from harness.evaluation.published import TOLERANCE, Comparison, PublishedScores, compare
from harness.reporting.collect import Entry
from harness.reporting.terminal import standard_output
from harness.reporting.units import metric_name
from harness.text import printable

_COLUMNS = ("task", "split/subset", "mode", "metric")
_FIGURES = ("ours", "published", "difference")
_REVISION_DIGITS = 8


def with_published(
    entries: Sequence[Entry], published: PublishedScores, *, tolerance: float = TOLERANCE
) -> list[Entry]:
    """The entries, each beside the published score that it has.

    Args:
        entries: Results of ours.
        published: Theirs.
        tolerance: See `compare`.
    """
    return [
        replace(
            entry,
            comparison=next(
                iter(compare([entry.row], published, revision=entry.revision, tolerance=tolerance)),
                None,
            ),
        )
        for entry in entries
    ]


def beyond_tolerance(comparisons: Sequence[Comparison]) -> list[str]:
    """One line for each figure of ours that does not reproduce the published one."""
    return [_line(comparison) for comparison in comparisons if not comparison.within]


def print_published(comparisons: Sequence[Comparison]) -> None:
    """Print one table a published model on standard output; differences beyond tolerance are bold.

    Args:
        comparisons: Ours beside theirs.
    """
    console = standard_output()
    for model, group in groupby(sorted(comparisons, key=_place), key=lambda c: c.published.model):
        console.print(Text(printable(f"published scores of {model}"), style="italic"))
        table = Table(box=box.SIMPLE_HEAD)
        for name in _COLUMNS:
            table.add_column(name, overflow="fold", no_wrap=name == "metric")
        for name in _FIGURES:
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("revision", overflow="fold")
        compared = list(group)
        for comparison in compared:
            table.add_row(*_cells(comparison, several=len(_like(comparison, compared)) > 1))
        for mode in dict.fromkeys(comparison.row.mode for comparison in compared):
            _add_mean(table, [comparison for comparison in compared if comparison.row.mode == mode])
        console.print(table)


def _add_mean(table: Table, comparisons: Sequence[Comparison]) -> None:
    """The mean over tasks, ours and theirs over the same ones; for several tasks.

    There is none where a mode stands there in several configurations.
    """
    places = {(one.row.task, one.row.split, one.row.subset) for one in comparisons}
    if len(places) < len(comparisons):
        return
    ours = _mean_of_tasks([(one.row.task, one.row.value) for one in comparisons])
    theirs = _mean_of_tasks([(one.row.task, one.published.value) for one in comparisons])
    tasks = len({one.row.task for one in comparisons})
    if tasks < 2 or math.isnan(ours):
        return
    figures = (_value(ours), _value(theirs), f"{ours - theirs:+z.4f}")
    table.add_section()
    table.add_row(f"mean of {tasks} tasks", "", Text(comparisons[0].row.mode), "", *figures)


def _mean_of_tasks(values: Sequence[tuple[str, float | None]]) -> float:
    """The mean over tasks of the mean over each one's places; NaN where a value is missing."""
    tasks: dict[str, list[float]] = {}
    for task, value in values:
        tasks.setdefault(task, []).append(math.nan if value is None else value)
    return fmean(fmean(found) for found in tasks.values())


def _like(comparison: Comparison, others: Sequence[Comparison]) -> list[Comparison]:
    """Those of the same mode at the same place, itself among them."""
    return [other for other in others if _place(other) == _place(comparison)]


def _cells(comparison: Comparison, *, several: bool) -> list[Text]:
    row, published = comparison.row, comparison.published
    mode = f"{row.mode} {row.experiment.rpartition('-')[2]}" if several else row.mode
    ours = (row.task, f"{row.split}/{row.subset}")
    theirs = (published.task, f"{published.split}/{published.subset}")
    figures = (mode, metric_name(row.metric), _value(row.value), _value(published.value))
    difference = comparison.difference
    style = "" if comparison.within else "bold"
    return [
        *map(_named, ours, theirs),
        *(Text(printable(text)) for text in figures),
        Text("-" if difference is None else f"{difference:+z.4f}", style=style),
        Text(printable(published.revision[:_REVISION_DIGITS])),
    ]


def _named(ours: str, theirs: str) -> Text:
    """Our name, with the official one under it where it is another: a person can tell a mistake."""
    text = Text(printable(ours))
    return text if ours == theirs else text.append(f"\n= {printable(theirs)}", "dim")


def _line(comparison: Comparison) -> str:
    row, published = comparison.row, comparison.published
    return (
        f"{row.model} on {row.task} ({row.split}, {row.subset}), {row.mode}: {row.metric} is "
        f"{_value(row.value)}, published is {_value(published.value)} (revision "
        f"{published.revision}), tolerance {comparison.tolerance:.4f}"
    )


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _place(comparison: Comparison) -> tuple[str, ...]:
    row = comparison.row
    return comparison.published.model, row.task, row.split, row.subset, row.metric, row.mode
