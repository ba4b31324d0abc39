"""Exact search in an inverted index, term at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.embedding.ragged import Ragged
from harness.errors import BadInputError
from harness.retrieval.postings import Postings, Rows
from harness.retrieval.ranking import Ranking

_CHUNKS = 4  # parts of the queries for each thread, so that none waits long for the others


class InvertedIndex:
    """Postings by token: for each token the documents that hold it, with weights.

    A score is a float32 sum over the query's tokens in ascending order; what a query finds depends
    neither on the queries beside it nor on threads.
    """

    def __init__(self, documents: sparse.csr_array, weights: str = "float32") -> None:
        """Turn document rows over.

        Args:
            documents: CSR (n, V).
            weights: `float32`, `uint16` or `uint8`; see `Postings.of`.
        """
        from harness.retrieval import search_kernels  # a search has no time for an import

        self._kernels = search_kernels
        self._postings = Postings.of(documents, weights)
        self._spare: list[tuple[NDArray[np.float32], NDArray[np.int32]]] = []

    @property
    def documents(self) -> int:
        """How many documents are indexed."""
        return self._postings.documents

    @property
    def nbytes(self) -> int:
        """Bytes of all that is held: postings, their offsets and scales."""
        return self._postings.nbytes

    @property
    def document_frequency(self) -> NDArray[np.int64]:
        """Postings of each token, those of weight 0 left out: int64 (V,)."""
        return self._postings.document_frequency

    def rows(self, documents: NDArray[np.int64]) -> sparse.csr_array:
        """Some documents' rows, CSR float32 (n, V); see `Postings.rows`."""
        return self._postings.rows(documents)

    def search(self, queries: sparse.csr_array, top_k: int, threads: int = 1) -> Ranking:
        """The documents with the largest Σ_t query weight × posting weight.

        A document that shares no token with a query has a score of 0, and one with a score of 0 is
        not found: it would stand where its id puts it among all others. One whose sum is negative
        is found, last.

        Args:
            queries: Query weights, CSR (q, V).
            top_k: Ranks to keep.
            threads: How many queries are searched at a time.

        Raises:
            BadInputError: If a query's weight is NaN, or a score could be too large for float32.
        """
        count, k = queries.shape[0], min(top_k, self.documents)
        found = Ranking(np.empty((count, k), np.int32), np.empty((count, k), np.float32))
        if not found.documents.size:
            return found
        rows = _rows(queries)
        if threads == 1 or count == 1:
            self._search(rows, 0, count, found)
            return found
        bounds = np.linspace(0, count, min(threads * _CHUNKS, count) + 1).astype(int).tolist()
        with ThreadPoolExecutor(threads) as pool:
            for part in [pool.submit(self._search, rows, *own, found) for own in pairwise(bounds)]:
                part.result()
        return found

    def score(
        self, queries: sparse.csr_array, candidates: Ragged
    ) -> tuple[NDArray[np.float32], int]:
        """Scores of candidates alone, the same that `search` gives, and the postings they took.

        Args:
            queries: Query weights, CSR (q, V).
            candidates: Document rows of each query.

        Returns:
            float32 (total candidates,), and how many entries a query and a candidate had in common.
        """
        scores = np.empty(len(candidates.values), np.float32)
        shared = self._kernels.score_pairs(
            _rows(queries), candidates.offsets, candidates.values, self._postings, scores
        )
        return scores, int(shared)

    def _search(self, queries: Rows, start: int, end: int, found: Ranking) -> None:
        """Fill some rows of a ranking."""
        try:
            zeros = self._spare.pop()
        except IndexError:  # there is one for each thread that was ever at work
            zeros = self._zeros()
        ranking = found.documents, found.scores
        if not self._kernels.search_rows(queries, (start, end), self._postings, zeros, ranking):
            raise BadInputError(
                "a query's score of a document is NaN or too large for float32; use "
                "backend.dtype=float32 or check the weights"
            )
        self._spare.append(zeros)

    def _zeros(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """What one search works in; see `search_rows`."""
        group = self._kernels.GROUP
        groups = -(-min(self._postings.block, self.documents) // group)
        return np.zeros((groups, group), np.float32), np.zeros(self._kernels.BINS, np.int32)


def _rows(queries: sparse.csr_array) -> Rows:
    """Rows whose tokens ascend."""
    return Rows.of(queries if queries.has_sorted_indices else queries.sorted_indices())
