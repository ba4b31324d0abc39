"""The end of a sweep, and its plan: tables on standard output, files in the sweep's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.sweep import keep
from harness.sweep.record import settings_of

if TYPE_CHECKING:
    from harness.config import RunConfig
    from harness.sweep.conduct import Sweep


def plan_run(config: RunConfig) -> int:
    """Say what a run would do, or tell the sweep that it is a job of.

    Returns:
        0.
    """
    from harness.evaluation.plan import plan
    from harness.sweep.conduct import is_conducted

    rows = [entry.flat() for entry in plan(config)]
    if is_conducted():
        keep(rows)
        return 0
    from harness.reporting.sweep_plan import print_plan

    print_plan([("this run", rows)], as_json=config.format == "json")
    return 0


def conclude(sweep: Sweep, *, planned: bool) -> None:
    """Print the table of all jobs and write it, with a figure, into the sweep's folder.

    Args:
        sweep: A sweep that has ended.
        planned: Whether its jobs only said what they would do.
    """
    jobs = sweep.jobs
    as_json = any(job.format == "json" for job in jobs)
    settings = settings_of(jobs)
    if planned:
        from harness.reporting.sweep_plan import print_plan

        found = zip(settings, jobs, strict=True)
        print_plan([(name, job.rows) for name, job in found if job.rows], as_json=as_json)
        return
    if sweep.folder is None or not any(job.rows for job in jobs):
        return
    from harness.progress import say
    from harness.reporting.figures import save_figure
    from harness.reporting.sweep_summary import print_summary, summary, summary_figure

    found = summary(jobs)
    if not as_json:
        print_summary(found)
    try:
        paths = save_figure(summary_figure(found), found, sweep.folder, "summary")
    except OSError as error:
        say(f"no summary is written to {sweep.folder}: {error.strerror}")
        return
    say(f"sweep: {', '.join(path.name for path in paths)} in {sweep.folder}")
