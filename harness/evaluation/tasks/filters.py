"""What of the tasks named a configuration leaves out; it is said, never done in silence."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mteb.languages import ISO_TO_LANGUAGE, PROGRAMMING_LANGS, check_language_code

from harness.errors import BadInputError
from harness.evaluation.tasks.sizes import task_size
from harness.progress import say
from harness.text import listed

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

    from harness.config import TasksConfig
    from harness.evaluation.tasks.sizes import TaskSize

# Whether a task stays; it may narrow the task to some of its subsets or splits.
_Keeps = Callable[["AbsTask"], bool]

_SHOWN_TASKS = 5


def filter_tasks(tasks: Sequence[AbsTask], config: TasksConfig) -> list[AbsTask]:
    """The tasks that the configuration's filters keep, in their order.

    What is left out is counted on standard error, one line for all filters, and so are the tasks
    that a limit of size cannot judge.

    Args:
        tasks: Objects that belong to the caller: languages and splits narrow them in place.
        config: The filters.

    Raises:
        BadInputError: An unknown language, the name of no task to exclude, or nothing left.
    """
    kept = list(tasks)
    left_out: dict[str, str] = {}
    for setting, keeps in _filters(kept, config).items():
        before = kept
        places = [(len(task.hf_subsets), len(task.eval_splits)) for task in before]
        keep = [keeps(task) for task in before]
        kept = [task for task, stays in zip(before, keep, strict=True) if stays]
        was = [place for place, stays in zip(places, keep, strict=True) if stays]
        counts = {
            "task": len(before) - len(kept),
            "subset": sum(n for n, _ in was) - sum(len(task.hf_subsets) for task in kept),
            "split": sum(n for _, n in was) - sum(len(task.eval_splits) for task in kept),
        }
        if any(counts.values()):
            left_out[setting] = " and ".join(_count(n, unit) for unit, n in counts.items() if n)
    if not kept:
        raise BadInputError(
            f"nothing of {_count(len(tasks), 'task')} is left by {' and '.join(left_out)}; "
            "change or unset them"
        )
    if left_out:
        parts = ", ".join(f"{counts} by {setting}" for setting, counts in left_out.items())
        say(f"left out: {parts}; {len(kept):,} of {_count(len(tasks), 'task')} kept")
    if config.max_documents is not None or config.max_characters is not None:
        unknown = [task.metadata.name for task in kept if task_size(task) is None]
        if unknown:
            say(f"kept, because their size is unknown: {listed(unknown, most=_SHOWN_TASKS)}")
    return kept


def _filters(tasks: Sequence[AbsTask], config: TasksConfig) -> dict[str, _Keeps]:
    """Setting to filter, those that narrow a task before those that look at its size."""
    filters: dict[str, _Keeps] = {}
    if config.exclude:
        _check_excluded(config.exclude, tasks)
        filters["tasks.exclude"] = lambda task: task.metadata.name not in config.exclude
    if config.types:
        filters["tasks.types"] = lambda task: task.metadata.type in config.types
    if config.languages:
        languages = [_language(code) for code in config.languages]
        filters["tasks.languages"] = lambda task: _in_languages(task, languages)
    if config.eval_splits:
        filters["tasks.eval_splits"] = lambda task: _in_splits(task, config.eval_splits)
    if config.max_documents is not None:
        filters["tasks.max_documents"] = _limit(config.max_documents, lambda size: size.documents)
    if config.max_characters is not None:
        filters["tasks.max_characters"] = _limit(
            config.max_characters, lambda size: size.characters
        )
    return filters


def _check_excluded(excluded: Sequence[str], tasks: Sequence[AbsTask]) -> None:
    names = [task.metadata.name for task in tasks]
    for name in excluded:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
            remedy = f"did you mean {' or '.join(close)}?" if close else "take it out"
            raise BadInputError(f"tasks.exclude: {name!r} is none of the tasks; {remedy}")


def _language(code: str) -> str:
    """A code as mteb writes it."""
    language, dash, script = code.partition("-")
    written = language.lower() + dash + script.title()
    try:
        check_language_code(written)
    except ValueError as error:
        by_name = {name.casefold(): known for known, name in ISO_TO_LANGUAGE.items()}
        close = difflib.get_close_matches(
            language.lower(), [*ISO_TO_LANGUAGE, *PROGRAMMING_LANGS], n=3, cutoff=0.5
        )
        if code.casefold() in by_name:
            close = [by_name[code.casefold()]]
        hint = f" (did you mean {' or '.join(close)}?)" if close else ""
        raise BadInputError(
            f"tasks.languages: {code!r} is no language; write ISO 639-3 codes such as eng, "
            f"with a script if need be, such as eng-Latn{hint}"
        ) from error
    return written


def _in_languages(task: AbsTask, languages: Sequence[str]) -> bool:
    def known(code: str) -> bool:
        return code in languages or code.partition("-")[0] in languages

    if not task.metadata.is_multilingual:
        return any(known(code) for code in task.metadata.bcp47_codes)
    codes = task.metadata.hf_subsets_to_langscripts
    task.hf_subsets = [s for s in task.hf_subsets if all(known(code) for code in codes[s])]
    return bool(task.hf_subsets)


def _in_splits(task: AbsTask, splits: Sequence[str]) -> bool:
    kept = [split for split in task.eval_splits if split in splits]
    if kept:
        task.filter_eval_splits(kept)
    return bool(kept)


def _limit(most: int, figure: Callable[[TaskSize], int]) -> _Keeps:
    def keeps(task: AbsTask) -> bool:
        size = task_size(task)
        return size is None or figure(size) <= most

    return keeps


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit}{'s' * (number != 1)}"
