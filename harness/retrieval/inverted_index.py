"""Exact search in an inverted index, through SciPy's sparse product."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.embedding.ragged import Ragged
from harness.retrieval.candidates import sparse_scores
from harness.retrieval.ranking import Ranking, best_of, ranked
from harness.retrieval.vectors import vector_bytes, with_small_indices

_SCORES = 1 << 22  # score entries held at a time: 32 MiB
_FEW_DOCUMENTS = 2048  # whole rows are sorted faster than they are taken apart


class InvertedIndex:
    """Postings by token: for each token the documents that hold it, with weights."""

    def __init__(self, documents: sparse.csr_array) -> None:
        """Transpose document rows (n, V) into postings (V, n)."""
        self.postings = with_small_indices(documents.T.tocsr())
        self.postings.sort_indices()

    @property
    def nbytes(self) -> int:
        """Bytes of the postings and their offsets."""
        return vector_bytes(self.postings)

    @property
    def document_frequency(self) -> NDArray[np.int64]:
        """Postings of each token: int64 (V,)."""
        offsets: NDArray[np.int64] = self.postings.indptr.astype(np.int64)
        return np.diff(offsets)

    def search(self, queries: sparse.csr_array, top_k: int) -> Ranking:
        """The documents with the largest Σ_t query weight × posting weight.

        A document that shares no token with a query has a score of 0, and one with a score of 0 is
        not found: it would stand where its id puts it among all others. One whose sum is negative
        is found, last.

        Args:
            queries: Query weights, CSR (q, V).
            top_k: Ranks to keep.
        """
        count = self.postings.shape[1]
        rows = max(_SCORES // max(count, 1), 1)
        k = min(top_k, count)
        parts = [
            _top_rows(with_small_indices(queries[start : start + rows]) @ self.postings, k)
            for start in range(0, queries.shape[0], rows)
        ]
        if not parts:
            return Ranking.empty(0, k)
        return Ranking(
            np.concatenate([part.documents for part in parts]),
            np.concatenate([part.scores for part in parts]),
        )

    def score(
        self, queries: sparse.csr_array, candidates: Ragged
    ) -> tuple[NDArray[np.float32], int]:
        """Scores of candidates alone, and the postings that they took; see `sparse_scores`."""
        return sparse_scores(queries, self._documents, candidates)

    @cached_property
    def _documents(self) -> sparse.csr_array:
        """Document rows again; only reranking asks for them."""
        return self.postings.T.tocsr()


def _top_rows(scores: sparse.csr_array, k: int) -> Ranking:
    """The k best entries of each row of a sparse score matrix."""
    if scores.shape[1] <= _FEW_DOCUMENTS:
        dense = scores.toarray()
        columns = np.broadcast_to(np.arange(dense.shape[1], dtype=np.int32), dense.shape)
        return ranked(np.where(dense == 0, np.int32(-1), columns), dense, k)
    found = Ranking.empty(scores.shape[0], k)
    for row in range(scores.shape[0]):
        part = slice(scores.indptr[row], scores.indptr[row + 1])
        found.documents[row], found.scores[row] = best_of(
            scores.indices[part].astype(np.int32), scores.data[part], k
        )
    return found
