"""Which results a person means by the name of a run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from harness.errors import BadInputError
from harness.evaluation.results import StoredResult, read_result, result_paths
from harness.files import file_name
from harness.reporting.collect import MALFORMED, malformed_line
from harness.reporting.describe import describe
from harness.text import listed

_NOT_RESULTS = ("model_meta.json",)


def find_run(
    name: str, results_dir: Path, *, setting: str, tasks: Collection[str] = ()
) -> dict[str, StoredResult]:
    """The results of the one run that is named, by task.

    A run is one mode of one model configuration: the results of an experiment's folder, and those
    of folders beside it that have the same readable name and no task in common with it, since
    collections of one's own each have a folder.

    Args:
        name: A path of a folder or of a result, the name of a folder or its hash, the name of a
            mode, `model/mode` with a part of the model's name, or a part of
            `model/revision/folder`.
        results_dir: The results folder.
        setting: What the name was given as, for messages.
        tasks: Only runs with a result of one of these are meant; of any when empty.

    Raises:
        BadInputError: If the name means no run, or several, or a result cannot be read.
    """
    paths = _at_path(name, results_dir) or _by_name(name, results_dir, setting, tasks)
    results = [result for path in paths if (result := read_result(path)) is not None]
    for result in results:
        if not {"mode", "model", "settings"} <= result.experiment.keys():
            raise BadInputError(
                f"{result.path} does not say what was evaluated; delete it and it will be computed "
                "again"
            )
        try:
            describe(result.experiment["settings"])
        except MALFORMED as error:
            raise BadInputError(malformed_line(result.path, error)) from error
    return {str(result.result.get("task_name", result.path.stem)): result for result in results}


def _at_path(name: str, results_dir: Path) -> list[Path]:
    """The results at a path, which may be relative to the results folder."""
    for path in (Path(name).expanduser(), results_dir / name):
        if path.is_file() and path.suffix == ".json" and path.name not in _NOT_RESULTS:
            return [path]
        if path.is_dir() and (found := _in_folder(path)):
            return found
        beside = path.with_name(f"{path.name}.json")  # of a folder of what belongs to a result
        if path.is_dir() and beside.is_file():
            return [beside]
    return []


def _in_folder(folder: Path) -> list[Path]:
    """The results of an experiment's folder."""
    return sorted(
        path
        for path in folder.glob("*.json")
        if path.name not in _NOT_RESULTS and path.with_suffix("").is_dir()
    )


def _by_name(name: str, results_dir: Path, setting: str, tasks: Collection[str]) -> Sequence[Path]:
    folders: dict[Path, list[Path]] = {}
    for path in result_paths(results_dir):
        folders.setdefault(path.parent, []).append(path)
    if tasks:
        files = {file_name(task) for task in tasks}
        every = sorted({path.stem for paths in folders.values() for path in paths})
        folders = {
            folder: paths
            for folder, paths in folders.items()
            if any(path.stem in files for path in paths)
        }
        if not folders:
            raise BadInputError(
                f"task={listed(list(tasks))} has no results under {results_dir}; those that have: "
                f"{listed(every, most=20)}"
            )
    runs: list[list[Path]] = []
    for meant in _meanings(name):
        runs = _together({folder: paths for folder, paths in folders.items() if meant(folder)})
        if runs:
            break
    if len(runs) == 1:
        return runs[0]
    shown = [_shown(paths, results_dir) for paths in runs or _together(folders)]
    if not runs:
        raise BadInputError(
            f"{setting}={name} names no run under {results_dir}; there are: {listed(shown, most=8)}"
        )
    raise BadInputError(
        f"{setting}={name} may be {len(runs)} runs; name one of: {listed(shown, most=8)}"
    )


def _meanings(name: str) -> list[Callable[[Path], bool]]:
    """What a name may say of a folder; what comes first is meant where it is true of any."""
    model, _, mode = name.rpartition("/")
    model = model.replace("/", "__")  # as folders have it
    return [
        lambda folder: folder.name == name,
        lambda folder: folder.name.rpartition("-")[2] == name,
        lambda folder: folder.name.startswith(f"{name}-"),
        lambda folder: (
            bool(model)
            and folder.name.startswith(f"{mode}-")
            and model.lower() in folder.parents[2].name.lower()
        ),
        lambda folder: name.lower() in _model_and_mode(folder).lower(),
    ]


def _model_and_mode(folder: Path) -> str:
    """Model, revision and name of an experiment's folder."""
    return "/".join((folder.parents[2].name, folder.parents[1].name, folder.name))


def _together(folders: dict[Path, list[Path]]) -> list[list[Path]]:
    """The results of each run, see `find_run`."""
    alike: dict[Path, list[list[Path]]] = {}
    for folder, paths in folders.items():
        label = folder.with_name(folder.name.rpartition("-")[0])
        alike.setdefault(label, []).append(paths)
    runs = []
    for parts in alike.values():
        every = [path for paths in parts for path in paths]
        apart = len({path.stem for path in every}) == len(every)
        runs += [every] if apart else parts
    return runs


def _shown(paths: Iterable[Path], results_dir: Path) -> str:
    """The folder of a run, or of the first of its folders, as it can be given."""
    return str(next(iter(paths)).parent.relative_to(results_dir))
