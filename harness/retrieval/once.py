"""A retriever that indexes a corpus once and searches the same queries once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.retrieval.ranking import Ranking
from harness.retrieval.retriever import Explains

if TYPE_CHECKING:
    from harness.embedding.ragged import Ragged
    from harness.embedding.texts import Texts
    from harness.retrieval.retriever import Retriever, SearchWork


class OnceRetriever:
    """Shares a mode's index and rankings between its own evaluation and every fusion of it.

    Rankings are kept with the queries they belong to, so fresh queries are searched anew.
    """

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever
        self._corpus: Texts | None = None

    def index(self, corpus: Texts) -> None:
        """See `Retriever`; the same `Texts` object is indexed once."""
        if self._corpus is not corpus:
            self._retriever.index(corpus)
            self._corpus = corpus

    def tokenise(self, queries: Texts) -> None:
        """See `Retriever`."""
        self._retriever.tokenise(queries)

    def encode(self, queries: Texts) -> None:
        """See `Retriever`."""
        self._retriever.encode(queries)

    def search(self, queries: Texts, top_k: int) -> Ranking:
        """See `Retriever`; the same `Texts` object is searched once a depth."""
        key = ("ranking", self, self._corpus, top_k)
        return queries.derived(key, lambda: self._retriever.search(queries, top_k))

    def rerank(self, queries: Texts, candidates: Ragged, top_k: int) -> Ranking:
        """See `Retriever`."""
        return self._retriever.rerank(queries, candidates, top_k)

    def work(self, queries: Texts, candidates: Ragged | None = None) -> SearchWork:
        """See `Retriever`."""
        return self._retriever.work(queries, candidates)

    @property
    def explains(self) -> Explains | None:
        """The retriever itself if it can explain its scores, else None."""
        return self._retriever if isinstance(self._retriever, Explains) else None
