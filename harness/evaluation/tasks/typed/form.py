"""What a task type asks of its lines, and how they become mteb's data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from datasets import Dataset, DatasetDict

Row = dict[str, Any]  # mteb's column to one line's value

TRAIN = "train"


class TextReader(Protocol):
    """Reads a string as the folder's rule on empty texts has it; `place` is for the fault."""

    def __call__(self, value: object, place: str) -> str:
        """The string, or a `FaultError`."""
        ...


@dataclass(frozen=True)
class Part:
    """One file's lines.

    Attributes:
        path: The file.
        numbers: The line number of each row.
        rows: One row a line, all with the same columns.
    """

    path: Path
    numbers: list[int]
    rows: list[Row]

    def column(self, name: str) -> list[Any]:
        """One column's values."""
        return [row[name] for row in self.rows]


@dataclass(frozen=True)
class Data:
    """A folder's lines and how mteb will evaluate them.

    Attributes:
        split: The name of the split that is evaluated.
        test: Its lines.
        train: What classifiers learn from; None where nothing is trained.
        base: The class that evaluates.
        attributes: What the task's own class sets differently.
        is_copy: Whether the folder bears the name of a set of mteb's.
    """

    split: str
    test: Part
    train: Part | None
    base: type[Any]
    attributes: Mapping[str, Any]
    is_copy: bool

    def attribute(self, name: str) -> Any:
        """An attribute of the task's class."""
        return self.attributes[name] if name in self.attributes else getattr(self.base, name)

    def parts(self) -> dict[str, Part]:
        """Split name to lines."""
        return {self.split: self.test} | ({TRAIN: self.train} if self.train else {})


def tables(data: Data) -> Any:
    """Rows as mteb's data, unchanged."""
    return as_splits({split: part.rows for split, part in data.parts().items()})


def as_splits(rows: Mapping[str, list[Row]]) -> Any:
    """Rows of each split as a task's `dataset`."""
    splits = DatasetDict({split: Dataset.from_list(part) for split, part in rows.items()})
    # mteb would take a split of this name for its default subset.
    return {"default": splits} if "default" in splits else splits


def no_check(_: Data) -> None:
    """For types whose lines need nothing of each other."""


def no_attributes(_: Part) -> dict[str, Any]:
    """For types that mteb's defaults fit."""
    return {}


@dataclass(frozen=True)
class Form:
    """A task type as a folder of JSON lines holds it.

    Attributes:
        task_type: mteb's name of the type.
        keys: The keys of a line.
        base: mteb's class of the type.
        main_score: What mteb's tasks of the type are mostly ranked by.
        row: Reads one line.
        category: mteb's category: what goes in and what comes out.
        check: Refuses lines that cannot be scored together.
        dataset: Makes mteb's data of all lines.
        attributes: What a class that is not a copy of a task of mteb's needs to know.
        fixed: Class attributes that every folder needs.
        knobs: The settings of classifiers that `task.json` may give.
        trained: Whether there must be a `train.jsonl`.
    """

    task_type: str
    keys: tuple[str, ...]
    base: type[Any]
    main_score: str
    row: Callable[[Row, TextReader], Row]
    category: str = "t2t"
    check: Callable[[Data], None] = no_check
    dataset: Callable[[Data], Any] = tables
    attributes: Callable[[Part], dict[str, Any]] = no_attributes
    fixed: Mapping[str, Any] = field(default_factory=dict)
    knobs: tuple[str, ...] = ()
    trained: bool = False
