"""A page for each system beside the leaderboard's, under `runs/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from harness.errors import BadInputError
from harness.evaluation.results import StoredResult, read_result, without_nan
from harness.files import file_name, write_text
from harness.progress import progress_bar
from harness.reporting.collect import Entry
from harness.reporting.drilldown import drilldown_text
from harness.reporting.standings import Standings
from harness.reporting.systems import System, TaskPlace

FOLDER = "runs"


def write_system_pages(standings: Standings, folder: Path, faults: list[str]) -> dict[int, str]:
    """Write the page of every system that has results of ours; pages of others are removed.

    Args:
        standings: The assessed systems.
        folder: The leaderboard's.
        faults: Gets a line for each system whose files cannot be read; it then has no page.

    Returns:
        Number of a system to its page, relative to the folder.
    """
    dense = _dense(standings.systems)
    pages = {}
    numbers = [n for n, system in enumerate(standings.systems) if _paths(system)]
    with progress_bar("pages", len(numbers), unit="pages") as advance:
        for number in numbers:
            system = standings.systems[number]
            name = f"{file_name(system.name)}.html"
            try:
                write_text(folder / FOLDER / name, _page(system, dense))
                pages[number] = f"{FOLDER}/{name}"
            except BadInputError as error:
                faults.append(str(error))
            advance(1, 1)
    _remove_others(folder / FOLDER, {Path(page).name for page in pages.values()})
    return pages


def _page(system: System, dense: Mapping[tuple[TaskPlace, str, str], Entry]) -> str:
    results = {task: _read(path) for task, path in _paths(system).items()}
    beside = {
        entry.row.task: _read(other.path)
        for place, entry in system.entries.items()
        if (other := dense.get((place, *_space(entry)))) and other.path and entry.path
    }
    return drilldown_text(results, beside)


def _paths(system: System) -> dict[str, Path]:
    """The system's results by task."""
    return {
        entry.row.task: entry.path for entry in system.entries.values() if entry.path is not None
    }


def _space(entry: Entry) -> tuple[str, str]:
    return entry.row.model, entry.row.encoder


def _dense(systems: list[System]) -> dict[tuple[TaskPlace, str, str], Entry]:
    """Dense at each place, by model and embeddings; the mode called `dense` before others."""
    found: dict[tuple[TaskPlace, str, str], Entry] = {}
    for system in systems:
        for place, entry in system.entries.items():
            key = (place, *_space(entry))
            if entry.row.kind == "dense" and (key not in found or entry.row.mode == "dense"):
                found[key] = entry
    return found


def _read(path: Path) -> StoredResult:
    stored = read_result(path)
    assert stored is not None, f"{path} was there"
    return replace(stored, result=without_nan(stored.result), cost=without_nan(stored.cost))


def _remove_others(folder: Path, kept: set[str]) -> None:
    """Pages of systems that are no more; what is no page of ours stays."""
    if folder.is_dir():
        for path in folder.glob("*.html"):
            if path.name not in kept:
                path.unlink()
