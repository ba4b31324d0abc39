"""What `harness run` and `harness regress` share: evaluate, compare with published scores, tell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.sweep import tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.config import RunConfig
    from harness.evaluation.published import Comparison, PublishedScores
    from harness.evaluation.runner import Runner, RunOutcome


@dataclass(frozen=True)
class Evaluation:
    """A run.

    Attributes:
        runner: What evaluated it.
        outcome: What it did.
        published: Official scores; None where the run names none.
        comparisons: Its figures beside theirs.
    """

    runner: Runner
    outcome: RunOutcome
    published: PublishedScores | None
    comparisons: Sequence[Comparison]


def evaluate(config: RunConfig) -> Evaluation:
    """Evaluate what is missing of a run.

    Raises:
        BadInputError: Bad input or configuration; finished results are kept.
    """
    from harness.evaluation.published import PublishedScores, compare
    from harness.evaluation.runner import Runner

    published = None
    if config.published is not None:
        folder = Path(config.published).expanduser()
        published = PublishedScores(folder, names=config.published_names)
    runner = Runner(config)
    outcome = runner.run()
    comparisons: Sequence[Comparison] = []
    if published is not None:
        comparisons = compare(
            [row for row in outcome.rows if row.main],
            published,
            revision=runner.model_revision,
            tolerance=config.published_tolerance,
        )
    return Evaluation(runner, outcome, published, comparisons)


def conclude(config: RunConfig, evaluation: Evaluation) -> int:
    """Say what a run did and what it left unfinished.

    Returns:
        0, or 1 when a task did not finish or a published score was not reproduced.
    """
    from harness.progress import say

    outcome = evaluation.outcome
    for line in evaluation.published.faults if evaluation.published is not None else ():
        say(f"published score left out: {line}")
    differing = _check(evaluation.comparisons) if config.check_published else []
    say(
        f"{outcome.computed} results computed, {outcome.kept} kept; "
        f"{outcome.texts_encoded:,} texts encoded, {outcome.texts_read:,} read from the store"
    )
    for line in outcome.failed:
        say(f"not finished: {line}")
    tell(outcome.failed + differing)
    return 1 if outcome.failed or differing else 0


def list_tasks(config: RunConfig) -> int:
    """List the tasks of a run; nothing is downloaded, evaluated or written."""
    from harness.embedding.shared_store import local_store
    from harness.evaluation.forecast import CHARACTERS_PER_TOKEN, forecast
    from harness.evaluation.tasks.resolve import resolve_tasks
    from harness.evaluation.tasks.sizes import task_size
    from harness.progress import say
    from harness.reporting.listing import list_task, listing_lines, print_listing

    tasks = resolve_tasks(config.tasks, cache_dir=local_store(config.store_dir) / "tasks")
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
