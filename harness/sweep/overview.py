"""The state of a sweep while it runs: a bar on a terminal, elsewhere a line for each job's end."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from harness.progress import error_console, say
from harness.sweep.record import JobRecord, read_jobs, settings_of

_EVERY = 0.5  # seconds between two looks at the jobs' records


def seconds_left(jobs: Sequence[JobRecord], total: int | None) -> float | None:
    """How long the rest of a sweep will take, at the pace of the median job that has ended.

    The longest one, which may have encoded for all, counts only while it is alone. As many jobs as
    run now are assumed to run side by side until the end.

    Args:
        jobs: The jobs that have started.
        total: Jobs in all; None where nobody knows.

    Returns:
        Seconds; None without a job that is done, or without a total.
    """
    done = sorted(job.seconds for job in jobs if job.status == "done")
    if total is None or not done:
        return None
    running = sum(job.status == "running" for job in jobs)
    left = total - sum(job.status != "running" for job in jobs)
    return statistics.median(done[:-1] or done) * max(left, 0) / max(running, 1)


def overview_line(jobs: Sequence[JobRecord], total: int | None) -> str:
    """Jobs done, running and failed, and the time left: `3 of 24 jobs done, 1 failed, …`."""
    counts = {
        "done": sum(job.status == "done" for job in jobs),
        "running": sum(job.status == "running" for job in jobs),
        "failed": sum(job.status in ("failed", "killed") for job in jobs),
    }
    of = "" if total is None else f" of {total:,}"
    line = f"{counts['done']:,}{of} jobs done, {counts['running']} running"
    if counts["failed"]:
        line += f", {counts['failed']} failed"
    left = seconds_left(jobs, total)
    return line if not left else f"{line}, about {timedelta(seconds=round(left))} left"


class Overview:
    """Looks at the jobs' records, wherever they run, and shows what has changed."""

    def __init__(
        self, folder: Path, total: int | None, *, swept: Collection[str], bar: bool
    ) -> None:
        """Begin to look.

        Args:
            folder: The sweep's.
            total: Jobs in all; None where nobody knows.
            swept: Names of the settings that the sweep goes over.
            bar: Whether a bar is shown where standard error is a terminal. Not where the jobs'
                own processes write there too.
        """
        self._folder = folder
        self._total = total
        self._swept = swept
        self._ended: set[int] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._bar: Progress | None = None
        if bar and error_console().is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("sweep: {task.description}"),
                BarColumn(),
                console=error_console(),
                transient=True,
            )
            self._bar.add_task(overview_line([], total), total=total)
            self._bar.start()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Show what has changed since the last look."""
        with self._lock:
            jobs = read_jobs(self._folder)
            new = [
                (job, settings)
                for job, settings in zip(jobs, settings_of(jobs, swept=self._swept), strict=True)
                if job.status != "running" and job.number not in self._ended
            ]
            self._ended |= {job.number for job, _ in new}
            line = overview_line(jobs, self._total)
            if self._bar is not None:
                self._bar.update(
                    self._bar.task_ids[0], description=line, completed=len(self._ended)
                )
                return
            for job, settings in new:
                say(f"sweep: {settings}: {job.status} in {job.seconds:.1f} s; {line}")

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Show nothing meanwhile: standard output may be the same terminal."""
        with self._lock:
            if self._bar is not None:
                self._bar.stop()
            try:
                yield
            finally:
                if self._bar is not None:
                    self._bar.start()

    def stop(self) -> None:
        """Look a last time, and no more."""
        self._stop.set()
        self._thread.join()
        self.look()
        if self._bar is not None:
            self._bar.stop()

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY):
            self.look()
