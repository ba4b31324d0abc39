"""`harness run`: evaluate, print the comparison, write results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.commands.evaluate import conclude, evaluate, list_tasks
from harness.config import RunConfig, parse

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(settings: DictConfig) -> int:
    """Run a configuration.

    Returns:
        0, or 1 when a task did not finish or a published score was not reproduced.
    """
    config = parse(RunConfig, settings, where="")
    if config.info:
        return list_tasks(config)
    from harness.reporting.describe import describe_model
    from harness.reporting.published import print_published
    from harness.reporting.summary import print_means
    from harness.reporting.table import json_lines, print_comparison

    evaluation = evaluate(config)
    outcome, comparisons = evaluation.outcome, evaluation.comparisons
    if config.format == "json":
        json_lines(outcome.rows, comparisons)
    else:
        models = evaluation.runner.model_settings()
        notes = {task: describe_model(**parts) for task, parts in models.items()}
        print_comparison(outcome.rows, notes, costs=config.cost.table)
        print_means(outcome.rows)
        print_published(comparisons)
    return conclude(config, evaluation)
