"""Approximate dense retrieval in the lists of near centroids (Sivic and Zisserman, 2003)."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.retrieval.faiss_index import FaissRetriever
from harness.retrieval.retriever import Dependencies

if TYPE_CHECKING:
    from harness.config import FaissIvfConfig


class FaissIvfRetriever(FaissRetriever):
    """FAISS' `IndexIVFFlat`: a query is compared with all documents of the nearest lists."""

    def __init__(self, config: FaissIvfConfig, *, dependencies: Dependencies) -> None:
        super().__init__(config, dependencies=dependencies)
        self.config = config

    def _build(self, documents: NDArray[np.float32]) -> Any:
        faiss = self._faiss
        count, width = documents.shape
        lists = min(self.config.nlist or isqrt(count), count)
        centroids = faiss.IndexFlatIP(width)
        index = faiss.IndexIVFFlat(centroids, width, lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.seed = self.config.seed
        index.cp.min_points_per_centroid = 1  # no warning about a small corpus
        index.set_direct_map_type(faiss.DirectMap.Array)
        index.train(documents)
        index.add(documents)
        return index

    def _parameters(self, k: int) -> Any:
        return self._faiss.SearchParametersIVF(nprobe=min(self.config.nprobe, self._index.nlist))

    def _counters(self) -> Any:
        return self._faiss.cvar.indexIVF_stats

    def _uncounted(self, queries: int) -> int:
        """Those to all centroids."""
        return queries * int(self._index.nlist)

    def _nbytes(self) -> int:
        vectors = 4 * self._index.d * (self._index.ntotal + self._index.nlist)
        numbers = 2 * 8 * self._index.ntotal  # of documents in lists, and of their places
        return int(vectors + numbers)
