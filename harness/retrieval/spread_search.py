"""Shards of an index on other machines; a single query, whose latency counts, is searched here."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.embedding.spreading import SpreadsSearch
from harness.retrieval.postings import BLOCK, Postings
from harness.retrieval.ranking import Ranking
from harness.retrieval.sharded import (
    DenseShard,
    dense_shards,
    merge,
    postings_range,
    search_dense_shard,
    search_sparse_shard,
    shard_bounds,
)

if TYPE_CHECKING:
    from scipy import sparse

    from harness.alignment.equal_rows import EqualRows
    from harness.embedding.mapped_rows import RowSource


class SpreadDense:
    """Embeddings by shards. Each is sent when the first queries come, and stays there."""

    def __init__(self, workers: SpreadsSearch, documents: RowSource, equal: EqualRows) -> None:
        """Say what is searched.

        Args:
            workers: Who searches.
            documents: float32 (n, d), in memory or in a file.
            equal: Which of them are equal.
        """
        self._workers = workers
        self._documents = documents
        self._equal = equal
        self._shards = dense_shards(equal, _bounds(len(documents), workers))

    @classmethod
    def where_worth_it(
        cls, backend: Any, documents: RowSource, equal: EqualRows
    ) -> SpreadDense | None:
        """Shards, where the backend's workers search and there is more than one; else None."""
        if isinstance(backend, SpreadsSearch) and len(documents) > _size(backend):
            return cls(backend, documents, equal)
        return None

    def search(self, queries: NDArray[np.float32], top_k: int) -> Ranking:
        """See `dense_search`, whose scores these are where shards are whole blocks of it."""
        asked = self._workers.put(queries)
        calls = [
            (kept, shard, asked, top_k)
            for kept, shard in zip(self._kept, self._shards, strict=True)
        ]
        parts = self._workers.spread(_search_dense, calls)
        return merge(parts, top_k, self._equal, self._shards)

    @cached_property
    def _kept(self) -> list[Any]:
        rows = (self._documents[shard.first : shard.end] for shard in self._shards)
        return [self._workers.put(np.ascontiguousarray(part)) for part in rows]


class SpreadSparse:
    """Postings by ranges of documents, sent as those of `SpreadDense` are."""

    def __init__(self, workers: SpreadsSearch, postings: Postings) -> None:
        """Say what is searched.

        Args:
            workers: Who searches.
            postings: Of all documents.
        """
        self._workers = workers
        self._postings = postings
        self._bounds = _bounds(postings.documents, workers)

    @classmethod
    def where_worth_it(cls, backend: Any, postings: Postings) -> SpreadSparse | None:
        """See `SpreadDense`."""
        if isinstance(backend, SpreadsSearch) and postings.documents > _size(backend):
            return cls(backend, postings)
        return None

    def search(self, queries: sparse.csr_array, top_k: int) -> Ranking:
        """See `InvertedIndex.search`; the scores are the same bits."""
        asked = self._workers.put(queries)
        calls = [
            (kept, first, asked, top_k)
            for kept, (first, _) in zip(self._kept, self._bounds, strict=True)
        ]
        return merge(
            self._workers.spread(_search_sparse, calls), min(top_k, self._postings.documents)
        )

    @cached_property
    def _kept(self) -> list[Any]:
        return [
            self._workers.put(tuple(postings_range(self._postings, *bounds)))
            for bounds in self._bounds
        ]


def _search_dense(
    documents: NDArray[np.float32],
    shard: DenseShard,
    queries: NDArray[np.float32],
    top_k: int,
) -> Ranking:
    # Copies: what is shared between processes cannot be written to, which PyTorch wants.
    return search_dense_shard(documents.copy(), shard, queries.copy(), top_k)


def _search_sparse(
    postings: tuple[Any, ...], first: int, queries: sparse.csr_array, top_k: int
) -> Ranking:
    own = Postings._make(part.copy() if isinstance(part, np.ndarray) else part for part in postings)
    return search_sparse_shard(own, first, queries.copy(), top_k)


def _size(workers: SpreadsSearch) -> int:
    """Documents of a shard: whole blocks of postings, and of embeddings."""
    return -(-workers.shard_documents // BLOCK) * BLOCK


def _bounds(documents: int, workers: SpreadsSearch) -> list[tuple[int, int]]:
    return shard_bounds(documents, _size(workers))
