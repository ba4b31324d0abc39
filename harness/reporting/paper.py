"""The paper's published rows for the tasks of a leaderboard."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_FILE = Path(__file__).parent / "data" / "paper.yaml"


@dataclass(frozen=True)
class PaperRow:
    """One published figure.

    Attributes:
        system: Its system.
        task: The task, by the leaderboard's name.
        value: nDCG@10.
        of_dense: Over that of the same model's dense row; None for a row that is not sparse.
        source: Where it is from.
    """

    system: str
    task: str
    value: float
    of_dense: float | None
    source: str


def paper_rows(tasks: Iterable[str]) -> list[PaperRow]:
    """The rows of the tasks that the paper has too, task by task.

    A task is known by mteb's name; case and punctuation aside, since folders are named freely.

    Args:
        tasks: Names on the leaderboard.
    """
    published = _published()
    known = {_folded(name): task for task, names in published["tasks"].items() for name in names}
    systems = {system["name"]: system for system in published["systems"]}
    rows = []
    for task in tasks:
        column = known.get(_folded(task))
        if column is None:
            continue
        for system in systems.values():
            value = float(system[column])
            dense = systems.get(system.get("dense"))
            of_dense = None if dense is None else value / float(dense[column])
            rows.append(PaperRow(system["name"], task, value, of_dense, published["source"]))
    return rows


@cache
def _published() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return loaded


def _folded(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()
