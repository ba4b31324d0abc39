"""Dense retrieval: exact search over embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.alignment.equal_rows import EqualRows
from harness.alignment.head import normalise
from harness.cost.flops import dense_scoring_flops
from harness.embedding.mapped_rows import write_rows
from harness.embedding.streamed_texts import StreamedTexts
from harness.retrieval.candidates import dense_scores, rank_candidates
from harness.retrieval.dense_search import dense_search
from harness.retrieval.retriever import Dependencies, SearchWork
from harness.retrieval.spread_search import SpreadDense

if TYPE_CHECKING:
    from harness.config import DenseConfig
    from harness.embedding.mapped_rows import RowSource
    from harness.embedding.ragged import Ragged
    from harness.embedding.texts import Texts
    from harness.retrieval.ranking import Ranking


class DenseRetriever:
    """Cosine or dot product of embeddings."""

    reads_head = False

    def __init__(self, config: DenseConfig, *, dependencies: Dependencies) -> None:
        self.config = config
        self._encoder = dependencies.encoder
        model = self._encoder.model
        self.similarity = model.similarity if config.similarity == "auto" else config.similarity
        self._model_normalises = model.normalize
        self._normalised = self.similarity == "cosine" or model.normalize
        self._documents: RowSource = np.zeros((0, 0), np.float32)
        self._equal = EqualRows.of(self._documents)
        self._shards: SpreadDense | None = None

    def index(self, corpus: Texts) -> None:
        """See `Retriever`; a streamed corpus becomes rows of a file."""
        if isinstance(corpus, StreamedTexts):
            blocks = (self.compared(part) for part in corpus.parts())
            self._documents = write_rows(corpus.folder() / "compared", blocks)
        else:
            self._documents = self.compared(corpus)
        self._equal = EqualRows.of(self._documents)
        self._shards = SpreadDense.where_worth_it(
            self._encoder.backend, self._documents, self._equal
        )

    def tokenise(self, queries: Texts) -> None:
        """See `Retriever`."""
        _ = queries.prompts

    def encode(self, queries: Texts) -> None:
        """See `Retriever`."""
        _ = queries.embeddings

    def search(self, queries: Texts, top_k: int) -> Ranking:
        """See `Retriever`."""
        compared = self.compared(queries)
        if self._shards is not None and len(compared) > 1:
            return self._shards.search(compared, top_k)
        return dense_search(compared, self._documents, top_k, equal=self._equal)

    def rerank(self, queries: Texts, candidates: Ragged, top_k: int) -> Ranking:
        """See `Retriever`."""
        scores = dense_scores(self.compared(queries), self._documents, candidates)
        return rank_candidates(candidates, scores, top_k)

    def prepare(self, texts: Texts) -> None:
        """See `Vectoriser`: nothing to learn."""

    def vectors(self, texts: Texts) -> NDArray[np.float32]:
        """See `Vectoriser`: the embeddings, normalised where the model normalises them."""
        return normalise(texts.embeddings) if self._model_normalises else texts.embeddings

    def work(self, queries: Texts, candidates: Ragged | None = None) -> SearchWork:
        """See `Retriever`: 2·d a document scored, which are all N without candidates."""
        count, width = self._documents.shape
        scored = count if candidates is None else candidates.lengths.mean()
        return SearchWork(
            encodes_documents=True,
            encodes_queries=True,
            head_reads_queries=False,
            head_reads_documents=False,
            scoring_flops=float(dense_scoring_flops(width, 1) * scored),
            index_bytes=self._documents.nbytes,
            stored=True,
        )

    def compared(self, texts: Texts) -> NDArray[np.float32]:
        """The embeddings whose dot products are the scores: float32 (n, d)."""
        return normalise(texts.embeddings) if self._normalised else texts.embeddings
