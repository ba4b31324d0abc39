"""A job of a sweep while it runs: what it tells is kept in its own record."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.process import this_process
from harness.sweep.ahead import first_ahead
from harness.sweep.record import MEETING, JobRecord
from harness.sweep.size import is_search

if TYPE_CHECKING:
    from omegaconf import DictConfig

_running: Job | None = None


class Job:
    """The job that this process runs, from its start to its end.

    Attributes:
        record: What is known of it.
        objectives: What the sweeper is given when the job has ended; None for nothing.
    """

    def __init__(self, record: JobRecord, folder: Path, *, searched: bool = False) -> None:
        """Write the record of a job that starts.

        Args:
            record: Its number and settings.
            folder: Its own.
            searched: Whether the sweeper chooses settings by what jobs return.
        """
        global _running  # noqa: PLW0603  a process runs one job at a time
        self.record = record
        self.objectives: tuple[float, ...] | None = None
        self.searched = searched
        self._folder = folder
        self._started = time.monotonic()
        record.process = this_process()
        record.write(folder)
        _running = self

    @classmethod
    def of_hydra(cls, settings: DictConfig) -> Job:
        """The job that Hydra has just started in this process."""
        from hydra.core.hydra_config import HydraConfig

        hydra = HydraConfig.get()
        record = JobRecord(
            number=int(hydra.job.num),
            overrides=list(hydra.overrides.task),
            format=str(settings.get("format", "table")),
        )
        return cls(record, Path(hydra.runtime.output_dir), searched=is_search(hydra.sweeper))

    @property
    def sweep_folder(self) -> Path:
        """Where the jobs of its sweep see each other."""
        return self._folder.parent

    def end(self, exit_status: int) -> None:
        """Write how it ended."""
        global _running  # noqa: PLW0603  as above
        _running = None
        self.record.status = "failed" if exit_status else "done"
        self.record.exit_status = exit_status
        self.record.seconds = round(time.monotonic() - self._started, 3)
        self.record.write(self._folder)


def tell(lines: Sequence[str]) -> None:
    """Tell the sweep that this job belongs to, if any, what it leaves unfinished."""
    if _running is not None:
        _running.record.unfinished += lines


def keep(rows: Sequence[Mapping[str, Any]]) -> None:
    """Give the sweep that this job belongs to, if any, what it found, JSON-able."""
    if _running is not None:
        _running.record.rows += [dict(row) for row in rows]


def is_searched() -> bool:
    """Whether this process runs a job whose sweeper chooses settings by what jobs return."""
    return _running is not None and _running.searched


@contextmanager
def alone_if_first(need: str | None) -> Iterator[None]:
    """What is done meanwhile, of all jobs of a sweep that share a need one does first.

    Outside of a sweep nobody waits, nor where its jobs run one after the other.

    Args:
        need: See `first_ahead`; None for none.
    """
    if _running is None or need is None:
        yield
        return
    with first_ahead(_running.sweep_folder / MEETING, need):
        yield


def offer(objectives: tuple[float, ...]) -> None:
    """Give the sweeper what it chooses the next settings by."""
    if _running is not None:
        _running.objectives = objectives
