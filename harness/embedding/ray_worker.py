"""What a worker of a Ray cluster does: blocks of prompts in, their embeddings into the store."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness.components import build
from harness.embedding.model import EmbeddingModel
from harness.embedding.ray_blocks import of_table
from harness.embedding.spreading import computed_lengths
from harness.embedding.transformers_backend import TransformersBackend
from harness.errors import BadInputError, brief

if TYPE_CHECKING:
    from harness.config import ModelConfig, PoolingConfig, TransformersBackendConfig
    from harness.embedding.prompts import Prompts
    from harness.embedding.store import EmbeddingStore

FAILURE = "failure"
"""Column of a table that stands for a block that failed: a line for the user."""
EXPECTED = "expected"
"""Beside it: whether the line says how to mend it."""


@dataclass(frozen=True)
class EncodingJob:
    """All that a worker needs besides texts; it goes to the workers by pickle, weights do not.

    Attributes:
        model: The model, by what every machine finds.
        weights_hash: What it must contain.
        pooling: The pooling.
        backend: Device, dtype, attention, batches, none of them `auto` where it can matter.
        include_instruction: Whether template tokens are pooled.
        open_store: Opens the store; embeddings are handed back where it is None.
    """

    model: ModelConfig
    weights_hash: str
    pooling: PoolingConfig
    backend: TransformersBackendConfig
    include_instruction: bool
    open_store: Callable[[], EmbeddingStore] | None


class BlockEncoder:
    """Encodes block after block with one copy of the model, loaded at the first."""

    def __init__(self, job: EncodingJob) -> None:
        self._job = job

    def __call__(self, table: pa.Table) -> pa.Table:
        """Encode a block.

        Args:
            table: See `ray_blocks.to_table`.

        Returns:
            Columns `row`, `computed`, `finite`, see `Filled`, and `vector` where nothing is stored;
            or one row of `FAILURE` and `EXPECTED`: an error that is raised here would be tried
            again, and come out as Ray's.
        """
        try:
            return self._encode(table)
        except BadInputError as error:
            return _failure(str(error), expected=True)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.filename}:{place.lineno}"
            return _failure(f"{type(error).__name__}: {brief(error)} ({where})", expected=False)

    def _encode(self, table: pa.Table) -> pa.Table:
        rows, prompts, keys = of_table(table)
        vectors, computed = encode_block(
            self._backend, prompts, include_instruction=self._job.include_instruction
        )
        finite = np.isfinite(vectors).all(axis=1)
        columns = {"row": rows, "computed": computed, "finite": finite}
        if self._store is None or keys is None:
            flat = pa.array(vectors.ravel(), pa.float32())
            columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
        elif finite.all():
            self._store.add(keys, vectors, prompts.ids.lengths)
        return pa.table(columns)

    @cached_property
    def _backend(self) -> TransformersBackend:
        model = EmbeddingModel(self._job.model)
        if model.weights_hash != self._job.weights_hash:
            raise BadInputError(
                f"a machine of the cluster has another model in {model.folder} than the one that "
                "started the run; copy the same folder to all of them"
            )
        pooling = build(self._job.pooling)
        return TransformersBackend(self._job.backend, model=model, pooling=pooling)

    @cached_property
    def _store(self) -> EmbeddingStore | None:
        return None if self._job.open_store is None else self._job.open_store()


def encode_block(
    backend: TransformersBackend, prompts: Prompts, *, include_instruction: bool
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Embeddings (n, d) of at least one prompt, and tokens computed for each: int64 (n,)."""
    lengths = prompts.ids.lengths
    computed = np.zeros_like(lengths)
    found: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
    for batch, vectors, tokens in backend.embed(prompts, include_instruction=include_instruction):
        found.append((batch, vectors))
        computed[batch] = computed_lengths(lengths[batch], tokens)
    result = np.empty((len(lengths), found[0][1].shape[1]), np.float32)
    for batch, vectors in found:
        result[batch] = vectors
    return result, computed


def _failure(message: str, *, expected: bool) -> pa.Table:
    return pa.table({FAILURE: [message], EXPECTED: [expected]})
