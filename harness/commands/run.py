"""`harness run`: evaluate, print the comparison, write results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.config import RunConfig, parse

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(settings: DictConfig) -> int:
    """Run a configuration.

    Returns:
        0, or 1 when a task did not finish.
    """
    config = parse(RunConfig, settings, where="")
    from harness.evaluation.runner import Runner
    from harness.progress import say
    from harness.reporting.describe import describe_model
    from harness.reporting.table import json_lines, print_comparison

    runner = Runner(config)
    outcome = runner.run()
    if config.format == "json":
        json_lines(outcome.rows)
    else:
        models = runner.model_settings()
        notes = {task: describe_model(**parts) for task, parts in models.items()}
        print_comparison(outcome.rows, notes)
    say(
        f"{outcome.computed} results computed, {outcome.kept} kept; "
        f"{outcome.texts_encoded:,} texts encoded, {outcome.texts_read:,} read from the store"
    )
    for line in outcome.failed:
        say(f"not finished: {line}")
    return 1 if outcome.failed else 0
