"""`harness inspect`: one text's prompt, tokens and aligned tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from harness.config import InspectConfig, parse, parse_component
from harness.errors import BadInputError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from harness.alignment.head import Head
    from harness.config import ComponentConfig, InstructionConfig
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.instructions import Side


def inspect(settings: DictConfig) -> int:
    """Show one text under every template and instruction that is asked for.

    Returns:
        0.
    """
    config = parse(InspectConfig, settings, where="")
    templates = {name: _template(name) for name in config.templates}

    from harness.alignment.inspection import inspect_text
    from harness.config import build
    from harness.embedding.folder_settings import instruction_of
    from harness.embedding.model import EmbeddingModel
    from harness.evaluation.encoder import build_encoder, with_published_settings
    from harness.reporting.inspection import Variant, inspections_as_json, print_inspections

    model = EmbeddingModel(config.model)
    config = with_published_settings(config, model)
    encoder = build_encoder(config, model)
    head = build(config.head, encoder=encoder)
    head.identity()
    side = cast("Side", config.side)
    variants: list[Variant] = []
    for name, template in (templates or {"": config.instruction}).items():
        instructions: list[str | None] = [*config.instructions] or [None]
        for instruction in instructions:
            bound = _bound(encoder, instruction_of(template, model), instruction, config)
            if not variants:
                _fit(head, bound, config)
            found = inspect_text(bound, head, config.text, side=side, top_k=config.top_k)
            variants.append(Variant(name, instruction or "", found))
    if config.format == "json":
        inspections_as_json(variants, model=model.name)
    else:
        print_inspections(variants, model=model.name, pooling=config.pooling.kind)
    return 0


def _template(name: str) -> ComponentConfig:
    """An option of the instruction group, wherever Hydra finds it."""
    from hydra import compose
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    try:
        settings = compose("inspect", overrides=[f"instruction={name}"])
    except HydraException as error:
        known = GlobalHydra.instance().config_loader().get_group_options("instruction")
        raise BadInputError(
            f"templates: {name!r} is no option of instruction; choose of: {', '.join(known)}"
        ) from error
    template: ComponentConfig = parse_component(
        "instruction", settings.instruction, where=f"templates.{name}"
    )
    return template


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
                "instructions: the template holds no {instruction}; choose another, such as "
                "instruction=e5_mistral"
            )
        return changed.for_task(TaskInstruction(query=instruction, document=instruction))
    if not changed.template.wants_instruction:
        return changed
    return changed.for_task(task_instruction(_first_task(config), config.task_instructions))


def _fit(head: Head, encoder: TextEncoder, config: InspectConfig) -> None:
    """Fit a head that wants a corpus on the first task's documents."""
    from mteb.abstasks.retrieval import AbsTaskRetrieval

    from harness.evaluation.task_texts import TaskTexts
    from harness.progress import say

    if not head.needs_corpus:
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
    from pathlib import Path

    from harness.evaluation.tasks.resolve import resolve_tasks

    return resolve_tasks(config.tasks, cache_dir=Path(config.store_dir) / "tasks")[0]
