"""Latencies of a run and of a baseline of the same hardware, in pytest-benchmark's format."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.cost.hardware import GitCommit
from harness.errors import BadInputError
from harness.files import read_json, readable_name, write_text
from harness.regression.check import Check, Verdict
from harness.regression.snapshot import Snapshot, System
from harness.regression.timing_stats import relative_error, timing_stats

_HARDWARE = ("cpu", "cores", "threads", "cpu_flags", "gpus")
_VERSION = "5.3.1"  # of pytest-benchmark, whose format this is
_STATS = ("median", "iqr", "rounds")
_REMEDY = "write it anew with update=true, or delete it"


@dataclass(frozen=True)
class TimedMode:
    """How long a mode took to answer queries, one at a time.

    Attributes:
        snapshot: The mode on its task.
        place: `split/subset`.
        seconds: One a query, tokenised, encoded and searched.
    """

    snapshot: Snapshot
    place: str
    seconds: tuple[float, ...]

    @property
    def name(self) -> str:
        """What a benchmark is found by in another file."""
        system = self.snapshot.system
        return f"{system.task}/{self.place}/{system.model}/{system.mode}"

    @property
    def likeness(self) -> dict[str, Any]:
        """What must be alike for times to be compared."""
        return {
            "data_revision": self.snapshot.data_revision,
            "model_hash": self.snapshot.model_hash,
        }


@dataclass(frozen=True, kw_only=True)
class TimeRule:
    """When a rise of a median latency is a regression.

    The ratio of the medians, less 1, must exceed both the threshold and the noise: `spread` times
    the combined standard error √(a² + b²) of the two medians, see `relative_error`. The threshold
    is for what a sample cannot know of itself, such as a neighbour's load.

    Attributes:
        threshold: As a share.
        spread: Combined standard errors.
    """

    threshold: float = 0.2
    spread: float = 3.0

    def allowed(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> float:
        """The largest rise that may pass, as a share."""
        noise = math.hypot(relative_error(before), relative_error(now))
        return max(self.threshold, self.spread * noise)

    def judge(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> Verdict:
        """Judge one benchmark by its statistics."""
        rise = now["median"] / before["median"] - 1 if before["median"] else math.inf
        if rise > self.allowed(before, now):
            return Verdict.REGRESSION
        if rise == 0:
            return Verdict.EQUAL
        return Verdict.WITHIN if rise > 0 else Verdict.BETTER


def times_path(folder: Path, hardware: Mapping[str, Any]) -> Path:
    """Where the time baseline of some hardware is: a file of its own for each."""
    known = {name: hardware.get(name) for name in _HARDWARE}
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:8]
    devices = [str(hardware["cpu"]), f"{hardware['cores']} cores", *(hardware.get("gpus") or ())]
    return folder / f"times-{readable_name('-'.join(devices))[:100]}-{digest}.json"


def write_times(
    path: Path,
    timed: Sequence[TimedMode],
    *,
    hardware: Mapping[str, Any],
    commit: GitCommit | None,
    now: datetime,
    others: Iterable[Mapping[str, Any]] = (),
) -> None:
    """Write latencies as pytest-benchmark does, with the raw durations.

    Args:
        path: The file.
        timed: What was measured.
        hardware: What on.
        commit: Of the code; None when unknown.
        now: The hour.
        others: Benchmarks that stay in the file, unless they were measured anew.

    Raises:
        BadInputError: If the file cannot be written.
    """
    record = {
        "machine_info": _machine(hardware),
        "commit_info": {} if commit is None else {"id": commit.commit, "dirty": commit.dirty},
        "benchmarks": sorted(
            [
                *(_benchmark(one) for one in timed),
                *(one for one in others if one["fullname"] not in {new.name for new in timed}),
            ],
            key=lambda one: str(one["fullname"]),
        ),
        "datetime": now.isoformat(),
        "version": _VERSION,
    }
    try:
        write_text(path, json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    except OSError as error:
        raise BadInputError(f"{path} cannot be written ({error.strerror})") from error


def read_times(path: Path) -> dict[str, dict[str, Any]]:
    """Benchmarks by their full name, each with `stats` and `extra_info`.

    Raises:
        BadInputError: If the file is none of pytest-benchmark's.
    """
    record = read_json(path, remedy=_REMEDY)
    try:
        found = {str(one["fullname"]): one for one in record["benchmarks"]}
        sound = all(
            isinstance(one["stats"][name], int | float) and one["stats"][name] >= 0
            for one in found.values()
            for name in _STATS
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInputError(f"{path} holds no benchmarks ({error!r}); {_REMEDY}") from error
    if not sound or any(one["stats"]["rounds"] < 1 for one in found.values()):
        raise BadInputError(f"{path} holds statistics that are none; {_REMEDY}")
    return found


def compare_times(
    baseline: Mapping[str, Mapping[str, Any]], timed: Sequence[TimedMode], rule: TimeRule
) -> tuple[list[Check], list[str]]:
    """Check every latency that has a baseline.

    Returns:
        The checks, and a line for each latency that was not compared.
    """
    checks, skipped = [], []
    for one in timed:
        before = baseline.get(one.name)
        if before is None:
            skipped.append(f"{one.name}: no latency in the baseline of this hardware")
            continue
        extra = before.get("extra_info") or {}
        differing = [name for name, value in one.likeness.items() if extra.get(name) != value]
        if differing:
            skipped.append(f"{one.name}: latency not compared, other {' and '.join(differing)}")
            continue
        checks.append(_check(one, before["stats"], timing_stats(one.seconds), rule))
    return checks, skipped


def _check(
    one: TimedMode, before: Mapping[str, Any], now: Mapping[str, Any], rule: TimeRule
) -> Check:
    return Check(
        system=one.snapshot.system,
        place=one.place,
        kind="time",
        figure="latency",
        baseline=before["median"],
        value=now["median"],
        allowed=rule.allowed(before, now),
        verdict=rule.judge(before, now),
    )


def _benchmark(one: TimedMode) -> dict[str, Any]:
    system: System = one.snapshot.system
    return {
        "group": f"{system.task}/{one.place}",
        "name": f"{system.task}[{system.mode}]",
        "fullname": one.name,
        "params": {"mode": system.mode},
        "param": system.mode,
        "extra_info": one.likeness,
        "options": {},
        "stats": timing_stats(one.seconds),
    }


def _machine(hardware: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "release": platform.release(),
        "python_implementation": platform.python_implementation(),
        "python_version": platform.python_version(),
        "cpu": {
            "brand_raw": hardware["cpu"],
            "count": hardware["cores"],
            "flags": list(hardware.get("cpu_flags") or ()),
        },
        "threads": hardware.get("threads"),
        "gpus": list(hardware.get("gpus") or ()),
    }
