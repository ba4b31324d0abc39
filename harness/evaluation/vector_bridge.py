"""The bridge to mteb for tasks that compare, sort or group texts: a mode as an mteb encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from mteb.abstasks import AbsTaskBitextMining, AbsTaskMultilabelClassification
from mteb.abstasks.text.summarization import AbsTaskSummarization
from numpy.typing import NDArray
from scipy import sparse

from harness.retrieval.vectors import (
    SparseVectors,
    Vectors,
    dense_columns,
    paired_similarities,
    similarities,
    used_columns,
    vector_bytes,
    with_small_indices,
)

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask
    from mteb.models.model_meta import ModelMeta

    from harness.embedding.instructions import Side
    from harness.embedding.texts import Texts
    from harness.evaluation.task_texts import TaskTexts
    from harness.retrieval.retriever import Vectoriser


def wants_dense(task: AbsTask) -> bool:
    """Whether a task's evaluation stacks and splits single rows, which sparse rows cannot be."""
    return isinstance(task, AbsTaskMultilabelClassification | AbsTaskSummarization)


class ModeEncoder:
    """One mode as mteb's `EncoderProtocol`; sparse vectors stay sparse wherever mteb lets them.

    Attributes:
        vectoriser: The mode.
        bytes_of: Bytes of the vectors of each `Texts` that mteb asked for, by its `id`.
    """

    def __init__(
        self, vectoriser: Vectoriser, task: AbsTask, texts: TaskTexts, meta: ModelMeta
    ) -> None:
        self.vectoriser = vectoriser
        self.bytes_of: dict[int, int] = {}
        self._texts = texts
        self._meta = meta
        # Bitext mining compares texts of different subsets, so one fit holds for all of them.
        self._fits_all = isinstance(task, AbsTaskBitextMining)
        self._wants_dense = wants_dense(task)
        self._fitted: tuple[str | None] | None = None
        self._columns: NDArray[np.int64] | None = None

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """The model's metadata in results."""
        return self._meta

    def prepare(self, subset: str) -> None:
        """Let the mode learn from a subset's texts, unless that is what it learnt last."""
        learnt = None if self._fits_all else subset
        if not self.vectoriser.reads_head or self._fitted == (learnt,):
            return
        texts: Texts = self._texts.learnable(learnt)
        self.vectoriser.prepare(texts)
        if self._wants_dense:
            self._columns = used_columns(self.vectoriser.vectors(texts))
        self._fitted = (learnt,)

    def encode(
        self,
        inputs: Any,
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **_: Any,
    ) -> Vectors:
        """One vector a text, in order; see mteb's `EncoderProtocol`."""
        place = (hf_split, hf_subset)
        texts = [text for batch in inputs for text in batch["text"]]
        side: Side = "symmetric"
        if prompt_type is not None:
            side = "query" if prompt_type.value == "query" else "document"
        ids = [f"{hf_split} {number}" for number in range(1, len(texts) + 1)]
        asked = self._texts.get(place, side, ids, texts)
        self.prepare(hf_subset)
        vectors = self.vectoriser.vectors(asked)
        if sparse.issparse(vectors):
            vectors = with_small_indices(vectors)
        self.bytes_of[id(asked)] = vector_bytes(vectors)
        if not sparse.issparse(vectors):
            return vectors
        if self._columns is not None:
            return dense_columns(vectors, self._columns)
        return SparseVectors(vectors)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> NDArray[np.float32]:
        """The mode's similarity of every pair: float32 (n, m), () of two single vectors."""
        found = similarities(embeddings1, embeddings2, self.vectoriser.similarity)
        # mteb makes a float of it, as NumPy allows of arrays without dimensions alone.
        return found.reshape(()) if embeddings1.ndim == embeddings2.ndim == 1 else found

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> NDArray[np.float32]:
        """The mode's similarity of rows of equal number: float32 (n,)."""
        return paired_similarities(embeddings1, embeddings2, self.vectoriser.similarity)
