"""The runs under a results folder and how each of them stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import BadInputError
from harness.files import read_json
from harness.process import is_alive, seconds_since

STATUSES = ("done", "partial", "failed", "running", "killed", "unknown")


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """A run.

    Attributes:
        name: Of its record, without the suffix.
        status: `done`; `partial` where a task did not finish; `failed`; `running`; `killed` where
            its process is gone without a word; `unknown` where it runs, or ran, on another machine
            and has said nothing since.
        started: When, by the clock of its machine, ISO 8601.
        seconds: How long it took, or has taken so far; None where nobody knows.
        model: The run's.
        tasks: Task to its modes.
        computed: Results that it computed.
        kept: Results that were there before.
        texts_encoded: Distinct texts that the model ran on.
        texts_read: Distinct texts whose embeddings were stored.
        failed: One line for what did not finish.
        host: Where it runs or ran; empty in records of before it was kept.
        pid: The process that runs it; None likewise.
    """

    name: str
    status: str
    started: str
    seconds: float | None
    model: str
    tasks: dict[str, list[str]]
    computed: int = 0
    kept: int = 0
    texts_encoded: int = 0
    texts_read: int = 0
    failed: list[str] = field(default_factory=list)
    host: str = ""
    pid: int | None = None


def run_statuses(results_dir: Path) -> tuple[list[RunStatus], list[str]]:
    """Every run that has a record, the oldest first.

    Args:
        results_dir: The results folder.

    Returns:
        The runs, and one line for each record that cannot be read.

    Raises:
        BadInputError: There is no such folder.
    """
    if not results_dir.is_dir():
        raise BadInputError(f"results_dir={results_dir} is no folder; name one with results")
    found, faults = [], []
    for path in sorted((results_dir / "runs").glob("*.json")):
        try:
            found.append(_status(path.stem, read_json(path, remedy="delete it")))
        except BadInputError as error:
            faults.append(str(error))
        except (KeyError, TypeError, ValueError, AttributeError):
            faults.append(f"{path} is no record of a run; delete it")
    return found, faults


def _status(name: str, record: Mapping[str, Any]) -> RunStatus:
    status, seconds = str(record["status"]), float(record["seconds"])
    process: Mapping[str, Any] = record.get("process") or {}
    elapsed: float | None = seconds
    if status == "running":
        alive = is_alive(process) if process else None
        status = {True: "running", False: "killed", None: "unknown"}[alive]
        elapsed = seconds_since(process) if alive else None
    if status not in STATUSES:
        raise ValueError(f"{status} is no status")
    return RunStatus(
        name=name,
        status=status,
        started=str(record["started"]),
        seconds=elapsed,
        model=str(record["model"]),
        tasks={str(task): list(modes) for task, modes in record["experiments"].items()},
        computed=int(record["computed"]),
        kept=int(record["kept"]),
        texts_encoded=int(record["texts_encoded"]),
        texts_read=int(record["texts_read"]),
        failed=[str(line) for line in record["failed"]],
        host=str(process.get("host", "")),
        pid=process.get("pid"),
    )
