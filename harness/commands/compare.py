"""`harness compare`: two runs, query by query."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.config import CompareConfig, parse
from harness.errors import BadInputError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from harness.evaluation.results import StoredResult


def compare(settings: DictConfig) -> int:
    """Print how two runs differ on the tasks that both have.

    Returns:
        0.
    """
    config = parse(CompareConfig, settings, where="")
    from harness.progress import say
    from harness.reporting.contrast_page import contrast_text
    from harness.reporting.contrast_table import contrast_lines, print_contrast
    from harness.reporting.contrasts import contrast_runs
    from harness.reporting.find_run import find_run

    folder = Path(config.results_dir)
    first = find_run(config.run_a, folder, setting="run_a", tasks=config.task)
    second = find_run(config.run_b, folder, setting="run_b", tasks=config.task)
    compared = contrast_runs(first, second, tasks=config.task, metric=config.metric, top=config.top)
    titles = _title(next(iter(first.values()))), _title(next(iter(second.values())))
    if config.html is not None:
        _write_page(Path(config.html).expanduser(), contrast_text(compared, titles))
    if config.format == "json":
        contrast_lines(compared)
    else:
        print_contrast(compared, titles)
    for task in compared.tasks:
        if task.unshared:
            say(f"{task.task}: left out, queries of only one of the runs: {task.unshared:,}")
    for line in compared.left_out:
        say(f"left out: {line}")
    return 0


def _write_page(path: Path, text: str) -> None:
    from harness.files import write_text
    from harness.progress import say

    try:
        write_text(path, text)
    except OSError as error:
        raise BadInputError(
            f"html={path} cannot be written ({error.strerror}); name another file with html=FILE"
        ) from error
    say(f"comparison: {path}")


def _title(stored: StoredResult) -> str:
    """Mode, model and settings of a run in words."""
    from harness.reporting.describe import describe

    experiment = stored.experiment
    return f"{experiment['mode']}, {experiment['model']}, {describe(experiment['settings'])}"
