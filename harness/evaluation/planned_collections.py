"""The collections of a plan: tasks by the sizes that mteb ships, or numbers that are given."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.cost.collection import Collection, TextCount
from harness.embedding.shared_store import local_store
from harness.errors import BadInputError
from harness.evaluation.aggregates import parts_of
from harness.evaluation.evaluators import ranks
from harness.evaluation.tasks.resolve import resolve_tasks
from harness.evaluation.tasks.sizes import TaskSize, task_size
from harness.progress import say

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

    from harness.config import TasksConfig
    from harness.config.plan import PlanConfig
    from harness.evaluation.planned_model import PlannedModel

DEFAULT_BENCHMARK = "BEIR"


def planned_collections(config: PlanConfig, model: PlannedModel) -> list[Collection]:
    """The collections that are planned; nothing is downloaded.

    Args:
        config: The plan.
        model: Whose tokens count.

    Raises:
        BadInputError: See `resolve_tasks`; or no task ranks documents and has a known size.
    """
    if config.documents is not None and config.tokens is not None:
        query = _given(1, config.query_tokens, config, model)
        documents = _given(config.documents, config.tokens, config, model)
        return [
            Collection(
                name=f"{config.documents:,} documents",
                documents=(documents,),
                query=query,
                basis="given",
            )
        ]
    tasks = resolve_tasks(_named(config.tasks), cache_dir=local_store(config.store_dir) / "tasks")
    found = []
    for task in tasks:
        name = task.metadata.name
        size = task_size(task)
        if not all(ranks(part) for part in parts_of([task])):
            say(f"left out: {name} ranks no documents")
        elif size is None or not size.documents:
            say(f"left out: mteb does not say how large {name} is")
        else:
            found.append(_collection(task, size, config, model))
    if not found:
        raise BadInputError(
            "none of these tasks ranks documents and has a known size; name others in "
            "tasks.names=[...], or give documents=1000000 tokens=120"
        )
    return found


def _named(tasks: TasksConfig) -> TasksConfig:
    """The tasks that are named, or BEIR."""
    if tasks.names or tasks.benchmark or tasks.all or tasks.path:
        return tasks
    chosen = copy.copy(tasks)
    chosen.benchmark = DEFAULT_BENCHMARK
    return chosen


def _given(count: int, tokens: float, config: PlanConfig, model: PlannedModel) -> TextCount:
    cut = min(tokens, model.max_length)
    terms = max(cut - config.prompt_tokens, 0.0) / model.copies
    return TextCount(texts=count, distinct=count, tokens=cut, terms=terms)


def _collection(
    task: AbsTask, size: TaskSize, config: PlanConfig, model: PlannedModel
) -> Collection:
    """A task's collection; of an aggregate, all parts in one index."""
    # Documents and queries take turns, split by split and subset by subset.
    documents = [_counted(*length, config, model) for length in size.lengths[::2]]
    queries = [_counted(*length, config, model) for length in size.lengths[1::2]]
    repeated = size.documents - sum(part.distinct for part in documents)
    documents[0] = replace(documents[0], texts=documents[0].distinct + repeated)
    return Collection(
        name=task.metadata.name,
        documents=tuple(documents),
        query=_query(queries, size.queries),
        basis="counted" if task.data_loaded else "published",
    )


def _counted(count: int, characters: float, config: PlanConfig, model: PlannedModel) -> TextCount:
    terms = min(
        characters / config.characters_per_token,
        max(model.max_length - config.prompt_tokens, 0) / model.copies,
    )
    tokens = terms * model.copies + config.prompt_tokens
    return TextCount(texts=count, distinct=count, tokens=tokens, terms=terms)


def _query(parts: Sequence[TextCount], count: int) -> TextCount | None:
    total = sum(part.texts for part in parts)
    if not total:
        return None
    return TextCount(
        texts=count,
        distinct=total,
        tokens=sum(part.texts * part.tokens for part in parts) / total,
        terms=sum(part.texts * part.terms for part in parts) / total,
    )
