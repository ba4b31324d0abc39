"""What a retrieval mode is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.alignment.head import Head
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.texts import Texts
    from harness.retrieval.ranking import Ranking


@dataclass(frozen=True)
class SearchWork:
    """What searching cost, in counts that do not depend on the machine.

    Attributes:
        encodes_documents: Whether a model runs for the corpus.
        encodes_queries: Whether a model runs for a query.
        head_reads_queries: Whether the head reads a query's embedding.
        head_reads_documents: Whether the head reads each document's embedding at indexing.
        scoring_flops: FLOPs of scoring and fusing, mean over the queries; None where the mode's
            library does not tell.
        index_bytes: Bytes of the index in memory.
        splade_flops: Σ_v p_q(v)·p_d(v), for sparse modes.
    """

    encodes_documents: bool
    encodes_queries: bool
    head_reads_queries: bool
    head_reads_documents: bool
    scoring_flops: float | None
    index_bytes: int
    splade_flops: float | None = None


class Retriever(Protocol):
    """Indexes a corpus and ranks it for queries; exact, with ties by document id.

    `tokenise` and `encode` do for queries what `search` would otherwise do on demand, so that the
    three can be timed apart.
    """

    def index(self, corpus: Texts) -> None:
        """Index a corpus that is ordered by document id."""
        ...

    def tokenise(self, queries: Texts) -> None:
        """Tokenise queries as far as this mode needs it."""
        ...

    def encode(self, queries: Texts) -> None:
        """Run the model for queries, if this mode needs it."""
        ...

    def search(self, queries: Texts, top_k: int) -> Ranking:
        """The best `top_k` documents of each query."""
        ...

    def work(self, queries: Texts) -> SearchWork:
        """What searching these queries costs."""
        ...


@dataclass(frozen=True)
class Dependencies:
    """What a retriever may draw on.

    Attributes:
        name: The mode's name in this run.
        encoder: Makes embeddings and tokens.
        head: The run's head; fitted by the mode that reads it.
        retrievers: The run's other modes by name, for fusion; they may not be indexed yet.
    """

    name: str
    encoder: TextEncoder
    head: Head
    retrievers: Mapping[str, Any]
