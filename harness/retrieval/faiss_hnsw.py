"""Approximate dense retrieval in a graph of near neighbours (Malkov and Yashunin, 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.retrieval.faiss_index import FaissRetriever
from harness.retrieval.retriever import Dependencies

if TYPE_CHECKING:
    from harness.config import FaissHnswConfig


class FaissHnswRetriever(FaissRetriever):
    """FAISS' `IndexHNSWFlat`: each step of a search goes to the neighbours nearest to the query."""

    _builders = 1  # with more, the graph differs from run to run

    def __init__(self, config: FaissHnswConfig, *, dependencies: Dependencies) -> None:
        super().__init__(config, dependencies=dependencies)
        self.config = config

    def _build(self, documents: NDArray[np.float32]) -> Any:
        faiss = self._faiss
        index = faiss.IndexHNSWFlat(documents.shape[1], self.config.m, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = self.config.ef_construction
        index.hnsw.rng = faiss.RandomGenerator(self.config.seed)
        index.add(documents)
        return index

    def _parameters(self, k: int) -> Any:
        return self._faiss.SearchParametersHNSW(efSearch=max(self.config.ef_search, k))

    def _counters(self) -> Any:
        return self._faiss.cvar.hnsw_stats

    def _nbytes(self) -> int:
        graph = self._index.hnsw
        links = 4 * graph.neighbors.size() + 8 * graph.offsets.size() + 4 * graph.levels.size()
        return int(4 * self._index.ntotal * self._index.d + links)
