"""Approximate search over embeddings with FAISS: what it finds is ordered by exact scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from harness.cost.flops import dense_scoring_flops
from harness.embedding.ragged import Ragged
from harness.errors import BadInputError
from harness.retrieval.approximate import RECALL_DEPTH, recall, rescored
from harness.retrieval.candidates import dense_scores, rank_candidates
from harness.retrieval.dense import DenseRetriever
from harness.retrieval.ranking import Ranking
from harness.retrieval.retriever import Dependencies, SearchWork

if TYPE_CHECKING:
    from harness.config import DenseConfig
    from harness.embedding.texts import Texts


class FaissRetriever(ABC):
    """Cosine or dot product of embeddings, of the documents that an index of FAISS proposes."""

    _builders: int | None = None
    """Threads that build an index; as many as PyTorch has when None."""

    def __init__(self, config: DenseConfig, *, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._faiss = _import_faiss(f"retrieval.{dependencies.name}")
        self._dense = DenseRetriever(config, dependencies=dependencies)
        self._depth = RECALL_DEPTH

    @abstractmethod
    def _build(self, documents: NDArray[np.float32]) -> Any:
        """An index of one or more documents (n, d), which it holds."""

    @abstractmethod
    def _parameters(self, k: int) -> Any:
        """FAISS' parameters of a search for k documents."""

    @abstractmethod
    def _counters(self) -> Any:
        """What FAISS counts in searches of such an index: `ndis` distances, until `reset`."""

    @abstractmethod
    def _nbytes(self) -> int:
        """Bytes of the index, its vectors included."""

    def index(self, corpus: Texts) -> None:
        """See `Retriever`."""
        self._corpus = corpus
        documents = self._compared(corpus)
        self._width = documents.shape[1]
        with self._threads(self._builders):
            self._index: Any = self._build(documents) if len(documents) else None

    def tokenise(self, queries: Texts) -> None:
        """See `Retriever`."""
        self._dense.tokenise(queries)

    def encode(self, queries: Texts) -> None:
        """See `Retriever`."""
        self._dense.encode(queries)

    def search(self, queries: Texts, top_k: int) -> Ranking:
        """See `Retriever`; documents may be missing, but never in a wrong place."""
        self._depth = top_k
        k = min(top_k, len(self._corpus))
        if not k or not len(queries):
            return Ranking.empty(len(queries), k)
        vectors = self._compared(queries)
        with self._threads():
            _, rows = self._index.search(vectors, k, params=self._parameters(k))
        return rescored(rows, lambda candidates: self._scores(vectors, candidates))

    def rerank(self, queries: Texts, candidates: Ragged, top_k: int) -> Ranking:
        """See `Retriever`: all candidates, exactly."""
        scores = self._scores(self._compared(queries), candidates)
        return rank_candidates(candidates, scores, top_k)

    def work(self, queries: Texts, candidates: Ragged | None = None) -> SearchWork:
        """See `Retriever`: 2·d a distance computed, in a search as deep as the last one was."""
        distances, found = 0.0, None
        if candidates is not None:
            distances = float(candidates.lengths.mean())
        elif self._index is not None and len(queries):
            counters = self._counters()
            counters.reset()
            ranking = self.search(queries, self._depth)
            computed = counters.ndis + self._uncounted(len(queries))
            # ... and those that found documents are ordered by.
            distances = float(computed + (ranking.documents >= 0).sum()) / len(queries)
            found = recall(ranking, self._exact(queries))
        return SearchWork(
            encodes_documents=True,
            encodes_queries=True,
            head_reads_queries=False,
            head_reads_documents=False,
            scoring_flops=dense_scoring_flops(self._width, 1) * distances,
            index_bytes=0 if self._index is None else self._nbytes(),
            recall=found,
        )

    def _uncounted(self, queries: int) -> int:
        """Distances that searches took beside those that are counted."""
        return 0

    def _exact(self, queries: Texts) -> Ranking:
        """What dense search finds; its copy of the documents is not kept."""
        dense = DenseRetriever(self._dense.config, dependencies=self._dependencies)
        dense.index(self._corpus)
        return dense.search(queries, min(RECALL_DEPTH, self._depth))

    def _scores(self, vectors: NDArray[np.float32], candidates: Ragged) -> NDArray[np.float32]:
        return dense_scores(vectors, cast(Any, _Rows(self._index)), candidates)

    def _compared(self, texts: Texts) -> NDArray[np.float32]:
        vectors = np.ascontiguousarray(self._dense.compared(texts))
        if np.isnan(vectors.max(initial=-np.inf)):  # FAISS would find nothing, or anything
            raise BadInputError(
                f"retrieval.{self._dependencies.name}: an embedding is NaN; use "
                "backend.dtype=float32 or check the weights"
            )
        return vectors

    @contextmanager
    def _threads(self, count: int | None = None) -> Iterator[None]:
        """FAISS with so many threads, or with as many as PyTorch: the two may share theirs."""
        before = self._faiss.omp_get_max_threads()
        self._faiss.omp_set_num_threads(count or torch.get_num_threads())
        try:
            yield
        finally:
            self._faiss.omp_set_num_threads(before)


class _Rows:
    """An index as an array of the vectors that it holds."""

    def __init__(self, index: Any) -> None:
        self._index = index

    def __getitem__(self, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._index.reconstruct_batch(rows.astype(np.int64))
        return vectors


def _import_faiss(where: str) -> Any:
    try:
        import faiss
    except ImportError as error:
        raise BadInputError(f"{where}: FAISS is not installed; pip install faiss-cpu") from error
    return faiss
