"""From a configuration to an encoder: what `auto` stands for, and the parts put together."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from harness.alignment.resolve import head_of
from harness.config import DenseConfig, EncoderRunConfig, RunConfig, build
from harness.embedding.encoder import TextEncoder
from harness.embedding.folder_settings import instruction_of, pooling_of
from harness.embedding.instructions import Template
from harness.embedding.remote import is_address
from harness.embedding.shared_store import local_store

if TYPE_CHECKING:
    from harness.embedding.model import EmbeddingModel

R = TypeVar("R", bound=EncoderRunConfig)


def with_published_settings(config: R, model: EmbeddingModel) -> R:
    """The configuration with `auto` replaced by what the model's folder says.

    Raises:
        BadInputError: If the folder is malformed or asks for what is not supported.
    """
    resolved = copy.copy(config)
    resolved.pooling = pooling_of(config.pooling, model)
    resolved.instruction = instruction_of(config.instruction, model)
    resolved.head = head_of(config.head, model, resolved.pooling)
    if isinstance(resolved, RunConfig):
        resolved.retrieval = {
            name: replace(mode, similarity=model.similarity)
            if isinstance(mode, DenseConfig) and mode.similarity == "auto"
            else mode
            for name, mode in resolved.retrieval.items()
        }
    return resolved


def build_encoder(config: EncoderRunConfig, model: EmbeddingModel) -> TextEncoder:
    """The encoder of a resolved configuration, not yet bound to a task."""
    pooling = build(config.pooling)
    return TextEncoder(
        model=model,
        pooling=config.pooling,
        template=Template(config.instruction, copies=config.pooling.copies),
        backend=build(
            config.backend,
            model=model,
            pooling=pooling,
            memory=local_store(config.store_dir) / "budgets",
        ),
        store_dir=local_store(config.store_dir),
        store_address=config.store_dir if is_address(config.store_dir) else None,
        store_dtype=config.store_dtype,
    )
