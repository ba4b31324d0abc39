"""Tasks that are the mean of others, such as CQADupstack: their parts are run, then combined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mteb.abstasks.aggregated_task import AbsTaskAggregate
from mteb.results import TaskResult

from harness.cost.record import combined_cost
from harness.evaluation.evaluators import Evaluated

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

    from harness.evaluation.results import StoredResult


def parts_of(tasks: Sequence[AbsTask]) -> list[AbsTask]:
    """All tasks that are evaluated themselves, each once, aggregates replaced by their parts."""
    found: dict[str, AbsTask] = {}
    for task in tasks:
        members = task.tasks if isinstance(task, AbsTaskAggregate) else [task]
        for member in members:
            found.setdefault(member.metadata.name, member)
    return list(found.values())


def combine(task: AbsTaskAggregate, parts: Sequence[StoredResult]) -> Evaluated:
    """The scores of an aggregate as mteb combines those of its parts, and the cost of all."""
    result = task.combine_task_results([TaskResult.from_disk(part.path) for part in parts])
    cost = combined_cost([figures for part in parts for figures in part.cost.values()])
    places = {
        f"{split}/{score['hf_subset']}": cost
        for split, scores in result.scores.items()
        for score in scores
    }
    return Evaluated(result, places)


def says_the_same(stored: StoredResult, combined: Evaluated) -> bool:
    """Whether a stored result of an aggregate is still that of its parts, cost included."""
    scores = _main_scores(stored.result) == _main_scores(combined.result.model_dump())
    return scores and stored.cost == combined.cost


def _main_scores(result: Mapping[str, Any]) -> list[Any]:
    return [place["main_score"] for places in result["scores"].values() for place in places]
