"""mteb's task of a folder's name: a local copy of a public set is evaluated as the public one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mteb

_DEFAULT_LANGUAGES = ("eng-Latn",)
_EVALUATE = "_evaluate_subset"
_OWN_SCORES = "task_specific_scores"


@dataclass(frozen=True)
class Evaluation:
    """How a task is evaluated.

    Attributes:
        base: The class that evaluates: mteb's task of the name, or the class of its type.
        main_score: The main metric.
        prompt: What the task asks for, or None.
        languages: mteb's language codes.
        is_copy: Whether `base` is mteb's task of the name.
    """

    base: type[Any]
    main_score: str
    prompt: str | Mapping[str, str] | None = None
    languages: Sequence[str] = _DEFAULT_LANGUAGES
    is_copy: bool = False


def evaluation_of(name: str, *, task_type: str, base: type[Any], main_score: str) -> Evaluation:
    """How a task of a name and type is evaluated.

    A task of mteb's that has exactly the name and the type lends its prompt and languages, and its
    class with all that steers evaluation, the main metric among it. The class is not used where it
    could not score a folder's data: where it is made for another form of data, where it evaluates
    in a way of its own, and where reranking has scores of its own, which read ids or files that a
    folder does not have.

    Args:
        name: The folder's name.
        task_type: mteb's task type.
        base: mteb's class of the type.
        main_score: The type's main metric.
    """
    public = _public_task(name, task_type)
    if public is None:
        return Evaluation(base=base, main_score=main_score)
    prompt, languages = public.metadata.prompt, public.metadata.bcp47_codes
    if not _scores_such_data(type(public), task_type, base):
        return Evaluation(base=base, main_score=main_score, prompt=prompt, languages=languages)
    return Evaluation(
        base=type(public),
        main_score=public.metadata.main_score,
        prompt=prompt,
        languages=languages,
        is_copy=True,
    )


def _public_task(name: str, task_type: str) -> Any:
    try:
        task = mteb.get_task(name)
    except KeyError:
        return None
    metadata = task.metadata
    same = metadata.name == name and metadata.type == task_type
    return task if same and metadata.modalities == ["text"] else None


def _scores_such_data(public: type[Any], task_type: str, base: type[Any]) -> bool:
    nearest = next(
        (kind for kind in public.__mro__ if kind.__module__.startswith("mteb.abstasks")), None
    )
    if nearest is not base:
        return False
    own = (_EVALUATE, _OWN_SCORES) if "Reranking" in task_type else (_EVALUATE,)
    return all(getattr(public, name) is getattr(base, name) for name in own)
