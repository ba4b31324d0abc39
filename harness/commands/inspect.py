"""`harness inspect`: what models read of a text, and what it aligns to, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harness.commands.given import given_settings
from harness.config import InspectConfig, parse, parse_component
from harness.errors import BadInputError

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from pandas import DataFrame

    from harness.alignment.head import Head
    from harness.alignment.inspection import Inspection
    from harness.config import ComponentConfig, InstructionConfig
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.instructions import Side
    from harness.reporting.inspection import Pair, Variant


@dataclass(frozen=True)
class _Lens:
    """One model, its head, and every template and instruction that is asked for.

    Attributes:
        label: The name by which the model was asked for; empty for the configured one.
        config: Resolved.
        head: Not yet fitted.
        bound: Template's name, instruction and the encoder with them, not empty.
    """

    label: str
    config: InspectConfig
    head: Head
    bound: list[tuple[str, str, TextEncoder]]


def inspect(settings: DictConfig) -> int:
    """Show one text, or two, under every model, template and instruction that is asked for.

    Returns:
        0.
    """
    if settings.models:
        _refuse_another_model()
    config = parse(InspectConfig, settings, where="")
    if config.figure is not None and Path(config.figure).is_dir():
        raise BadInputError(
            f"figure={config.figure} is a folder; name a file in it, "
            f"figure={Path(config.figure) / 'lens'}"
        )
    templates = {name: _template(name) for name in config.templates}
    models = dict(_named_models(config)) or {"": config}

    from harness.alignment.lenses import compare_tokens, same_ids
    from harness.reporting.inspection import inspections_as_json, lens_frame, print_inspections

    lenses = [_lens(label, model, templates) for label, model in models.items()]
    variants: list[Variant] = []
    lexicons = []
    while lenses:  # a model that is done is let go
        lens = lenses.pop(0)
        variants += _variants(lens)
        lexicons.append(lens.head.lexicon)
    compared = None
    if len(variants) > 1 and config.other is None:
        lists = [variant.found.aligned for variant in variants]
        compared = compare_tokens(lists, by_text=not same_ids(lists, lexicons))
    if config.format == "json":
        inspections_as_json(variants, compared)
    else:
        print_inspections(variants, compared)
    if config.figure is not None:
        _draw(lens_frame(variants, compared, text=config.text), Path(config.figure))
    return 0


def _draw(data: DataFrame, place: Path) -> None:
    from harness.progress import say
    from harness.reporting.figures import lens, save_figure

    name = place.stem if place.suffix in (".png", ".svg", ".csv") else place.name
    files = save_figure(lens(data), data, place.parent, name)
    say(f"drawn: {', '.join(map(str, files))}")


def _template(name: str) -> ComponentConfig:
    """An option of the instruction group, wherever Hydra finds it."""
    from hydra import compose
    from hydra.errors import HydraException

    try:
        settings = compose("inspect", overrides=[f"instruction={name}"])
    except HydraException as error:
        raise BadInputError(
            f"templates: {name!r} is no option of instruction; choose of: "
            f"{', '.join(_options('instruction'))}"
        ) from error
    template: ComponentConfig = parse_component(
        "instruction", settings.instruction, where=f"templates.{name}"
    )
    return template


def _named_models(config: InspectConfig) -> Iterator[tuple[str, InspectConfig]]:
    """Each of the models by a short name, or by the one given where short ones are not distinct."""
    short = [Path(name).name or name for name in config.models]
    labels = short if len(set(short)) == len(short) else config.models
    for label, name in zip(labels, config.models, strict=True):
        yield label, _with_model(config, name)


def _with_model(config: InspectConfig, name: str) -> InspectConfig:
    """The configuration with an option of the model group and what that brings along.

    What is no option is a reference as `model.path`. What else the command line sets still holds.
    """
    from hydra import compose
    from omegaconf import OmegaConf

    known = _options("model")
    reference = name not in known
    if reference and "/" not in name:
        raise BadInputError(
            f"models: {name!r} is no option of model; choose of: {', '.join(known)}; a folder has "
            f"a slash, ./{name}"
        )
    apart = ("models", "text", "other", "figure")
    kept = [line for setting, line in given_settings() if setting not in apart]
    settings = compose("inspect", overrides=[*kept, f"model={'local' if reference else name}"])
    settings.text = ""
    if reference:
        settings.model.path = name
    missing = sorted(OmegaConf.missing_keys(settings))
    if missing:
        raise BadInputError(
            f"models: {name} leaves {missing[0]} open; name the model itself, by its folder or as "
            "hub://organisation/model"
        )
    parsed = parse(InspectConfig, settings, where=f"models.{name}")
    parsed.text, parsed.other = config.text, config.other  # as they are, not as Hydra's grammar
    return parsed


def _refuse_another_model() -> None:
    for setting, _ in given_settings():
        if setting.partition(".")[0] == "model":
            raise BadInputError(
                f"models=[...] and {setting} both say which model; leave {setting} out and name "
                "every model in models, by its option or its folder"
            )


def _options(group: str) -> list[str]:
    from hydra.core.global_hydra import GlobalHydra

    return GlobalHydra.instance().config_loader().get_group_options(group)


def _lens(label: str, config: InspectConfig, templates: dict[str, ComponentConfig]) -> _Lens:
    """A model with its head and templates, checked before anything is computed."""
    from harness.embedding.folder_settings import instruction_of
    from harness.embedding.model import EmbeddingModel
    from harness.evaluation.encoder import build_encoder, with_published_settings
    from harness.evaluation.heads import build_head

    model = EmbeddingModel(config.model)
    config = with_published_settings(config, model)
    encoder = build_encoder(config, model)
    head = build_head(config, encoder)
    head.identity()
    instructions: list[str | None] = [*config.instructions] or [None]
    bound = [
        (
            name,
            instruction or "",
            _bound(encoder, instruction_of(template, model), instruction, config),
        )
        for name, template in (templates or {"": config.instruction}).items()
        for instruction in instructions
    ]
    return _Lens(label, config, head, bound)


def _bound(
    encoder: TextEncoder,
    template: InstructionConfig,
    instruction: str | None,
    config: InspectConfig,
) -> TextEncoder:
    """The encoder with a template, bound to an instruction or to that of the first task."""
    from harness.embedding.instructions import TaskInstruction
    from harness.evaluation.tasks.instruction import task_instruction

    changed = encoder.with_template(template)
    if instruction is not None:
        if not changed.template.wants_instruction:
            raise BadInputError(
                f"instructions: the template of {encoder.model.name} holds no {{instruction}}; "
                "choose another, such as instruction=e5_mistral"
            )
        return changed.for_task(TaskInstruction(query=instruction, document=instruction))
    if not changed.template.wants_instruction:
        return changed
    return changed.for_task(task_instruction(_first_task(config), config.task_instructions))


def _variants(lens: _Lens) -> list[Variant]:
    """The text under each template and instruction, beside the other one if there is one."""
    from harness.alignment.inspection import inspect_text
    from harness.reporting.inspection import Variant

    config = lens.config
    side = cast("Side", config.side)
    _fit(lens.head, lens.bound[0][2], config)
    variants = []
    for template, instruction, encoder in lens.bound:
        found = inspect_text(encoder, lens.head, config.text, side=side, top_k=config.top_k)
        variants.append(
            Variant(
                label=lens.label,
                model=encoder.model.name,
                pooling=config.pooling.kind,
                template=template,
                instruction=instruction,
                found=found,
                pair=_pair(encoder, lens.head, found, config),
            )
        )
    return variants


def _pair(
    encoder: TextEncoder, head: Head, found: Inspection, config: InspectConfig
) -> Pair | None:
    """The other text beside the first one."""
    from harness.alignment.inspection import inspect_text
    from harness.alignment.lenses import compare_tokens, cosine
    from harness.reporting.inspection import Pair

    if config.other is None:
        return None
    side = cast("Side", config.side)
    other = inspect_text(encoder, head, config.other, side=side, top_k=config.top_k)
    texts = encoder.fresh(["text", "other"], [config.text, config.other], side)
    return Pair(
        text=config.other,
        found=other,
        cosine=cosine(*texts.embeddings),
        compared=compare_tokens([found.aligned, other.aligned]),
    )


def _fit(head: Head, encoder: TextEncoder, config: InspectConfig) -> None:
    """Fit a head that wants a corpus on the first task's documents; any other one on the text."""
    from mteb.abstasks.retrieval import AbsTaskRetrieval

    from harness.evaluation.task_texts import TaskTexts
    from harness.progress import say

    if not head.needs_corpus:
        head.fit(encoder.fresh(["text"], [config.text], cast("Side", config.side)))
        return
    task = _first_task(config)
    if not isinstance(task, AbsTaskRetrieval):
        raise BadInputError(
            f"task {task.metadata.name} is of type {task.metadata.type} and has no documents to "
            "fit the head on; choose one of type Retrieval, or a head that is not fitted"
        )
    say(f"the head is fitted on the documents of {task.metadata.name}")
    task.load_data()
    subset, splits = next(iter(task.dataset.items()))
    split, data = next(iter(splits.items()))
    head.fit(TaskTexts(encoder).corpus((split, subset), data["corpus"]))


def _first_task(config: InspectConfig) -> Any:
    from harness.embedding.shared_store import local_store
    from harness.evaluation.tasks.resolve import resolve_tasks

    return resolve_tasks(config.tasks, cache_dir=local_store(config.store_dir) / "tasks")[0]
