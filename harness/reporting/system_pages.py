"""A page for each system beside the leaderboard's, under `runs/`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.errors import BadInputError
from harness.evaluation.results import StoredResult
from harness.files import file_name, write_text
from harness.progress import progress_bar
from harness.reporting.collect import MALFORMED, Entry, malformed_line, stored_result
from harness.reporting.drilldown import GENERATOR, drilldown_text
from harness.reporting.standings import Standings
from harness.reporting.systems import DenseKey, System, dense_entries, space_of

FOLDER = "runs"

_MARK = f'<meta name="generator" content="{GENERATOR}">'.encode()


def write_system_pages(standings: Standings, folder: Path, faults: list[str]) -> dict[int, str]:
    """Write the page of every system that has results of ours; pages of others are removed.

    Args:
        standings: The assessed systems.
        folder: The leaderboard's.
        faults: Gets a line for each result whose files cannot be read; no page holds it.

    Returns:
        Number of a system to its page, relative to the folder.
    """
    dense = dense_entries(standings.systems)
    sound: dict[Path, StoredResult | None] = {}  # dense stands beside several modes
    pages = {}
    numbers = [
        number
        for number, system in enumerate(standings.systems)
        if any(entry.path is not None for entry in system.entries.values())
    ]
    with progress_bar("pages", len(numbers), unit="pages") as advance:
        for number in numbers:
            system = standings.systems[number]
            name = f"{file_name(system.name)}.html"
            text = _page(system, dense, sound, faults)
            if text is not None:
                write_text(folder / FOLDER / name, text)
                pages[number] = f"{FOLDER}/{name}"
            advance(1, 1)
    _remove_others(folder / FOLDER, {Path(page).name for page in pages.values()})
    return pages


def _page(
    system: System,
    dense: Mapping[DenseKey, Entry],
    sound: dict[Path, StoredResult | None],
    faults: list[str],
) -> str | None:
    """A system's page, without what cannot be read; None where nothing can."""
    paths: dict[str, Path] = {}
    beside: dict[str, Path] = {}
    for place, entry in system.entries.items():
        task, other = entry.row.task, dense.get((place, *space_of(entry)))
        if entry.path is not None and task not in paths:
            paths[task] = entry.path
            if other is not None and other.path is not None and other.path != entry.path:
                beside[task] = other.path
    try:
        return drilldown_text(
            *({task: stored_result(path) for task, path in one.items()} for one in (paths, beside))
        )
    except (BadInputError, *MALFORMED):
        pass  # one of them: which is found out one by one
    kept = {task: one for task, path in paths.items() if (one := _kept(path, sound, faults))}
    others = {task: one for task, path in beside.items() if (one := _kept(path, sound, faults))}
    return drilldown_text(kept, others) if kept else None


def _kept(
    path: Path, sound: dict[Path, StoredResult | None], faults: list[str]
) -> StoredResult | None:
    if path not in sound:
        sound[path] = _sound(path, faults)
    return sound[path]


def _sound(path: Path, faults: list[str]) -> StoredResult | None:
    """A result that a page can be made of by itself; None for another, which is told."""
    try:
        stored = stored_result(path)
        drilldown_text({stored.result["task_name"]: stored})
    except BadInputError as error:
        faults.append(str(error))
    except MALFORMED as error:
        faults.append(malformed_line(path, error))
    else:
        return stored
    return None


def _remove_others(folder: Path, kept: set[str]) -> None:
    """Pages of systems that are no more; what is no page of ours stays."""
    if folder.is_dir():
        for path in folder.glob("*.html"):
            if path.name not in kept and _MARK in path.read_bytes()[:2000]:
                path.unlink()
