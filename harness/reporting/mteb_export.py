"""Results in the layout of the official results repository, embeddings-benchmark/results.

    results/{org__model}/{revision}/{Task}.json
    results/{org__model}/{revision}/experiments/{name}/{Task}.json

Dense results whose settings are those that a model is published with stand in the first place;
every other mode and configuration is an experiment, whose name mteb derives from the
`experiment_kwargs` of its `model_meta.json`. Only mteb's own tasks at the revision that mteb pins
are exported: other data make no official result.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mteb
import yaml
from mteb.results import TaskResult

from harness.errors import BadInputError, brief
from harness.evaluation.experiment import LEXICAL_MODEL
from harness.evaluation.places import places_in
from harness.evaluation.results import details_folder
from harness.reporting.mteb_files import (
    result_folder,
    revision_folder,
    write_meta,
    write_official,
)
from harness.reporting.mteb_models import BM25, OfficialModel, official_model
from harness.reporting.mteb_settings import OwnSettings, experiment_name, is_published
from harness.text import listed, printable

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask
    from mteb.models.model_meta import ModelMeta

    from harness.evaluation.results import StoredResult


@dataclass
class Exported:
    """What was written, and what was not.

    Attributes:
        paths: Each `{Task}.json` that was written.
        experiments: How many of them are of an experiment.
        notes: One line for each thing to know of what was written.
        skipped: One line for each kind of result that is no official one.
        unreadable: One line for each result that cannot be read.
    """

    paths: list[Path] = field(default_factory=list)
    experiments: int = 0
    notes: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Official:
    """A result and its place.

    Attributes:
        stored: Ours.
        result: mteb's.
        model: Its model.
        meta: mteb's metadata of its model, with the experiment if it is one.
        dense: Whether it is of dense retrieval.
    """

    stored: StoredResult
    result: TaskResult
    model: OfficialModel
    meta: ModelMeta
    dense: bool


def export_official(
    results: Iterable[StoredResult],
    folder: Path,
    *,
    shipped: Callable[[str], Sequence[OwnSettings]],
) -> Exported:
    """Write results below `folder/results`, as the official repository lays them out.

    Where several results are of one task, model and configuration, the one with the most splits
    and subsets is taken.

    Args:
        results: Ours.
        folder: Its `results/` may hold results, which stay where they are not written anew.
        shipped: From a model's name to the settings of its configurations in the harness.

    Raises:
        OSError: If a file cannot be written.
    """
    done = Exported()
    found: dict[Path, _Official] = {}
    covered: Counter[str] = Counter()
    for official in _officials(_with_official_data(results, done), shipped, done):
        place = result_folder(folder / "results", official.meta) / official.result.task_name
        there = found.get(place)
        if there is not None:
            covered[official.result.task_name] += 1
        if there is None or len(_places(there)) < len(_places(official)):
            found[place] = official
    for place, official in found.items():
        done.paths.append(write_official(place.parent, official.result, official.stored))
        done.experiments += official.meta.experiment_name is not None
        write_meta(place.parent, official.meta)
        # An experiment's revision has metadata of its own, whether or not it has results.
        write_meta(revision_folder(folder / "results", official.meta), official.model.meta)
    if covered:
        done.skipped.append(
            f"{sum(covered.values())} results whose task and configuration another result has "
            f"with as many splits and subsets or more: {listed(sorted(covered))}"
        )
    done.notes += _notes(found.values())
    return done


def _with_official_data(
    results: Iterable[StoredResult], done: Exported
) -> list[tuple[StoredResult, AbsTask]]:
    """The results of mteb's own tasks at the revision that mteb pins, with their tasks."""
    kept = []
    unknown: dict[str, None] = {}
    other: dict[str, str] = {}
    for stored in results:
        name = str(stored.result.get("task_name"))
        try:
            task = mteb.get_task(name)
        except KeyError:
            unknown[printable(name)] = None
            continue
        if stored.result["dataset_revision"] == task.metadata.revision:
            kept.append((stored, task))
        else:
            other[name] = f"{name} ({printable(stored.result['dataset_revision'][:12])})"
    if unknown:
        done.skipped.append(f"no tasks of mteb's: {listed(sorted(unknown))}")
    if other:
        done.skipped.append(
            "data that are not at the revision that mteb pins: "
            f"{listed([other[name] for name in sorted(other)])}; run tasks.names=[NAME] for mteb's"
        )
    return kept


