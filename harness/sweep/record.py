"""A job's own record in the sweep's folder, which any launcher's processes write alike."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.files import write_text
from harness.process import is_alive

RECORD = "job.json"
MEETING = "ahead"  # a folder where jobs see which of them goes ahead

Status = Literal["running", "done", "failed", "killed"]


@dataclass
class JobRecord:
    """One job.

    Attributes:
        number: Its number in the sweep, from 0.
        overrides: Its settings, as Hydra writes them.
        status: `running`, `done`, or `failed`; `killed` where its process is gone without a word.
        exit_status: What it would return to a shell; 0 while it runs.
        seconds: How long it took; 0 while it runs.
        process: Who runs it, see `this_process`.
        unfinished: What it leaves undone, one line each.
        rows: What it found or plans, JSON-able.
        format: How the job prints what it finds: `table` or `json`.
    """

    number: int
    overrides: list[str]
    status: Status = "running"
    exit_status: int = 0
    seconds: float = 0.0
    process: dict[str, Any] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    format: str = "table"

    def write(self, folder: Path) -> None:
        """Write the record into the job's folder."""
        write_text(folder / RECORD, json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")


def read_jobs(folder: Path) -> list[JobRecord]:
    """The records of a sweep that are there, by number.

    Args:
        folder: The sweep's folder.
    """
    found = []
    for path in folder.rglob(RECORD):
        with suppress(OSError, ValueError, TypeError, KeyError):  # a folder that others use too
            job = JobRecord(**json.loads(path.read_text(encoding="utf-8")))
            if job.status == "running" and is_alive(job.process) is False:
                job.status, job.exit_status = "killed", 1
            found.append(job)
    return sorted(found, key=lambda job: job.number)


def clear_jobs(folder: Path) -> None:
    """Remove the records of an earlier sweep of the same folder."""
    for path in folder.rglob(RECORD):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder / MEETING, ignore_errors=True)


def unfinished_lines(jobs: Sequence[JobRecord]) -> list[str]:
    """What jobs leave undone, one line each, with the job's overrides."""
    lines = []
    for job in jobs:
        told = job.unfinished or (["its process was killed"] if job.status == "killed" else [])
        lines += [f"{' '.join(job.overrides) or 'defaults'}: {line}" for line in told]
    return lines


def settings_of(jobs: Sequence[JobRecord], *, swept: Collection[str] = ()) -> list[str]:
    """What each job's settings are in few words; `defaults` where none are its own.

    A setting's name is its last part, such as `doc_top_k`, where no other has the same.

    Args:
        jobs: Jobs of one sweep.
        swept: Names of the settings that are told; those that not all jobs have when empty.
    """
    common = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    told = [
        [one for one in job.overrides if (_name(one) in swept if swept else one not in common)]
        for job in jobs
    ]
    names = {_name(one) for own in told for one in own}
    ends = Counter(name.rpartition(".")[2] for name in names)
    short = {name: end if ends[end := name.rpartition(".")[2]] == 1 else name for name in names}
    return [
        " ".join(f"{short[_name(one)]}={one.partition('=')[2]}" for one in own) or "defaults"
        for own in told
    ]


def _name(override: str) -> str:
    return override.partition("=")[0].lstrip("+")
