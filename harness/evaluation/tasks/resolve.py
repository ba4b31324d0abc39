"""Which task objects a configuration means."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import mteb
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from harness.config.evaluation import TASK_TYPES
from harness.errors import BadInputError
from harness.evaluation.tasks.filters import filter_tasks
from harness.evaluation.tasks.folder import local_task
from harness.evaluation.tasks.local import is_local
from harness.evaluation.tasks.pydoc import TASK_NAME, pydoc_task
from harness.progress import say

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

    from harness.config import TasksConfig

_SHOWN_SUBSETS = 12


def resolve_tasks(config: TasksConfig, *, cache_dir: Path) -> list[AbsTask]:
    """Task objects in the order given: folders, names, the benchmark's tasks, all of mteb's.

    Folders are read here, so that a malformed one stops the run before anything is written. Tasks
    of mteb's own load their data when they are evaluated. Every object is new, with a random state
    of its own, the parts of an aggregate too.

    Args:
        config: The tasks' configuration; the embedded task when it names nothing.
        cache_dir: Where the embedded task is kept once built.

    Raises:
        BadInputError: Unknown names or subsets, malformed folders, two tasks of one name, a named
            task that needs more than texts, or filters that leave nothing.
    """
    names = list(config.names)
    if not (names or config.benchmark or config.all or config.path):
        names = [TASK_NAME]
    tasks: list[AbsTask] = [
        local_task(
            Path(folder).expanduser(),
            split=config.split,
            empty_text="keep" if config.empty_text == "keep" else "refuse",
            stream=None if config.stream_mib is None else cache_dir,
            stream_bytes=(config.stream_mib or 0) << 20,
        )
        for folder in config.path
    ]
    tasks += [_named(name, cache_dir) for name in names]
    if config.benchmark:
        offered = _benchmark_tasks(config.benchmark)
        tasks += _text_tasks(offered, source=f"tasks.benchmark={config.benchmark!r}")
    if config.all:
        tasks += _text_tasks(mteb.get_tasks(), source="tasks.all")
    _check_names(tasks)
    return filter_tasks(tasks, config)


def _named(entry: str, cache_dir: Path) -> AbsTask:
    name, slash, subsets = entry.partition("/")
    if name == TASK_NAME:
        task: AbsTask = pydoc_task(cache_dir)
    else:
        try:
            task = _own(mteb.get_task(name))
        except KeyError as error:
            known = [task.metadata.name for task in mteb.get_tasks(exclude_superseded=False)]
            raise BadInputError(
                f"tasks.names: {name!r} is no task of mteb {_suggestion(name, [*known, TASK_NAME])}"
            ) from error
        if fault := _not_text(task):
            raise BadInputError(f"tasks.names: {name} {fault}; leave it out")
    if slash:
        _keep_subsets(task, [subset.strip() for subset in subsets.split(",")])
    return task


def _keep_subsets(task: AbsTask, wanted: Sequence[str]) -> None:
    known = task.metadata.hf_subsets
    for subset in wanted:
        if subset not in known:
            starting = [other for other in known if other.startswith(subset)]
            close = difflib.get_close_matches(subset, known, n=3, cutoff=0.5)
            shown = list(dict.fromkeys([*starting, *close, *known]))[:_SHOWN_SUBSETS]
            more = f", … ({len(known):,} in all)" if len(known) > len(shown) else ""
            raise BadInputError(
                f"tasks.names: {task.metadata.name} has no subset {subset!r}; "
                f"choose from: {', '.join(shown)}{more}"
            )
    task.hf_subsets = [subset for subset in known if subset in wanted]


def _benchmark_tasks(name: str) -> Sequence[AbsTask]:
    try:
        return mteb.get_benchmark(name).tasks
    except KeyError as error:
        known = [benchmark.name for benchmark in mteb.get_benchmarks()]
        raise BadInputError(
            f"tasks.benchmark={name!r} is no benchmark of mteb "
            f"{_suggestion(name, known, lister='get_benchmarks')}"
        ) from error


def _text_tasks(offered: Sequence[AbsTask], *, source: str) -> list[AbsTask]:
    tasks = [_own(task) for task in offered if not _not_text(task)]
    if not tasks:
        raise BadInputError(
            f"{source} holds no text task, and only those are scored; choose another"
        )
    if len(tasks) < len(offered):
        left_out = f"{len(offered) - len(tasks):,} of {len(offered):,} tasks left out"
        say(f"{source}: {left_out}; only text tasks are scored")
    return tasks


def _not_text(task: AbsTask) -> str | None:
    """What keeps a task from being evaluated with text embeddings, as a predicate."""
    if set(task.metadata.modalities) != {"text"}:
        return f"is of {' and '.join(task.metadata.modalities)}; only texts are embedded"
    if task.metadata.type not in TASK_TYPES:
        return f"is of type {task.metadata.type}; types that are scored: {', '.join(TASK_TYPES)}"
    return None


def _own(task: AbsTask) -> AbsTask:
    """A new object of the same task, subsets and splits.

    mteb hands out objects that it keeps (a benchmark's tasks, an aggregate's parts); what they
    draw at random depends on how often they were evaluated before.
    """
    own = type(task)()
    own.hf_subsets = list(task.hf_subsets)
    own.filter_eval_splits(task._eval_splits)
    if isinstance(own, AbsTaskAggregate) and isinstance(task, AbsTaskAggregate):
        own.tasks = [_own(part) for part in task.tasks]
        own.taskname_to_task = {part.metadata.name: part for part in own.tasks}
        own.metadata = task.metadata.model_copy(update={"tasks": own.tasks})
    return own


def _check_names(tasks: Iterable[AbsTask]) -> None:
    seen: set[str] = set()
    for task in tasks:
        name = task.metadata.name
        if name in seen:
            remedy = f"name it once, subsets together as '{name}/a,b'"
            if any(is_local(other) for other in tasks if other.metadata.name == name):
                remedy = "a folder's name is its task's name, so rename one"
            raise BadInputError(f"two tasks are called {name!r}; {remedy}")
        if name == "model_meta":
            raise BadInputError("a folder called 'model_meta' would hide mteb's file; rename it")
        seen.add(name)


def _suggestion(name: str, known: Sequence[str], *, lister: str = "get_tasks") -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if not close:
        return f"(mteb.{lister}() lists them)"
    return f"(did you mean {' or '.join(close)}?)"
