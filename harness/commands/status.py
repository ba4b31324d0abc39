"""`harness status`: the runs under the results folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.config import StatusConfig, parse

if TYPE_CHECKING:
    from omegaconf import DictConfig


def status(settings: DictConfig) -> int:
    """List the runs, the oldest first.

    Returns:
        0, or 1 when a record could not be read; the others are listed.
    """
    config = parse(StatusConfig, settings, where="")
    from pathlib import Path

    from harness.evaluation.run_status import run_statuses
    from harness.progress import say
    from harness.reporting.runs import counts_line, print_runs, run_lines

    runs, faults = run_statuses(Path(config.results_dir).expanduser())
    chosen = [run for run in runs if config.status in (None, run.status)]
    shown = chosen[-config.last :] if config.last else chosen
    if config.format == "json":
        run_lines(shown)
    elif shown:
        print_runs(shown)
    more = f", the last {len(shown):,} shown; last=0 shows all" if len(shown) < len(chosen) else ""
    say(counts_line(chosen) + more)
    for fault in faults:
        say(fault)
    return 1 if faults else 0
