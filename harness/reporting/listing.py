"""The tasks of a run before it starts: how large they are and what encoding them would take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from harness.evaluation.tasks.sizes import Estimate, TaskSize, estimate
from harness.reporting.systems import ABSENT
from harness.reporting.terminal import print_json, standard_output
from harness.reporting.units import duration, si
from harness.text import printable

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

    from harness.cost.flops import QuadraticFlops

_SHOWN_SUBSETS = 2


@dataclass(frozen=True)
class ListedTask:
    """One task of a listing.

    Attributes:
        task: Its name.
        type: mteb's type.
        splits: What is evaluated of it.
        subsets: The same.
        size: Its texts; None if unknown.
        estimate: What encoding them would take; None if their size is unknown.
    """

    task: str
    type: str
    splits: tuple[str, ...]
    subsets: tuple[str, ...]
    size: TaskSize | None
    estimate: Estimate | None


_Figure = Callable[[ListedTask], float | None]


def _of_size(figure: Callable[[TaskSize], float]) -> _Figure:
    return lambda entry: None if entry.size is None else figure(entry.size)


def _of_estimate(figure: Callable[[Estimate], float | None]) -> _Figure:
    return lambda entry: None if entry.estimate is None else figure(entry.estimate)


# Column: the figure, and how it is written.
_FIGURES: dict[str, tuple[_Figure, Callable[[float], str]]] = {
    "documents": (_of_size(lambda size: size.documents), lambda value: f"{value:,}"),
    "queries": (_of_size(lambda size: size.queries), lambda value: f"{value:,}"),
    "characters": (_of_size(lambda size: size.characters), si),
    "FLOPs": (_of_estimate(lambda cost: cost.encode_flops), si),
    "time": (_of_estimate(lambda cost: cost.seconds), duration),
}


def list_task(
    task: AbsTask,
    size: TaskSize | None,
    *,
    forward: QuadraticFlops | None,
    max_length: int,
    characters_per_token: float,
    flops_per_second: float | None,
) -> ListedTask:
    """A task with its size, see `task_size`, and its estimate, see `estimate` for the arguments."""
    cost = None
    if size is not None:
        cost = estimate(
            size,
            forward=forward,
            max_length=max_length,
            characters_per_token=characters_per_token,
            flops_per_second=flops_per_second,
        )
    return ListedTask(
        task=task.metadata.name,
        type=task.metadata.type,
        splits=tuple(task.eval_splits),
        subsets=tuple(task.hf_subsets),
        size=size,
        estimate=cost,
    )


def listing_lines(entries: Sequence[ListedTask]) -> None:
    """Print each task as one JSON object on standard output; what is unknown is null."""
    print_json(_fields(entry) for entry in entries)


def _fields(entry: ListedTask) -> dict[str, Any]:
    size, cost = entry.size, entry.estimate
    return {
        "task": entry.task,
        "type": entry.type,
        "splits": entry.splits,
        "subsets": entry.subsets,
        "documents": size and size.documents,
        "queries": size and size.queries,
        "characters": size and size.characters,
        "tokens": cost and cost.tokens,
        "encode_flops": cost and cost.encode_flops,
        "seconds": cost and cost.seconds,
    }


def print_listing(entries: Sequence[ListedTask], notes: Sequence[str] = ()) -> None:
    """Print the tasks below their types on standard output, with totals of each type and of all.

    A total that lacks tasks of unknown size says how many, and its figures are lower bounds.

    Args:
        entries: The tasks.
        notes: Lines below the table, such as what the estimates assume.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("type, task", overflow="fold")
    table.add_column("split", overflow="fold")
    for name in _FIGURES:
        table.add_column(name, justify="right", no_wrap=True)
    types = list(dict.fromkeys(entry.type for entry in entries))
    for name in types:
        members = [entry for entry in entries if entry.type == name]
        table.add_row(*_texts(name, _total(members), *_cells(members)), style="bold")
        for entry in members:
            table.add_row(*_texts(f"  {entry.task}", _place(entry), *_cells([entry])))
        table.add_section()
    if len(types) > 1:
        table.add_row(*_texts("all", _total(entries), *_cells(entries)), style="bold")
    console = standard_output()
    console.print(table)
    for note in notes:
        console.print(Text(printable(note), style="dim"))


def _texts(*cells: str) -> list[Text]:
    return [Text(printable(cell)) for cell in cells]


def _place(entry: ListedTask) -> str:
    splits = ", ".join(entry.splits)
    if entry.subsets == ("default",):
        return splits
    if len(entry.subsets) <= _SHOWN_SUBSETS:
        return f"{splits}: {', '.join(entry.subsets)}"
    return f"{splits}: {len(entry.subsets):,} subsets"


def _total(entries: Sequence[ListedTask]) -> str:
    unknown = sum(entry.size is None for entry in entries)
    lacking = f", {_tasks(unknown)} unknown" if unknown else ""
    return f"{_tasks(len(entries))}{lacking}"


def _tasks(number: int) -> str:
    return f"{number:,} task{'s' * (number != 1)}"


def _cells(entries: Sequence[ListedTask]) -> list[str]:
    cells = []
    for figure, written in _FIGURES.values():
        values = [value for value in map(figure, entries) if value is not None]
        least = "≥ " if len(values) < len(entries) else ""
        cells.append(least + written(sum(values)) if values else ABSENT)
    return cells
