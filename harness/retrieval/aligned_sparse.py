"""Aligned sparse retrieval: documents by their top aligned tokens (paper section 2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from harness.alignment.aligned_parts import aligned_parts
from harness.alignment.aligned_tokens import AlignedTokens, aligned_tokens
from harness.alignment.term_weights import TermWeights
from harness.alignment.vocabulary import token_counts, token_sets
from harness.cost.flops import sparse_scoring_flops, splade_flops
from harness.embedding.ragged import Ragged
from harness.embedding.streamed_texts import PART, StreamedTexts
from harness.errors import BadInputError
from harness.retrieval.candidates import rank_candidates
from harness.retrieval.documents import document_matrix, with_literal_terms
from harness.retrieval.inverted_index import InvertedIndex
from harness.retrieval.posting_runs import build_postings
from harness.retrieval.query_side import QuerySide, query_matrix
from harness.retrieval.ranking import Ranking
from harness.retrieval.retriever import Dependencies, SearchWork, TermMatches
from harness.retrieval.spread_search import SpreadSparse

if TYPE_CHECKING:
    from harness.config import AlignedSparseConfig
    from harness.embedding.texts import Texts


class AlignedSparseRetriever:
    """An inverted index of each document's K aligned tokens.

    A query is the set of its literal tokens and its M aligned ones; with M = 0 and a query weight
    that is not `score` no model runs for it. Where a task has no queries, every text is treated as
    a document: its vector holds its K aligned tokens, and vectors are compared by their cosine.
    """

    similarity = "cosine"
    reads_head = True

    def __init__(self, config: AlignedSparseConfig, *, dependencies: Dependencies) -> None:
        self.config = config
        self._name = dependencies.name
        self._encoder = dependencies.encoder
        self._head = dependencies.head
        self._needs_embedding = config.query_expansion > 0 or config.query_weight == "score"
        self._shards: SpreadSparse | None = None

    def index(self, corpus: Texts) -> None:
        """See `Retriever`."""
        self._corpus = corpus
        self.prepare(corpus)
        if isinstance(corpus, StreamedTexts):
            self._index = InvertedIndex.of_files(
                build_postings(
                    self._streamed_vectors(corpus),
                    corpus.folder(),
                    vocabulary=self._head.vocabulary,
                    weights=self.config.index_weights,
                )
            )
        else:
            self._index = InvertedIndex(self.vectors(corpus), self.config.index_weights)
        self._shards = SpreadSparse.where_worth_it(self._encoder.backend, self._index.postings)

    def prepare(self, texts: Texts) -> None:
        """See `Vectoriser`: fits the head."""
        self._head.fit(texts)
        self._allowed = self._head.lexicon.allowed(
            drop_special=self.config.drop_special,
            drop_punctuation=self.config.drop_punctuation,
            drop_stopwords=self.config.drop_stopwords,
        )
        self._terms = TermWeights.of_parts(self._counts(part) for part in texts.parts())

    def vectors(self, texts: Texts) -> sparse.csr_array:
        """See `Vectoriser`: the K aligned tokens with their weights."""
        tokens = aligned_tokens(
            self._head,
            self._head.read(texts),
            self.config.doc_top_k,
            allowed=self._allowed,
            literal=self._sets(texts) if self.config.scope == "literal" else None,
            device=self._encoder.backend.device,
        )
        return self._weighted(tokens, texts)

    def _streamed_vectors(self, corpus: StreamedTexts) -> Iterator[sparse.csr_array]:
        """The same part by part, with the equal texts of all of them weighted alike."""
        if self.config.scope == "literal":
            yield from map(self.vectors, corpus.parts())
            return
        tokens = aligned_parts(
            self._head,
            self._head.read(corpus),
            self.config.doc_top_k,
            allowed=self._allowed,
            size=PART,
            device=self._encoder.backend.device,
        )
        for part in corpus.parts():
            yield self._weighted(next(tokens), part)  # of which no name keeps the last ones

    def _weighted(self, tokens: AlignedTokens, texts: Texts) -> sparse.csr_array:
        """Aligned tokens of texts as their rows of the index."""
        _refuse_infinite(tokens.weights, f"retrieval.{self._name}")
        aligned = document_matrix(
            tokens,
            self._head.vocabulary,
            weight=self.config.doc_weight,
            l2=self.config.doc_norm == "l2",
        )
        if not self.config.literal_share:
            return aligned
        return with_literal_terms(
            aligned,
            self._terms.rows(self._counts(texts), "bm25"),
            share=self.config.literal_share,
            k=self.config.doc_top_k,
            l2=self.config.doc_norm == "l2",
        )

    def tokenise(self, queries: Texts) -> None:
        """See `Retriever`."""
        _ = self._head.lexicon.literal(queries)
        if self._needs_embedding:
            _ = queries.prompts

    def encode(self, queries: Texts) -> None:
        """See `Retriever`."""
        if self._needs_embedding:
            _ = self._head.read(queries)

    def search(self, queries: Texts, top_k: int) -> Ranking:
        """See `Retriever`."""
        matrix = self._query_matrix(queries)
        if self._shards is not None and len(queries) > 1:
            return self._shards.search(matrix, top_k)
        threads = torch.get_num_threads()  # as many as dense search has
        return self._index.search(matrix, top_k, threads)

    def rerank(self, queries: Texts, candidates: Ragged, top_k: int) -> Ranking:
        """See `Retriever`."""
        scores, _ = self._index.score(self._query_matrix(queries), candidates)
        return rank_candidates(candidates, scores, top_k)

    def work(self, queries: Texts, candidates: Ragged | None = None) -> SearchWork:
        """See `Retriever`: 2·Σ df over a query's tokens, or 2 a token shared with a candidate."""
        matrix = self._query_matrix(queries)
        frequency = self._index.document_frequency
        count = max(matrix.shape[0], 1)
        documents = max(self._index.documents, 1)
        if candidates is None:
            postings = int(frequency[matrix.indices].sum())
        else:
            _, postings = self._index.score(matrix, candidates)
        share = np.bincount(matrix.indices, minlength=len(frequency)) / count
        return SearchWork(
            encodes_documents=True,
            encodes_queries=self._needs_embedding,
            head_reads_queries=self._needs_embedding,
            head_reads_documents=True,
            scoring_flops=sparse_scoring_flops(postings) / count,
            index_bytes=self._index.nbytes,
            splade_flops=splade_flops(share, frequency / documents),
        )

    def explain(self, queries: Texts, documents: Ragged) -> TermMatches:
        """See `Explains`: terms are the head's, documents' weights those of the index."""
        matrix = self._query_matrix(queries)
        scores, _ = self._index.score(matrix, documents)
        rows = self._index.rows(documents.values.astype(np.int64))
        return TermMatches(matrix, rows, scores, self._head.lexicon.name)

    def _sets(self, texts: Texts) -> sparse.csr_array:
        return token_sets(self._head.lexicon.literal(texts), self._allowed)

    def _counts(self, texts: Texts) -> sparse.csr_array:
        return token_counts(self._head.lexicon.literal(texts), self._allowed)

    def _query_matrix(self, queries: Texts) -> sparse.csr_array:
        """Query weights, CSR float32 (q, V)."""
        key = ("query matrix", self, self._corpus)
        return queries.derived(key, lambda: self._weigh_queries(queries))

    def _weigh_queries(self, queries: Texts) -> sparse.csr_array:
        side = QuerySide.of(
            self._head,
            queries,
            self._allowed,
            self._terms,
            most=self.config.query_expansion,
            scores=self.config.query_weight == "score",
            literal=self.config.scope == "literal",
            device=self._encoder.backend.device,
        )
        matrix = query_matrix(side, self.config)
        _refuse_infinite(matrix.data, f"retrieval.{self._name}")
        return matrix


def _refuse_infinite(weights: NDArray[np.float32], where: str) -> None:
    if not np.isfinite(weights).all():
        raise BadInputError(
            f"{where}: a token weight is NaN or infinite; check the head's matrix, or use "
            "backend.dtype=float32"
        )
