"""What the jobs of a sweep would do, as a table or as JSON lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from harness.progress import say
from harness.reporting.terminal import print_json, standard_output
from harness.reporting.units import ABSENT, duration, si
from harness.text import printable

Entry = Mapping[str, Any]


def shared_once(jobs: Sequence[tuple[str, Sequence[Entry]]]) -> list[tuple[str, list[Entry]]]:
    """The jobs with each task's embeddings, and each result, in the first job that would make them.

    The jobs of a sweep share the embedding store and the results: a later one with the same model,
    pooling and template reads what the first has encoded, and keeps what it has computed.

    Args:
        jobs: (settings, fields of `PlannedTask` for each task) of each job.

    Returns:
        The same; `shared` has the modes that an earlier job computes, `missing` the others.
    """
    made: set[tuple[str, str]] = set()
    computed: set[tuple[str, str]] = set()
    shared = []
    for settings, entries in jobs:
        own: list[Entry] = []
        for planned in entries:
            task, missing = planned["task"], planned["missing"]
            before = [mode for mode in missing if (task, missing[mode]) in computed]
            computed |= {(task, experiment) for experiment in missing.values()}
            rest = [mode for mode in missing if mode not in before]
            entry = {**planned, "missing": rest, "shared": before}
            key = (entry["space"], task)
            if key in made:
                own.append({**entry, "texts": 0, "flops": 0.0, "seconds": 0.0, "note": ""})
                continue
            if entry["texts"] != 0:
                made.add(key)
            own.append(entry)
        shared.append((settings, own))
    return shared


def print_plan(jobs: Sequence[tuple[str, Sequence[Entry]]], *, as_json: bool) -> None:
    """Print what each job has stored and would encode, and the sums; notes on standard error.

    Args:
        jobs: (settings, fields of `PlannedTask` for each task) of each job.
        as_json: Whether it is one JSON object a job and task.
    """
    shared = shared_once(jobs)
    if as_json:
        print_json(
            {"job": number, "settings": settings, **entry}
            for number, (settings, entries) in enumerate(shared)
            for entry in entries
        )
    else:
        standard_output().print(_table(shared))
    every = [entry for _, entries in shared for entry in entries]
    for note in dict.fromkeys(entry["note"] for entry in every if entry["note"]):
        say(note)
    stored, missing = (sum(len(one[name]) for one in every) for name in ("stored", "missing"))
    say(
        f"{_counted(len(shared), 'job')}: {_counted(missing, 'result')} to be computed, {stored:,} "
        f"stored; to be encoded {_total(every, 'texts', _whole)} texts, "
        f"{_total(every, 'flops', _flops)}, {_total(every, 'seconds', duration)}; "
        "searching and fitting heads are not in it"
    )


def _table(jobs: Sequence[tuple[str, Sequence[Entry]]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("job", justify="right")
    for name in ("settings", "task", "stored", "to be computed"):
        table.add_column(name, overflow="fold")
    for name in ("texts", "FLOPs", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    for number, (settings, entries) in enumerate(jobs):
        for entry in entries:
            cells = [
                str(number),
                settings,
                entry["task"],
                ", ".join([*entry["stored"], *(f"{mode} by then" for mode in entry["shared"])])
                or ABSENT,
                ", ".join(entry["missing"]) or ABSENT,
                _figure(entry["texts"], _whole),
                _figure(entry["flops"], si),
                _figure(entry["seconds"], duration),
            ]
            table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _figure(value: float | None, written: Any) -> str:
    if value is None:
        return "?"
    return str(written(value)) if value else ABSENT


def _total(entries: Sequence[Entry], name: str, written: Any) -> str:
    known = [entry[name] for entry in entries if entry[name] is not None]
    least = "at least " if len(known) < len(entries) else ""
    return f"{least}{written(sum(known))}"


def _flops(value: float) -> str:
    text = si(value)
    return f"{text}FLOPs" if text[-1].isalpha() else f"{text} FLOPs"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
