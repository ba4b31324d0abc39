"""The generative backbone of an embedder, as a model of its own."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.embedding.model import EmbeddingModel
from harness.evaluation.encoder import build_encoder
from harness.evaluation.heads import build_head

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


def backbone_encoder(config: AnalyzeConfig) -> TextEncoder:
    """The encoder of a backbone, not yet bound to a task.

    Raises:
        BadInputError: If there is no such model, or it does not have the head.
    """
    encoder = build_encoder(config, EmbeddingModel(config.model))
    build_head(config, encoder).identity()
    return encoder
