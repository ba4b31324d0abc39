"""Which baseline belongs to which mode of a run, and what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import BadInputError
from harness.regression.baselines import baseline_path, baseline_paths, read_baseline
from harness.regression.likeness import missing, unlike
from harness.regression.snapshot import Snapshot, System
from harness.text import listed


@dataclass(frozen=True)
class Matches:
    """A run beside its baselines.

    Attributes:
        pairs: Baseline and run, where they can be compared.
        unlike: Systems to what differs.
        missing: Systems to what has no baseline; a whole system to nothing.
        unused: Baselines that this run has nothing for.
    """

    pairs: list[tuple[Snapshot, Snapshot]] = field(default_factory=list)
    unlike: dict[System, list[str]] = field(default_factory=dict)
    missing: dict[System, list[str]] = field(default_factory=dict)
    unused: list[System] = field(default_factory=list)


def read_baselines(folder: Path) -> dict[System, Snapshot]:
    """Every baseline of a folder.

    Raises:
        BadInputError: If there is none, one cannot be read, or one is not in its own place.
    """
    found: dict[System, Snapshot] = {}
    for path in baseline_paths(folder):
        baseline = read_baseline(path)
        if path != baseline_path(folder, baseline.system):
            raise BadInputError(
                f"{path} is the baseline of {baseline.system} and belongs at "
                f"{baseline_path(folder, baseline.system)}; move it, or delete it"
            )
        found[baseline.system] = baseline
    if not found:
        raise BadInputError(
            f"baselines_dir={folder} holds no baseline; write them with update=true, or name "
            "another folder with baselines_dir=DIR"
        )
    return found


def match(
    baselines: Mapping[System, Snapshot], run: Iterable[Snapshot], *, asked: Sequence[str] = ()
) -> Matches:
    """Set a run beside its baselines; nothing is compared with what is unlike it.

    Args:
        baselines: By what they are of.
        run: What each mode of the run had.
        asked: Metrics that a baseline must have where the run has them, beside the main one.
    """
    matches = Matches()
    met = set()
    for now in run:
        met.add(now.system)
        baseline = baselines.get(now.system)
        if baseline is None:
            matches.missing[now.system] = []
        elif differing := unlike(baseline, now):
            matches.unlike[now.system] = differing
        elif without := missing(baseline, now, asked):
            matches.missing[now.system] = without
        else:
            matches.pairs.append((baseline, now))
    matches.unused.extend(system for system in baselines if system not in met)
    return matches


def refusal(matches: Matches) -> str:
    """Why a run is not compared, in one line that ends with the remedy; empty if it is."""
    parts = [
        f"{_named(systems)}: {'; '.join(found)}" for found, systems in _grouped(matches.unlike)
    ]
    for found, systems in _grouped(matches.missing):
        what = f"no {', '.join(found)} in the baseline" if found else "no baseline"
        parts.append(f"{_named(systems)}: {what}")
    if not parts:
        return ""
    return f"not compared: {' | '.join(parts)}; update=true writes baselines of this run"


def _grouped(found: Mapping[System, Sequence[str]]) -> list[tuple[tuple[str, ...], list[System]]]:
    """The systems of which the same is to be said."""
    groups: dict[tuple[str, ...], list[System]] = {}
    for system, phrases in found.items():
        groups.setdefault(tuple(phrases), []).append(system)
    return list(groups.items())


def _named(systems: Sequence[System]) -> str:
    """Systems by task and mode."""
    tasks: dict[str, list[str]] = {}
    for system in systems:
        tasks.setdefault(system.task, []).append(system.mode)
    return listed([f"{task} ({', '.join(modes)})" for task, modes in tasks.items()], most=8)
