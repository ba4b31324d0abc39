"""Which configuration of a model a result is of: its own, as it is published, or an experiment."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config import (
    AutoInstructionConfig,
    AutoPoolingConfig,
    ModelConfig,
    parse_component,
)
from harness.embedding.folder_settings import instruction_of, pooling_of
from harness.embedding.model import EmbeddingModel
from harness.errors import BadInputError
from harness.evaluation.experiment import settings_hash
from harness.evaluation.tasks.instruction import task_instruction

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask
    from omegaconf import DictConfig

    from harness.evaluation.results import StoredResult
    from harness.reporting.mteb_models import OfficialModel

# Where the weights lie, and what they are called, is told by the revision; heads read a backbone.
_ELSEWHERE = ("name", "path", "revision", "backbone")
_PARTS = ("model", "pooling", "instruction", "task_instructions")
_OF_THE_TASK = ("data", "places", "of")


@dataclass(frozen=True)
class OwnSettings:
    """How a model is meant to be run.

    Attributes:
        model: Its configuration, `ModelConfig` as a mapping.
        pooling: Its pooling's.
        instruction: Its templates'.
        task_instructions: Task name to instruction, see `EncoderRunConfig`.
        similarity: `cosine`, `dot`, or None where nothing says.
    """

    model: Mapping[str, Any]
    pooling: Mapping[str, Any]
    instruction: Mapping[str, Any]
    task_instructions: Mapping[str, Any]
    similarity: str | None = None


def settings_of(configuration: DictConfig) -> OwnSettings:
    """The settings of a composed `harness run` that leaves nothing to the model's folder."""
    model = parse_component("model", configuration["model"], where="model")
    pooling, instruction = (
        parse_component(group, configuration[group], where=group)
        for group in ("pooling", "instruction")
    )
    return OwnSettings(
        dataclasses.asdict(model),
        dataclasses.asdict(pooling),
        dataclasses.asdict(instruction),
        dict(configuration["task_instructions"]),
        model.similarity,
    )


def settings_in(folder: Path) -> OwnSettings:
    """The settings that a model's sentence-transformers files say.

    Raises:
        BadInputError: If they are malformed or ask for what is not supported.
    """
    config = ModelConfig(path=str(folder))
    model = EmbeddingModel(config)
    return OwnSettings(
        dataclasses.asdict(config),
        dataclasses.asdict(pooling_of(AutoPoolingConfig(), model)),
        dataclasses.asdict(instruction_of(AutoInstructionConfig(), model)),
        {},
        model.similarity,
    )


def is_published(
    stored: StoredResult,
    config: Mapping[str, Any],
    task: AbsTask,
    model: OfficialModel,
    shipped: Callable[[str], Sequence[OwnSettings]],
) -> bool:
    """Whether a result is of dense retrieval with the settings that its model is published with.

    They are those of a configuration that comes with the harness, or of the model's own files
    where the hub cache has them. Weights are float32 or what the device is given by default.

    Args:
        stored: The result.
        config: The configuration of its run.
        task: Its task.
        model: Its model.
        shipped: From a model's name to the settings of its configurations in the harness.
    """
    settings = stored.experiment["settings"]
    mode = settings["mode"]
    if mode.get("kind") != "dense":
        return False
    dtype = settings["encoder"]["query"]["dtype"]
    if dtype != "float32" and config["backend"]["dtype"] != "auto":
        return False
    return any(
        _same(own, config, task) and mode.get("similarity") == _similarity(own, model)
        for own in _own(model, shipped(stored.experiment["model"]))
    )


def experiment_name(stored: StoredResult, config: Mapping[str, Any]) -> str:
    """A name for all results of one configuration, whatever their tasks: readable, and a hash.

    The hash covers all that can change a score besides the task: of its instruction the template
    and the list that it is taken from.
    """
    settings = {
        name: value
        for name, value in stored.experiment["settings"].items()
        if name not in _OF_THE_TASK
    }
    if "encoder" in settings:
        settings["encoder"] = {
            side: {name: value for name, value in space.items() if name != "instruction"}
            for side, space in settings["encoder"].items()
        }
        settings["instruction"] = config["instruction"]
        if _wants_instruction(config["instruction"]):
            settings["task_instructions"] = config["task_instructions"]
    readable = stored.path.parent.name.rpartition("-")[0]
    return f"{readable}-{settings_hash(settings)}"


def _own(model: OfficialModel, shipped: Sequence[OwnSettings]) -> Iterator[OwnSettings]:
    """The settings that are known to be a model's own.

    Its files may lack prompts that its authors ask for: they are believed where they say what a
    configuration of the harness says, or, without one, where mteb knows of no instructions.
    """
    yield from shipped
    if model.files is None or not (model.files / "modules.json").is_file():
        return
    try:
        found = settings_in(model.files)
    except (BadInputError, OSError):
        return
    prompted = any(side != "{text}" for side in _sides(found.instruction))
    if any(_prompts(one) == _prompts(found) for one in shipped) or (
        not shipped and (prompted or not model.meta.use_instructions)
    ):
        yield found


def _same(own: OwnSettings, config: Mapping[str, Any], task: AbsTask) -> bool:
    """Whether a run's configuration gives a task the embeddings that the model's own would."""
    ours = OwnSettings(**{name: config[name] for name in _PARTS})
    names = own.model.keys() - {*_ELSEWHERE, "similarity"}
    if _prompts(own) != _prompts(ours) or any(
        own.model[name] != ours.model.get(name) for name in names
    ):
        return False
    return not _wants_instruction(own.instruction) or all(
        task_instruction(part, own.task_instructions)
        == task_instruction(part, ours.task_instructions)
        for part in (task, *getattr(task, "tasks", ()))
    )


def _prompts(settings: OwnSettings) -> tuple[Any, ...]:
    """What is put around a text, and what of it is pooled."""
    templates = {**settings.instruction, "symmetric": _sides(settings.instruction)[2]}
    return templates, dict(settings.pooling)


def _similarity(own: OwnSettings, model: OfficialModel) -> str:
    named = model.meta.similarity_fn_name
    return own.similarity or (str(named.value) if named else "cosine")


def _wants_instruction(templates: Mapping[str, Any]) -> bool:
    return any("{instruction}" in side for side in _sides(templates))


def _sides(templates: Mapping[str, Any]) -> tuple[str, str, str]:
    """The templates of a query, a document and a side of a symmetric task."""
    query, document = templates["query"], templates["document"]
    return query, document, templates.get("symmetric") or query
