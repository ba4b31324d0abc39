"""`harness run`: evaluate, print the comparison, write results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.config import RunConfig, parse
from harness.sweep import tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

    from harness.evaluation.published import Comparison


def run(settings: DictConfig) -> int:
    """Run a configuration.

    Returns:
        0, or 1 when a task did not finish or a published score was not reproduced.
    """
    config = parse(RunConfig, settings, where="")
    if config.info:
        return _list(config)
    from harness.evaluation.published import PublishedScores, compare
    from harness.evaluation.runner import Runner
    from harness.progress import say
    from harness.reporting.describe import describe_model
    from harness.reporting.published import print_published
    from harness.reporting.summary import print_means
    from harness.reporting.table import json_lines, print_comparison

    published = None
    if config.published is not None:
        folder = Path(config.published).expanduser()
        published = PublishedScores(folder, names=config.published_names)
    runner = Runner(config)
    outcome = runner.run()
    comparisons: list[Comparison] = []
    if published is not None:
        comparisons = compare(
            [row for row in outcome.rows if row.main],
            published,
            revision=runner.model_revision,
            tolerance=config.published_tolerance,
        )
    if config.format == "json":
        json_lines(outcome.rows, comparisons)
    else:
        models = runner.model_settings()
        notes = {task: describe_model(**parts) for task, parts in models.items()}
        print_comparison(outcome.rows, notes, costs=config.cost.table)
        print_means(outcome.rows)
        print_published(comparisons)
    for line in published.faults if published is not None else ():
        say(f"published score left out: {line}")
    differing = _check(comparisons) if config.check_published else []
    say(
        f"{outcome.computed} results computed, {outcome.kept} kept; "
        f"{outcome.texts_encoded:,} texts encoded, {outcome.texts_read:,} read from the store"
    )
    for line in outcome.failed:
        say(f"not finished: {line}")
    tell(outcome.failed + differing)
    return 1 if outcome.failed or differing else 0


def _check(comparisons: Sequence[Comparison]) -> list[str]:
    """Say which published scores are reproduced: one line for each that is not."""
    from harness.progress import say
    from harness.reporting.published import beyond_tolerance

    differing = beyond_tolerance(comparisons)
    if not comparisons:
        differing = ["check_published: none of these results has a published score"]
    for line in differing:
        say(f"not reproduced: {line}")
    if comparisons:
        say(
            f"{len(comparisons) - len(differing)} of {len(comparisons)} published scores reproduced"
        )
    return differing


def _list(config: RunConfig) -> int:
    """List the tasks of a run; nothing is downloaded, evaluated or written."""
    from harness.evaluation.forecast import CHARACTERS_PER_TOKEN, forecast
    from harness.evaluation.tasks.resolve import resolve_tasks
    from harness.evaluation.tasks.sizes import task_size
    from harness.progress import say
    from harness.reporting.listing import list_task, listing_lines, print_listing

    tasks = resolve_tasks(config.tasks, cache_dir=Path(config.store_dir) / "tasks")
    sizes = [task_size(task) for task in tasks]
    expected = forecast(config, [size for size in sizes if size is not None])
    entries = [
        list_task(
            task,
            size,
            forward=expected.forward,
            max_length=expected.max_length,
            characters_per_token=CHARACTERS_PER_TOKEN,
            flops_per_second=expected.flops_per_second,
        )
        for task, size in zip(tasks, sizes, strict=True)
    ]
    if config.format == "json":
        listing_lines(entries)
        say(expected.note)
    else:
        print_listing(entries, [expected.note])
    return 0
