"""Exact search in an inverted index, term at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.embedding.mapped_rows import NEIGHBOURS, RESIDENT_BYTES, touch
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
        self._take(Postings.of(documents, weights))

    @classmethod
    def of_files(cls, postings: Postings) -> InvertedIndex:
        """An index whose postings are memory-mapped; it finds what the same ones in memory do."""
        index = cls.__new__(cls)
        index._take(postings, mapped=True)
        return index

    @classmethod
    def of_postings(cls, postings: Postings) -> InvertedIndex:
        """An index of postings in memory."""
        index = cls.__new__(cls)
        index._take(postings)
        return index

    def _take(self, postings: Postings, *, mapped: bool = False) -> None:
        from harness.retrieval import search_kernels  # a search has no time for an import

        self._kernels = search_kernels
        self._postings = postings
        self._mapped = mapped
        self._frequency: NDArray[np.int64] | None = None
        self._spare: list[tuple[NDArray[np.float32], NDArray[np.int32]]] = []

    @property
    def postings(self) -> Postings:
        """What is held."""
        return self._postings

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
        if self._frequency is None:
            self._frequency = self._postings.document_frequency
        return self._frequency

    def rows(self, documents: NDArray[np.int64]) -> sparse.csr_array:
        """Some documents' rows, CSR float32 (n, V); see `Postings.rows`."""
        return self._postings.rows(documents, touch if self._mapped else _no_file)

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
        shared, rows = 0, _rows(queries)
        for start, end in self._parts(rows, 0, queries.shape[0]):
            shared += self._kernels.score_pairs(
                Rows(rows.offsets[start : end + 1], rows.tokens, rows.weights),
                candidates.offsets[start : end + 1],
                candidates.values,
                self._postings,
                scores,
            )
        return scores, int(shared)

    def _parts(self, queries: Rows, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Ranges of queries that read no more of a file than may be resident; one query at least.

        In memory there is one.
        """
        if not self._mapped:
            yield start, end
            return
        sums = np.zeros(queries.offsets[end] - queries.offsets[start] + 1, np.int64)
        tokens = queries.tokens[queries.offsets[start] : queries.offsets[end]]
        lists = self.document_frequency[tokens] * self._postings.posting_bytes + 2 * NEIGHBOURS
        np.cumsum(lists, out=sums[1:])
        sums = sums[queries.offsets[start : end + 1] - queries.offsets[start]]
        first = start
        while first < end:
            limit = sums[first - start] + RESIDENT_BYTES // 2
            last = start + int(np.searchsorted(sums, limit, side="right")) - 1
            last = min(max(last, first + 1), end)
            touch(int(sums[last - start] - sums[first - start]))
            yield first, last
            first = last

    def _search(self, queries: Rows, start: int, end: int, found: Ranking) -> None:
        """Fill some rows of a ranking."""
        for first, last in self._parts(queries, start, end):
            self._search_part(queries, first, last, found)

    def _search_part(self, queries: Rows, start: int, end: int, found: Ranking) -> None:
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


def _no_file(_: int) -> None:
    """What is read in memory."""
