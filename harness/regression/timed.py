"""The time baseline of this hardware: whether there is one, comparing with it, writing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.config import RegressConfig
from harness.cost.hardware import git_commit, hardware_record
from harness.errors import BadInputError
from harness.regression.changes import moved_line
from harness.regression.check import Check
from harness.regression.latencies import measure_latencies
from harness.regression.snapshot import Snapshot
from harness.regression.times import (
    TimedMode,
    TimeRule,
    compare_times,
    read_times,
    times_path,
    write_times,
)
from harness.regression.words import counted


class LatencyBaseline:
    """Times are compared only where this hardware has a baseline of its own."""

    def __init__(self, config: RegressConfig) -> None:
        """Find the baseline of this hardware, before anything is run.

        Raises:
            BadInputError: If latencies are to be compared and there is none, or none that can be
                read.
        """
        self._config = config
        self._rule = TimeRule(threshold=config.time_threshold, spread=config.time_spread)
        self._hardware = hardware_record()
        self._folder = Path(config.baselines_dir)
        self._path = times_path(self._folder, self._hardware)
        exists = self._path.exists()
        if config.times == "measure" and not exists and not config.update:
            raise BadInputError(
                f"this hardware has no time baseline ({self._path}); update=true times=measure "
                "makes one"
            )
        self._compares = config.times != "skip" and exists
        self._measures = config.cost.latency_queries > 0 and (
            self._compares or config.times == "measure" or config.times_json is not None
        )
        self._baseline = read_times(self._path) if self._compares and not config.update else {}

    def compare(self, run: Iterable[Snapshot]) -> tuple[list[Check], list[str]]:
        """Measure the run's latencies and compare them.

        Returns:
            The checks, and a line for whatever was not compared.
        """
        timed = self._measured(run)
        if not self._compares:
            others = len(list(self._folder.glob("times-*.json")))
            if others and self._config.times != "skip":
                return [], ["latencies not compared: the time baselines are of other hardware"]
            return [], []
        if not self._measures:
            return [], ["latencies not compared: cost.latency_queries=0 times no query"]
        return compare_times(self._baseline, timed, self._rule)

    def write(self, run: Iterable[Snapshot]) -> list[str]:
        """Measure the run's latencies and write the baseline, where there is one or is to be one.

        Latencies of what is not in this run stay in it.

        Returns:
            Lines on what was written, old → new.
        """
        timed = self._measured(run)
        if not timed or not (self._compares or self._config.times == "measure"):
            return []
        old, lines = self._old()
        checks, _ = compare_times(old, timed, self._rule)
        self._write(self._path, timed, list(old.values()))
        return [
            *lines,
            *(f"{check.system.task}, {check.system.mode}: {moved_line(check)}" for check in checks),
            f"latencies on this hardware written, of {counted(len(timed), 'mode')}: {self._path}",
        ]

    def _old(self) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """The baseline that is replaced, and a line where it cannot be read."""
        try:
            return (read_times(self._path) if self._path.exists() else {}), []
        except BadInputError as error:
            return {}, [f"replaced: {error}"]

    def _measured(self, run: Iterable[Snapshot]) -> list[TimedMode]:
        if not self._measures:
            return []
        timed = measure_latencies(self._config, {one.system: one for one in run})
        if self._config.times_json is not None:
            self._write(Path(self._config.times_json).expanduser(), timed)
        return timed

    def _write(
        self, path: Path, timed: list[TimedMode], others: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        write_times(
            path,
            timed,
            hardware=self._hardware,
            commit=git_commit(Path(__file__).parent),
            now=datetime.now(UTC),
            others=others,
        )
