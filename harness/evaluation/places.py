"""The places of a task, its (split, subset) pairs: those asked for, and those of a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

    from harness.evaluation.results import StoredResult
    from harness.evaluation.task_texts import Place


def places_of(task: AbsTask) -> set[Place]:
    """The places that a task is evaluated at; an aggregate has those that mteb gives it."""
    if task.is_aggregate:
        return set()
    return {(split, subset) for split in task.eval_splits for subset in task.hf_subsets}


def all_places(task: AbsTask) -> set[Place]:
    """Every place that a task has; see `places_of`."""
    if task.is_aggregate:
        return set()
    subsets = list(task.metadata.hf_subsets_to_langscripts)
    return {(split, subset) for split in task.metadata.eval_splits for subset in subsets}


def places_in(result: Mapping[str, Any]) -> set[Place]:
    """The places of mteb's result."""
    return {
        (split, str(place.get("hf_subset")))
        for split, places in result.get("scores", {}).items()
        for place in places
    }


def covers(stored: StoredResult, task: AbsTask) -> bool:
    """Whether a result has every place that the task is asked for."""
    return places_of(task) <= places_in(stored.result)


def widen(task: AbsTask, stored: StoredResult | None) -> None:
    """Add a stored result's places to the task's, so that it is not overwritten by fewer.

    Args:
        task: Its splits and subsets are changed, in the order of its metadata.
        stored: What is there, of the same data.
    """
    if stored is None:
        return
    found = places_in(stored.result)
    splits = {split for split, _ in found} | set(task.eval_splits)
    subsets = {subset for _, subset in found} | set(task.hf_subsets)
    task.filter_eval_splits([split for split in task.metadata.eval_splits if split in splits])
    every = task.metadata.hf_subsets_to_langscripts
    task.hf_subsets = [subset for subset in every if subset in subsets]
