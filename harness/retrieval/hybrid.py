"""Hybrid retrieval: the fusion of other modes' rankings; nothing is encoded again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.retrieval.fusion import fuse
from harness.retrieval.ranking import Ranking
from harness.retrieval.retriever import Dependencies, Retriever, SearchWork

if TYPE_CHECKING:
    from harness.config import HybridConfig
    from harness.embedding.ragged import Ragged
    from harness.embedding.texts import Texts

_FUSION_FLOPS = 3  # a fused score: one subtraction, one scaling, one addition


class HybridRetriever:
    """Two or more modes of the same run, fused."""

    def __init__(self, config: HybridConfig, *, dependencies: Dependencies) -> None:
        self.config = config
        self._retrievers = dependencies.retrievers
        self._size = 0

    def index(self, corpus: Texts) -> None:
        """See `Retriever`: the parts index the corpus."""
        self._size = len(corpus)
        for part in self._parts():
            part.index(corpus)

    def tokenise(self, queries: Texts) -> None:
        """See `Retriever`."""
        for part in self._parts():
            part.tokenise(queries)

    def encode(self, queries: Texts) -> None:
        """See `Retriever`."""
        for part in self._parts():
            part.encode(queries)

    def search(self, queries: Texts, top_k: int) -> Ranking:
        """See `Retriever`."""
        depth = self.config.depth
        return self._fused([part.search(queries, depth) for part in self._parts()], top_k)

    def rerank(self, queries: Texts, candidates: Ragged, top_k: int) -> Ranking:
        """See `Retriever`."""
        depth = self.config.depth
        rankings = [part.rerank(queries, candidates, depth) for part in self._parts()]
        return self._fused(rankings, top_k, descending_ties=True)

    def work(self, queries: Texts, candidates: Ragged | None = None) -> SearchWork:
        """See `Retriever`: the parts' work and the fusion's."""
        parts = [part.work(queries, candidates) for part in self._parts()]
        scoring = [part.scoring_flops for part in parts]
        known = [flops for flops in scoring if flops is not None]
        ranked = self._size if candidates is None else candidates.lengths.mean()
        fusion = float(_FUSION_FLOPS * min(self.config.depth, ranked) * len(parts))
        return SearchWork(
            encodes_documents=any(part.encodes_documents for part in parts),
            encodes_queries=any(part.encodes_queries for part in parts),
            head_reads_queries=any(part.head_reads_queries for part in parts),
            head_reads_documents=any(part.head_reads_documents for part in parts),
            scoring_flops=float(np.sum(known)) + fusion if len(known) == len(parts) else None,
            index_bytes=sum(part.index_bytes for part in parts),
        )

    def _fused(
        self, rankings: list[Ranking], top_k: int, *, descending_ties: bool = False
    ) -> Ranking:
        return fuse(
            rankings,
            fusion=self.config.fusion,
            weights=self.config.weights or [1.0] * len(self.config.modes),
            top_k=top_k,
            rrf_k=self.config.rrf_k,
            descending_ties=descending_ties,
        )

    def _parts(self) -> list[Retriever]:
        return [self._retrievers[name] for name in self.config.modes]
