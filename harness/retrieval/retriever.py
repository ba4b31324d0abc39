"""What a retrieval mode is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from scipy import sparse

    from harness.alignment.head import Head
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.ragged import Ragged
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
        stored: Whether the index is the documents' embeddings as the store has them on disk.
        splade_flops: Σ_v p_q(v)·p_d(v), for sparse modes.
        recall: Share of the 100 best documents of the exact ranking (of all, where there are fewer)
            that an approximate mode finds, mean over the queries; None for exact modes.
    """

    encodes_documents: bool
    encodes_queries: bool
    head_reads_queries: bool
    head_reads_documents: bool
    scoring_flops: float | None
    index_bytes: int
    stored: bool = False
    splade_flops: float | None = None
    recall: float | None = None


class Retriever(Protocol):
    """Indexes a corpus and ranks it for queries, ties by document id; exact, or with its recall.

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

    def rerank(self, queries: Texts, candidates: Ragged, top_k: int) -> Ranking:
        """The best `top_k` of each query's candidates, which are document rows."""
        ...

    def work(self, queries: Texts, candidates: Ragged | None = None) -> SearchWork:
        """What searching these queries costs, or ranking their candidates alone."""
        ...


class Vectoriser(Protocol):
    """A mode that gives each text one vector, for tasks that compare, sort or group texts.

    A symmetric task has neither queries nor documents: all its texts are treated alike.
    """

    similarity: str
    """`cosine` or `dot`: how the mode itself compares two vectors."""
    reads_head: bool
    """Whether vectors are read from the head."""

    def prepare(self, texts: Texts) -> None:
        """Learn what there is to learn from all texts of a task, once, before `vectors`."""
        ...

    def vectors(self, texts: Texts) -> NDArray[np.float32] | sparse.csr_array:
        """One row a text: float32 (n, d), or CSR float32 (n, V)."""
        ...


@dataclass(frozen=True)
class TermMatches:
    """Why documents have the scores that they have: a score is a sum over terms.

    Attributes:
        queries: Weights of the queries' terms, CSR float32 (queries, V).
        documents: Weights of the documents' terms, CSR float32 (documents, V).
        scores: Σ_t query weight × document weight, as a search gives it: float32 (documents,).
        name: A term, which is a column, as a person reads it.
    """

    queries: sparse.csr_array
    documents: sparse.csr_array
    scores: NDArray[np.float32]
    name: Callable[[int], str]


@runtime_checkable
class Explains(Protocol):
    """A mode whose scores are sums over terms, and that can name them."""

    def explain(self, queries: Texts, documents: Ragged) -> TermMatches:
        """The terms of queries, and of some documents of the indexed corpus.

        Args:
            queries: The queries.
            documents: Document rows of each query; their order is that of the result's.
        """
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
