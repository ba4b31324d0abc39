"""The generative backbone of an embedder, as a model of its own."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.embedding.model import EmbeddingModel
from harness.evaluation.encoder import build_encoder

if TYPE_CHECKING:
    from harness.config import AnalyzeConfig
    from harness.embedding.encoder import TextEncoder


def backbone_of(config: AnalyzeConfig, model: EmbeddingModel) -> AnalyzeConfig | None:
    """The same analysis of the backbone: its weights, with the embedder's pooling and template.

    Args:
        config: With resolved settings.
        model: Its model.

    Returns:
        With `spectrum.backbone` for the model, else `model.backbone`, else the model without its
        adapters; None where there is none of these.
    """
    reference = config.spectrum.backbone or config.model.backbone
    if reference is None and not model.adapters:
        return None
    changed = copy.copy(config)
    changed.model = replace(
        config.model,
        name=None if reference else model.name,
        path=reference or str(model.folder),
        revision=None,
        adapters=[],
        backbone=None,
        merge_last_adapter=False,
        attention=config.spectrum.attention,
    )
    return changed


def backbone_encoder(config: AnalyzeConfig, embedder: TextEncoder) -> TextEncoder:
    """The encoder of a backbone with the embedder's bound template."""
    return build_encoder(config, EmbeddingModel(config.model)).with_template_of(embedder)
