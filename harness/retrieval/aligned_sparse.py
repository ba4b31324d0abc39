"""Aligned sparse retrieval: documents by their top aligned tokens (paper section 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.alignment.aligned_tokens import AlignedTokens, aligned_tokens, logits_at
from harness.alignment.vocabulary import allowed_tokens, inverse_document_frequency, token_sets
from harness.cost.flops import sparse_scoring_flops, splade_flops
from harness.embedding.ragged import Ragged
from harness.errors import BadInputError
from harness.retrieval.candidates import rank_candidates
from harness.retrieval.inverted_index import InvertedIndex
from harness.retrieval.ranking import Ranking
from harness.retrieval.retriever import Dependencies, SearchWork

if TYPE_CHECKING:
    from harness.config import AlignedSparseConfig
    from harness.embedding.texts import Texts


def weigh(logits: NDArray[np.float32], how: str) -> NDArray[np.float32]:
    """Token weights from logits: `raw`, `relu`, `log1p` (of relu) or `binary` (all ones)."""
    if how == "raw":
        return logits
    if how == "binary":
        return np.ones_like(logits)
    positive = np.maximum(logits, np.float32(0))
    return np.log1p(positive) if how == "log1p" else positive


def document_matrix(
    tokens: AlignedTokens, vocabulary: int, *, weight: str, l2: bool
) -> sparse.csr_array:
    """Aligned tokens as sparse document rows, CSR float32 (n, V); zero weights are left out.

    Args:
        tokens: The kept tokens of n documents.
        vocabulary: V.
        weight: See `weigh`.
        l2: Whether each row is L2-normalised.
    """
    present = tokens.ids >= 0
    weights = np.where(present, weigh(tokens.weights, weight), np.float32(0))
    if l2:
        norms = np.linalg.norm(weights.astype(np.float64), axis=1, keepdims=True)
        weights = (weights / np.maximum(norms, 1e-12)).astype(np.float32)
    kept = present & (weights != 0)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept.sum(axis=1))])
    shape = (len(weights), vocabulary)
    matrix = sparse.csr_array((weights[kept], tokens.ids[kept], offsets), shape=shape)
    matrix.sort_indices()
    return matrix


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

    def index(self, corpus: Texts) -> None:
        """See `Retriever`."""
        self._corpus = corpus
        self.prepare(corpus)
        self._index = InvertedIndex(self.vectors(corpus))
        self._idf = None
        if self.config.query_weight == "idf":
            sets = token_sets(corpus.literal_tokens, self._allowed)
            self._idf = inverse_document_frequency(sets)

    def prepare(self, texts: Texts) -> None:
        """See `Vectoriser`: fits the head."""
        self._head.fit(texts)
        self._allowed = allowed_tokens(
            self._encoder.model.tokenizer,
            self._head.vocabulary,
            drop_special=self.config.drop_special,
            drop_punctuation=self.config.drop_punctuation,
            drop_stopwords=self.config.drop_stopwords,
        )

    def vectors(self, texts: Texts) -> sparse.csr_array:
        """See `Vectoriser`: the K aligned tokens with their weights."""
        literal = None
        if self.config.scope == "literal":
            literal = token_sets(texts.literal_tokens, self._allowed)
        tokens = aligned_tokens(
            self._head,
            self._head.read(texts),
            self.config.doc_top_k,
            allowed=self._allowed,
            literal=literal,
            device=self._encoder.backend.device,
        )
        _refuse_infinite(tokens.weights, f"retrieval.{self._name}")
        return document_matrix(
            tokens,
            self._head.vocabulary,
            weight=self.config.doc_weight,
            l2=self.config.doc_norm == "l2",
        )

    def tokenise(self, queries: Texts) -> None:
        """See `Retriever`."""
        _ = queries.literal_tokens
        if self._needs_embedding:
            _ = queries.prompts

    def encode(self, queries: Texts) -> None:
        """See `Retriever`."""
        if self._needs_embedding:
            _ = self._head.read(queries)

    def search(self, queries: Texts, top_k: int) -> Ranking:
        """See `Retriever`."""
        return self._index.search(self._query_matrix(queries), top_k)

    def rerank(self, queries: Texts, candidates: Ragged, top_k: int) -> Ranking:
        """See `Retriever`."""
        scores, _ = self._index.score(self._query_matrix(queries), candidates)
        return rank_candidates(candidates, scores, top_k)

    def work(self, queries: Texts, candidates: Ragged | None = None) -> SearchWork:
        """See `Retriever`: 2·Σ df over a query's tokens, or 2 a token shared with a candidate."""
        matrix = self._query_matrix(queries)
        frequency = self._index.document_frequency
        count = max(matrix.shape[0], 1)
        documents = max(self._index.postings.shape[1], 1)
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

    def _query_matrix(self, queries: Texts) -> sparse.csr_array:
        """Query weights, CSR float32 (q, V)."""
        key = ("query matrix", self, self._corpus)
        return queries.derived(key, lambda: self._weigh_queries(queries))

    def _weigh_queries(self, queries: Texts) -> sparse.csr_array:
        sets = token_sets(queries.literal_tokens, self._allowed)
        device = self._encoder.backend.device
        if self.config.query_expansion > 0:
            expansion = aligned_tokens(
                self._head,
                self._head.read(queries),
                self.config.query_expansion,
                allowed=self._allowed,
                literal=sets if self.config.scope == "literal" else None,
                device=device,
            )
            added = document_matrix(expansion, sets.shape[1], weight="binary", l2=False)
            sets = (sets + added).tocsr()
            sets.data[:] = 1.0
        sets.sort_indices()
        if self._idf is not None:
            sets.data = self._idf[sets.indices]
        elif self.config.query_weight == "score":
            tokens = Ragged(sets.indices.astype(np.int32), sets.indptr.astype(np.int64))
            logits = logits_at(self._head, self._head.read(queries), tokens, device=device)
            sets.data = weigh(logits, self.config.doc_weight)
        _refuse_infinite(sets.data, f"retrieval.{self._name}")
        return sets


def _refuse_infinite(weights: NDArray[np.float32], where: str) -> None:
    if not np.isfinite(weights).all():
        raise BadInputError(
            f"{where}: a token weight is NaN or infinite; check the head's matrix, or use "
            "backend.dtype=float32"
        )