def _officials(
    results: Sequence[tuple[StoredResult, AbsTask]],
    shipped: Callable[[str], Sequence[OwnSettings]],
    done: Exported,
) -> Iterable[_Official]:
    """The results that the repository has a place for."""
    refused: Counter[str] = Counter()
    models: dict[tuple[str, str, str], OfficialModel | str] = {}
    for stored, task in results:
        try:
            result, config = _read(stored)
        except BadInputError as error:
            done.unreadable.append(str(error))
            continue
        key = _key(stored, config)
        if key not in models:
            models[key] = _model(stored, config)
        model = models[key]
        if isinstance(model, str):
            refused[model] += 1
            continue
        published = is_published(stored, config, task, model, shipped)
        kwargs = None if published else {"harness": experiment_name(stored, config)}
        meta = model.meta.model_copy(update={"experiment_kwargs": kwargs})
        dense = stored.experiment["settings"]["mode"]["kind"] == "dense"
        yield _Official(stored, result, model, meta, dense)
    done.skipped += [f"{count} results: {reason}" for reason, count in refused.items()]


def _model(stored: StoredResult, config: Mapping[str, Any]) -> OfficialModel | str:
    """A result's model, or why the repository has no place for it."""
    try:
        return official_model(stored.experiment, config["model"])
    except BadInputError as error:
        return str(error)


def _read(stored: StoredResult) -> tuple[TaskResult, dict[str, Any]]:
    """Mteb's result, and the configuration of its run.

    Raises:
        BadInputError: If they are not as `harness run` writes them, or a main score is no number.
    """
    file = details_folder(stored.path) / "config.yaml"
    remedy = f"delete {stored.path} and it will be computed again"
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
        result = TaskResult.from_disk(stored.path)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadInputError(f"{stored.path} cannot be read ({brief(error)}); {remedy}") from error
    if not _tells_its_settings(stored, config):
        raise BadInputError(f"{stored.path} does not tell its settings; {remedy}")
    for scores in result.scores.values():
        if not all(_is_number(score["main_score"]) for score in scores):
            raise BadInputError(f"{stored.path} has no main score, which every official result has")
    return result, config


def _tells_its_settings(stored: StoredResult, config: Any) -> bool:
    """Whether all is there that is read of them."""
    try:
        experiment, settings = stored.experiment, stored.experiment["settings"]
        texts = [experiment["model"], experiment["revision"], settings["mode"]["kind"]]
        texts += [config["backend"]["dtype"], config["model"]["kind"], config["pooling"]["kind"]]
        texts += [config["instruction"][side] for side in ("query", "document")]
        if experiment["model"] != LEXICAL_MODEL:
            texts += [settings["encoder"]["query"][name] for name in ("weights", "dtype")]
        lists = config["task_instructions"]
    except (KeyError, TypeError):
        return False
    return all(isinstance(text, str) for text in texts) and isinstance(lists, dict)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _key(stored: StoredResult, config: Mapping[str, Any]) -> tuple[str, str, str]:
    """What a model is known by."""
    experiment = stored.experiment
    return experiment["model"], experiment["revision"], str(config["model"])


def _places(official: _Official) -> set[tuple[str, str]]:
    return places_in(official.stored.result)


def _notes(written: Iterable[_Official]) -> list[str]:
    """What to know of results before they are submitted."""
    apart: Counter[str] = Counter()
    models: dict[str, OfficialModel] = {}
    for official in written:
        name = str(official.meta.name)
        models[f"{name} {official.meta.revision}"] = official.model
        apart[name] += official.dense and official.meta.experiment_name is not None
    notes = [
        f"{count} dense results of {name} are experiments: nothing tells that their settings are "
        "those that it is published with"
        for name, count in apart.items()
        if count
    ]
    for model in models.values():
        name, revision = str(model.meta.name), model.meta.revision
        if not model.registered:
            notes.append(
                f"mteb does not implement {name}, which the repository asks for; mteb's loaders "
                "read its results all the same"
            )
        elif revision != model.reference:
            notes.append(
                f"{name} is exported at revision {revision}, mteb implements {model.reference}"
            )
        if name == BM25:
            notes.append(f"bm25 is an experiment on {BM25}: other versions of bm25s rank otherwise")
    return notes
