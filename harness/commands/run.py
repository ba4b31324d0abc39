"""`harness run`: evaluate, print the comparison, write results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.commands.evaluate import conclude, evaluate, list_tasks
from harness.config import RunConfig, parse
from harness.sweep import alone_if_first, is_searched, keep, offer

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from harness.commands.evaluate import Evaluation


def run(settings: DictConfig) -> int:
    """Run a configuration.

    Returns:
        0, or 1 when a task did not finish or a published score was not reproduced.
    """
    config = parse(RunConfig, settings, where="")
    if config.info:
        return list_tasks(config)
    if config.sweep.plan:
        from harness.commands.sweeps import plan_run

        return plan_run(config)
    from harness.reporting.sweep_rows import job_rows, objectives, searched_mode
    from harness.sweep.conduct import overview_hidden

    mode = searched_mode(config) if is_searched() else None
    with alone_if_first(_embeddings(config)):
        evaluation = evaluate(config)
    found = job_rows(evaluation.outcome.rows)
    keep(found)
    with overview_hidden():
        _print(config, evaluation)
    status = conclude(config, evaluation)
    if mode is not None and status == 0:
        offer(objectives(found, mode))
    return status


def _embeddings(config: RunConfig) -> str | None:
    """Stands for all that decides which texts are encoded, and how; None where nothing is."""
    import hashlib
    import json
    from dataclasses import asdict

    if all(mode.kind == "bm25" for mode in config.retrieval.values()):
        return None
    groups = (config.model, config.pooling, config.instruction, config.backend, config.tasks)
    text = json.dumps([*map(asdict, groups), config.task_instructions], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _print(config: RunConfig, evaluation: Evaluation) -> None:
    from harness.reporting.describe import describe_model
    from harness.reporting.published import print_published
    from harness.reporting.summary import print_means
    from harness.reporting.table import json_lines, print_comparison

    outcome, comparisons = evaluation.outcome, evaluation.comparisons
    if config.format == "json":
        json_lines(outcome.rows, comparisons)
        return
    models = evaluation.runner.model_settings()
    notes = {task: describe_model(**parts) for task, parts in models.items()}
    print_comparison(outcome.rows, notes, costs=config.cost.table)
    print_means(outcome.rows)
    print_published(comparisons)
