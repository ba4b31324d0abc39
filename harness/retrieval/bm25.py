"""BM25 through bm25s, with the settings of mteb's baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import bm25s
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.cost.flops import sparse_scoring_flops
from harness.embedding.mapped_rows import touch
from harness.embedding.ragged import Ragged
from harness.embedding.streamed_texts import StreamedTexts
from harness.errors import BadInputError
from harness.retrieval.candidates import rank_candidates, sparse_scores
from harness.retrieval.ranking import Ranking, best_of
from harness.retrieval.retriever import Dependencies, SearchWork
from harness.retrieval.word_files import WordPostings
from harness.retrieval.word_index import CorpusWords, WordIndex

if TYPE_CHECKING:
    from harness.config import Bm25Config
    from harness.embedding.texts import Texts


class Bm25Retriever:
    """Lexical search over stemmed words; no model runs at all."""

    def __init__(self, config: Bm25Config, *, dependencies: Dependencies) -> None:
        self.config = config
        self._stemmer = _stemmer(config.stemmer, f"retrieval.{dependencies.name}")
        self._stopwords: str | list[str] = config.stopwords or []

    def index(self, corpus: Texts) -> None:
        """See `Retriever`."""
        self._size = len(corpus)
        self._documents: sparse.csr_array | None = None
        self._index = WordIndex(k1=self.config.k1, b=self.config.b, method=self.config.method)
        own = {"stopwords": self._stopwords, "stemmer": self._stemmer}
        self._streamed = isinstance(corpus, StreamedTexts)
        if isinstance(corpus, StreamedTexts):
            words = CorpusWords.in_files(corpus.texts, corpus.folder(), **own)
        else:
            words = CorpusWords.of(corpus.texts, **own)
        self._has_words = bool(words.vocab)
        if self._has_words:
            self._index.index(words)

    def tokenise(self, queries: Texts) -> None:
        """See `Retriever`."""
        _ = self._query_words(queries)

    def encode(self, queries: Texts) -> None:
        """See `Retriever`: nothing to encode."""

    def search(self, queries: Texts, top_k: int) -> Ranking:
        """See `Retriever`."""
        k = min(top_k, self._size)
        found = Ranking.empty(len(queries), k)
        for row, words in enumerate(self._query_words(queries)):
            known = self._known(words)
            if known:
                if self._streamed:
                    numbers = np.asarray(self._index.get_tokens_ids(known))
                    indptr = self._index.scores["indptr"]
                    touch(8 * int((indptr[numbers + 1] - indptr[numbers]).sum()))
                scores = self._index.get_scores(known)
                matched = np.flatnonzero(scores > 0).astype(np.int32)
                found.documents[row], found.scores[row] = best_of(matched, scores[matched], k)
        return found

    def rerank(self, queries: Texts, candidates: Ragged, top_k: int) -> Ranking:
        """See `Retriever`."""
        scores, _ = self._candidate_scores(queries, candidates)
        return rank_candidates(candidates, scores, top_k)

    def work(self, queries: Texts, candidates: Ragged | None = None) -> SearchWork:
        """See `Retriever`: 2·Σ df over a query's words, or 2 a word shared with a candidate."""
        if candidates is None:
            frequency = self._document_frequency()
            touched = sum(int(frequency[words].sum()) for words in self._word_numbers(queries))
        else:
            _, touched = self._candidate_scores(queries, candidates)
        return SearchWork(
            encodes_documents=False,
            encodes_queries=False,
            head_reads_queries=False,
            head_reads_documents=False,
            scoring_flops=sparse_scoring_flops(touched) / max(len(queries), 1),
            index_bytes=self._index_bytes(),
        )

    def _candidate_scores(
        self, queries: Texts, candidates: Ragged
    ) -> tuple[NDArray[np.float32], int]:
        if not self._has_words:
            return np.zeros(len(candidates.values), np.float32), 0
        scores = self._index.scores
        parts = (scores["data"], scores["indices"], scores["indptr"])
        if self._streamed:
            distinct, rows = np.unique(candidates.values, return_inverse=True)
            documents = WordPostings(*parts).rows(distinct.astype(np.int64), self._size)
            candidates = Ragged(rows.astype(np.int32), candidates.offsets)
            return sparse_scores(
                self._word_counts(queries, documents.shape[1]), documents, candidates
            )
        if self._documents is None:  # only reranking asks for them
            postings = sparse.csr_array(parts, shape=(len(scores["indptr"]) - 1, self._size))
            self._documents = postings.T.tocsr()
        counts = self._word_counts(queries, self._documents.shape[1])
        return sparse_scores(counts, self._documents, candidates)

    def _word_counts(self, queries: Texts, vocabulary: int) -> sparse.csr_array:
        """How often each query holds each word of the corpus, CSR float32 (q, words)."""
        words = Ragged.from_rows([list(row) for row in self._word_numbers(queries)])
        counts = sparse.csr_array(
            (np.ones(len(words.values), np.float32), words.values, words.offsets),
            shape=(len(words), vocabulary),
        )
        counts.sum_duplicates()
        return counts

    def _word_numbers(self, queries: Texts) -> list[NDArray[np.int64]]:
        """Numbers of each query's words that the corpus has, repeated ones repeatedly."""
        return [
            np.asarray(self._index.get_tokens_ids(known) if known else [], np.int64)
            for known in map(self._known, self._query_words(queries))
        ]

    def _query_words(self, queries: Texts) -> list[list[str]]:
        return queries.derived(("words", self), lambda: self._words(queries.texts))

    def _words(self, texts: Sequence[str]) -> list[list[str]]:
        words: list[list[str]] = bm25s.tokenize(
            list(texts),
            stopwords=self._stopwords,
            stemmer=self._stemmer,
            return_ids=False,
            show_progress=False,
        )
        return words

    def _known(self, words: list[str]) -> list[str]:
        if not self._has_words:
            return []
        return [word for word in words if word and word in self._index.vocab_dict]

    def _document_frequency(self) -> NDArray[np.int64]:
        if not self._has_words:
            return np.zeros(0, np.int64)
        offsets: NDArray[np.int64] = self._index.scores["indptr"].astype(np.int64)
        return np.diff(offsets)

    def _index_bytes(self) -> int:
        if not self._has_words:
            return 0
        return sum(self._index.scores[part].nbytes for part in ("data", "indices", "indptr"))


def _stemmer(language: str | None, where: str) -> Any:
    if language is None:
        return None
    import Stemmer

    try:
        return Stemmer.Stemmer(language)
    except KeyError as error:
        known = ", ".join(sorted(Stemmer.algorithms()))
        raise BadInputError(
            f"{where}.stemmer={language!r} is unknown; choose one of: {known}"
        ) from error
