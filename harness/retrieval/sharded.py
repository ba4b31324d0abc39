"""Search over shards: the best of each, merged into what a search over all documents finds.

A shard is a contiguous range of documents. Of equal documents the first is computed for all,
wherever they are: those that repeat one of an earlier shard are left out of their own, and stand
beside it again when shards are merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.alignment.equal_rows import EqualRows
from harness.retrieval.dense_search import dense_search
from harness.retrieval.inverted_index import InvertedIndex
from harness.retrieval.postings import Postings, offset_type
from harness.retrieval.ranking import Ranking, ranked


@dataclass(frozen=True)
class DenseShard:
    """A range of documents.

    Attributes:
        first: Its first document.
        end: The one after its last.
        equal: Which of its documents are equal, those of `elsewhere` left out.
        elsewhere: int64, ascending: rows of the shard that repeat a document of an earlier one.
    """

    first: int
    end: int
    equal: EqualRows
    elsewhere: NDArray[np.int64]


def shard_bounds(documents: int, size: int) -> list[tuple[int, int]]:
    """First and end of shards of so many documents; the last may have fewer."""
    return [(first, min(first + size, documents)) for first in range(0, documents, size)]


def dense_shards(equal: EqualRows, bounds: Sequence[tuple[int, int]]) -> list[DenseShard]:
    """What each shard has to know of equal documents.

    Args:
        equal: Of all documents.
        bounds: Of the shards, ascending.
    """
    sources = equal.originals[equal.sources]
    shards = []
    for first, end in bounds:
        own = slice(*np.searchsorted(equal.repeats, [first, end]))
        repeats, leaders = equal.repeats[own] - first, sources[own] - first
        here = leaders >= 0
        originals, places = np.unique(leaders[here], return_inverse=True)
        local = EqualRows(end - first, originals, repeats[here], places)
        shards.append(DenseShard(first, end, local, repeats[~here]))
    return shards


def search_dense_shard(
    documents: NDArray[np.float32], shard: DenseShard, queries: NDArray[np.float32], top_k: int
) -> Ranking:
    """The best documents of a shard, by their numbers among all; see `dense_search`.

    Args:
        documents: Those of the shard, float32 (n, d).
        shard: Its place, and its equal documents.
        queries: float32 (q, d).
        top_k: Ranks to keep.
    """
    found = dense_search(queries, documents, top_k, equal=shard.equal, left_out=shard.elsewhere)
    return _moved(found, shard.first, found.scores == -np.inf)


def search_sparse_shard(
    postings: Postings, first: int, queries: sparse.csr_array, top_k: int
) -> Ranking:
    """The best documents of a range of postings, by their numbers among all.

    Args:
        postings: See `postings_range`.
        first: The range's first document.
        queries: Query weights, CSR (q, V).
        top_k: Ranks to keep.
    """
    found = InvertedIndex.of_postings(postings).search(queries, top_k)
    return _moved(found, first, found.documents < 0)


def _moved(found: Ranking, first: int, nothing: NDArray[np.bool_]) -> Ranking:
    documents = np.where(nothing, -1, found.documents + np.int32(first)).astype(np.int32)
    return Ranking(documents, np.where(nothing, -np.inf, found.scores).astype(np.float32))


def merge(
    parts: Sequence[Ranking],
    top_k: int,
    equal: EqualRows | None = None,
    shards: Sequence[DenseShard] = (),
) -> Ranking:
    """The best of all shards, ties by document.

    Args:
        parts: The best of each shard: as many as are wanted, or all that it has.
        top_k: Ranks to keep.
        equal: Equal documents among all, where shards left some out.
        shards: The shards that did.
    """
    documents = np.concatenate([part.documents for part in parts], axis=1)
    scores = np.concatenate([part.scores for part in parts], axis=1)
    if equal is not None:
        top_k = min(top_k, equal.count)
        away = np.concatenate([shard.elsewhere + shard.first for shard in shards])
        documents, scores = _with_repeats(documents, scores, equal, away, top_k)
    return ranked(documents, scores, top_k)


def _with_repeats(
    documents: NDArray[np.int32],
    scores: NDArray[np.float32],
    equal: EqualRows,
    away: NDArray[np.int64],
    top_k: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Candidates, and beside those that a document of a later shard repeats, that one too.

    Args:
        documents: int32 (queries, candidates), -1 for none.
        scores: float32 (queries, candidates).
        equal: Equal documents among all.
        away: Documents that repeat one of an earlier shard, ascending.
        top_k: More repeats of one document are never among the best.
    """
    if not len(away):
        return documents, scores
    leaders = equal.originals[equal.sources[np.searchsorted(equal.repeats, away)]]
    order = np.argsort(leaders, kind="stable")  # repeats of one document ascend
    away, leaders = away[order], leaders[order]
    starts = np.searchsorted(leaders, documents, side="left")
    ends = np.searchsorted(leaders, documents, side="right")
    counts = np.minimum(ends - starts, top_k)
    rows = np.repeat(np.arange(len(documents)), counts.sum(axis=1))
    flat = counts.ravel()
    steps = np.arange(flat.sum()) - np.repeat(np.cumsum(flat) - flat, flat)
    more = away[np.repeat(starts.ravel(), flat) + steps]
    values = np.repeat(scores.ravel(), flat)
    width = int(counts.sum(axis=1).max(initial=0))
    beside = np.arange(len(rows)) - np.searchsorted(rows, rows)
    added = np.full((len(documents), width), -1, np.int32)
    of_added = np.full(added.shape, -np.inf, np.float32)
    added[rows, beside], of_added[rows, beside] = more, values
    return np.hstack([documents, added]), np.hstack([scores, of_added])


def postings_range(postings: Postings, first: int, end: int) -> Postings:
    """The postings of a range of documents, with the weights that they have among all.

    Args:
        postings: Of all documents.
        first: The first document of a block.
        end: The first of another, or the number of documents.
    """
    blocks = max(-(-postings.documents // postings.block), 1)
    own = slice(first // postings.block, -(-end // postings.block) + 1)
    lists = np.arange(len(postings.tokens))[:, None] * blocks
    offsets = postings.offsets[lists + np.arange(blocks + 1)[own]].astype(np.int64)
    counts = offsets[:, -1] - offsets[:, 0]
    kept = np.flatnonzero(counts)
    offsets, counts = offsets[kept], counts[kept]
    before = np.cumsum(counts) - counts
    chosen = np.arange(counts.sum()) + np.repeat(offsets[:, 0] - before, counts)
    begins = offsets[:, :-1] - offsets[:, :1] + before[:, None]
    moved = np.append(begins.ravel(), counts.sum())
    return postings._replace(
        tokens=postings.tokens[kept],
        offsets=moved.astype(offset_type(len(chosen))),
        places=postings.places[chosen],
        weights=postings.weights[chosen],
        scales=postings.scales[kept] if len(postings.scales) else postings.scales,
        documents=end - first,
    )
