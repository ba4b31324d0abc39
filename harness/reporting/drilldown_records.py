"""A run's configuration, environment and cost as tables of texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.evaluation.results import StoredResult, details_folder
from harness.reporting.units import ABSENT, bytes_text, duration, milliseconds, ratio_text, si
from harness.text import printable

# By how a figure's name ends, the first that fits; what is left and counts FLOPs has SI prefixes.
_UNITS: tuple[tuple[tuple[str, ...], Callable[[float], str]], ...] = (
    (("mfu", "_share", "_ratio", "recall_against_exact"), ratio_text),
    (("flops_per_second", "matmul_peak"), si),
    (("_per_second",), lambda value: f"{value:,.1f}"),
    (("_bytes",), bytes_text),
    (("_ms",), lambda value: f"{milliseconds(value)} ms"),
    (("_seconds",), duration),
    (("_joules",), lambda value: f"{milliseconds(value)} J"),
)


@dataclass(frozen=True)
class Shared:
    """What some tasks of a run have in common.

    Attributes:
        tasks: The tasks; empty where it is all of them.
        text: A configuration; empty for an environment.
        rows: Names and values of an environment.
    """

    tasks: tuple[str, ...]
    text: str = ""
    rows: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class CostTable:
    """Cost figures by task.

    Attributes:
        columns: A task each, with its split and subset where it has several.
        rows: A figure's name and its cells; those that no task has are left out.
    """

    columns: list[str]
    rows: list[tuple[str, list[str]]]


def configurations(results: Mapping[str, StoredResult]) -> list[Shared]:
    """The resolved configurations of a run, each with the tasks that have it."""
    texts = {}
    for task, stored in results.items():
        path = details_folder(stored.path) / "config.yaml"
        if path.exists():
            text = path.read_text(encoding="utf-8", errors="replace")
            texts[task] = "\n".join(map(printable, text.splitlines()))
    return [Shared(tasks, text=text) for tasks, text in _grouped(texts)]


def environments(results: Mapping[str, StoredResult]) -> list[Shared]:
    """Hardware, versions and commit, each with the tasks that were computed there."""
    rows = {task: tuple(_environment(stored.environment)) for task, stored in results.items()}
    return [Shared(tasks, rows=own) for tasks, own in _grouped(rows)]


def cost_table(results: Mapping[str, StoredResult]) -> CostTable:
    """The cost records of all tasks."""
    columns: dict[str, Mapping[str, Any]] = {}
    for task, stored in results.items():
        for place, figures in stored.cost.items():
            columns[task if len(stored.cost) == 1 else f"{task} {place}"] = figures
    names = dict.fromkeys(name for figures in columns.values() for name in figures)
    rows = [(name, [_cell(name, one.get(name)) for one in columns.values()]) for name in names]
    return CostTable(
        columns=[printable(column) for column in columns],
        rows=[
            (printable(name.replace("flops", "FLOPs").replace("_", " ")), cells)
            for name, cells in rows
            if any(cell != ABSENT for cell in cells)
        ],
    )


def _environment(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values, the commit first."""
    commit = record.get("commit") or {}
    rows = []
    if isinstance(commit, Mapping) and commit.get("commit"):
        changed = ", with uncommitted changes" if commit.get("dirty") else ""
        rows.append(("commit", f"{commit['commit']}{changed}"))
    for part in ("hardware", "software"):
        for name, value in (record.get(part) or {}).items():
            if value not in (None, [], ""):
                shown = bytes_text(value) if name.endswith("_bytes") else _plain(value)
                rows.append((name.removesuffix("_bytes").replace("_", " "), shown))
    return [(printable(name), printable(value)) for name, value in rows]


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _cell(name: str, value: Any) -> str:
    """A figure in the unit that its name tells."""
    if isinstance(value, list):  # of several numbers of clients
        rates = [
            f"{one['clients']} clients: {one['queries_per_second']:,.1f} queries/s"
            for one in value
            if isinstance(one, Mapping) and one.get("queries_per_second") is not None
        ]
        return "; ".join(rates) or ABSENT
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        return ABSENT if value is None else printable(str(value))
    return _figure(name, value)


def _figure(name: str, value: float) -> str:
    shown = next((show for ends, show in _UNITS if name.endswith(ends)), None)
    if shown is None and "flops" in name:
        shown = si
    if shown is not None:
        return shown(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _grouped(values: Mapping[str, Any]) -> list[tuple[tuple[str, ...], Any]]:
    """Each value once with the names that have it; without names where all have one."""
    names: dict[Any, list[str]] = {}
    for name, value in values.items():
        names.setdefault(value, []).append(name)
    if len(names) == 1:
        return [((), value) for value in names]
    return [(_shown(own), value) for value, own in names.items()]


def _shown(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(printable, names))
