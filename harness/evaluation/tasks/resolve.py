"""Which task objects a configuration means."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mteb
from mteb.abstasks.retrieval import AbsTaskRetrieval

from harness.errors import BadInputError
from harness.evaluation.tasks.folder import folder_task
from harness.evaluation.tasks.pydoc import TASK_NAME, pydoc_task

if TYPE_CHECKING:
    from harness.config import TasksConfig


def resolve_tasks(config: TasksConfig, *, cache_dir: Path) -> list[AbsTaskRetrieval]:
    """Task objects in the order given: folders, names, the benchmark's tasks.

    Folders are read here, so that a malformed one stops the run before anything is written. Tasks
    of mteb's own load their data when they are evaluated.

    Args:
        config: The tasks' configuration; the embedded task when it names nothing.
        cache_dir: Where the embedded task is kept once built.

    Raises:
        BadInputError: Unknown names, malformed folders, two tasks of one name, or a task type
            that retrieval modes cannot score.
    """
    names = list(config.names)
    if not names and not config.benchmark and not config.path:
        names = [TASK_NAME]
    tasks = [
        folder_task(
            Path(folder).expanduser(),
            split=config.split,
            empty_text="keep" if config.empty_text == "keep" else "refuse",
        )
        for folder in config.path
    ]
    tasks += [pydoc_task(cache_dir) if name == TASK_NAME else _named(name) for name in names]
    if config.benchmark:
        tasks += [_retrieval(task) for task in _benchmark_tasks(config.benchmark)]
    seen: set[str] = set()
    for task in tasks:
        name = task.metadata.name
        if name in seen:
            raise BadInputError(
                f"two tasks are called {name!r}; a folder's name is its task's name, so rename one"
            )
        if name == "model_meta":
            raise BadInputError("a folder called 'model_meta' would hide mteb's file; rename it")
        seen.add(name)
    return tasks


def _named(name: str) -> AbsTaskRetrieval:
    try:
        task = mteb.get_task(name)
    except KeyError as error:
        known = [task.metadata.name for task in mteb.get_tasks()] + [TASK_NAME]
        raise BadInputError(
            f"tasks.names: {name!r} is no task of mteb {_suggestion(name, known)}"
        ) from error
    return _retrieval(task)


def _benchmark_tasks(name: str) -> list[Any]:
    try:
        return list(mteb.get_benchmark(name).tasks)
    except KeyError as error:
        known = [benchmark.name for benchmark in mteb.get_benchmarks()]
        raise BadInputError(
            f"tasks.benchmark={name!r} is no benchmark of mteb {_suggestion(name, known)}"
        ) from error


def _retrieval(task: Any) -> AbsTaskRetrieval:
    if not isinstance(task, AbsTaskRetrieval) or task.metadata.type != "Retrieval":
        raise BadInputError(
            f"task {task.metadata.name} is of type {task.metadata.type}; retrieval modes score "
            "tasks of type Retrieval, name those in tasks.names=[...]"
        )
    return task


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if not close:
        return "(mteb.get_tasks() lists them)"
    return f"(did you mean {' or '.join(close)}?)"
