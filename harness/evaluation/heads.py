"""The head of a configuration with what it draws on: its transform and other corpora."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config import (
    EncoderRunConfig,
    FirstComponentConfig,
    InstructionConfig,
    RidgeHeadConfig,
    build,
    innermost_head,
)
from harness.embedding.model import EmbeddingModel
from harness.evaluation.encoder import build_encoder
from harness.evaluation.tasks.folder import read_documents

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.alignment.head import Head
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.texts import Texts


def build_head(config: EncoderRunConfig, encoder: TextEncoder) -> Head:
    """The head of a resolved configuration, not yet fitted."""
    more: dict[str, Any] = {}
    transform_parts: dict[str, Any] = {}
    if isinstance(config.transform, FirstComponentConfig) and config.transform.reference:
        reference = _Reference(config, config.transform.reference)
        transform_parts = {
            "reference_vectors": reference,
            # The template that it shares may want a task's instruction, and is in what is encoded.
            "reference_space": reference.encoder.with_template(InstructionConfig()).space(
                "document"
            ),
        }
    innermost = innermost_head(config.head)
    if isinstance(innermost, RidgeHeadConfig) and innermost.corpus is not None:
        more["other_corpus"] = _OtherCorpus(innermost.corpus)
    transform = build(config.transform, **transform_parts)
    head: Head = build(config.head, encoder=encoder, transform=transform, **more)
    return head


class _OtherCorpus:
    """The documents of a folder, read once."""

    def __init__(self, folder: str) -> None:
        documents = read_documents(Path(folder).expanduser())
        self._ids = [name for name, _ in documents]
        self._texts = [text for _, text in documents]

    def __call__(self, encoder: TextEncoder) -> Texts:
        return encoder.texts(self._ids, self._texts, "document")


class _Reference:
    """Texts under another embedder that shares the configuration's pooling and template."""

    def __init__(self, config: EncoderRunConfig, path: str) -> None:
        model = EmbeddingModel(
            replace(config.model, name=None, path=path, revision=None, adapters=[], backbone=None)
        )
        self.encoder = build_encoder(config, model)

    def __call__(self, texts: Texts) -> NDArray[np.float32]:
        encoder = self.encoder.with_template_of(texts.encoder)
        return encoder.texts(texts.ids, texts.texts, texts.side).pooled
