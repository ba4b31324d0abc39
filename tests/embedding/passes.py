"""Passes of a backend over token ids: what several test files need to make and compare them."""

import numpy as np

from harness.config import ModelConfig, TransformersBackendConfig, build
from harness.config import parse_component as parse
from harness.embedding.model import EmbeddingModel
from harness.embedding.prompts import Prompts
from harness.embedding.ragged import Ragged
from harness.embedding.transformers_backend import TransformersBackend


def backend(folder, pooling="mean", cls=TransformersBackend, *, model=None, memory=None, **options):
    """A backend on a model's folder.

    Args:
        folder: The model's.
        pooling: A pooling's name, or a pooling.
        cls: The backend's class.
        model: Options of the model.
        memory: Where token budgets are remembered.
        options: Of the backend.
    """
    if isinstance(pooling, str):
        pooling = build(parse("pooling", {"kind": pooling}, where="pooling"))
    return cls(
        TransformersBackendConfig(**options),
        model=EmbeddingModel(ModelConfig(path=str(folder), **(model or {}))),
        pooling=pooling,
        memory=memory,
    )


def prompts_of(rows, starts=None, stops=None):
    """Prompts from their token ids, and from where to where the text is in each."""
    ids = Ragged.from_rows(rows)
    return Prompts(
        ids,
        np.zeros(len(rows), np.int64) if starts is None else np.array(starts),
        ids.lengths if stops is None else np.array(stops),
    )


def embedded(backend, prompts, *, include_instruction=True):
    """All embeddings in the prompts' order; every row must come once."""
    result, seen = {}, []
    for rows, vectors, _ in backend.embed(prompts, include_instruction=include_instruction):
        assert vectors.dtype == np.float32
        seen += rows.tolist()
        result.update(zip(rows.tolist(), vectors, strict=True))
    assert sorted(seen) == list(range(len(prompts.ids)))
    return np.array([result[row] for row in range(len(seen))])


def computed_tokens(backend, prompts):
    """Tokens that a pass computes, padding included."""
    return sum(tokens for _, _, tokens in backend.embed(prompts, include_instruction=True))


def close(found, expected):
    """Equal within 1e-5; unnormalised numbers above 1 within 1e-5 of their size."""
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
