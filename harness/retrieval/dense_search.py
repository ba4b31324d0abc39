"""Exact search over embeddings: products by blocks, of which few scores are ever sorted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

from harness.alignment.equal_rows import EqualRows
from harness.embedding.mapped_rows import RowSource
from harness.retrieval.dense_kernels import (
    bfloat16_products,
    float16_products,
    int8_products,
    products,
)
from harness.retrieval.ranking import Ranking, ranked

_QUERIES = 256  # of a block
_FEW = 4  # queries whose product takes no longer than reading the documents
_A_THREAD = 1 << 23  # numbers of documents that are worth a thread of their own: 32 MiB
_SCORES = 1 << 22  # of a block: 16 MiB
_BLOCK_BYTES = 64 << 20  # of documents that are multiplied at once, or read from a file
_ALL = slice(None)
_NONE = np.zeros(0, np.int64)
_SPARE = 4  # candidates a rank that are sorted rather than thinned out


def dense_search(
    queries: NDArray[np.float32],
    documents: RowSource,
    top_k: int,
    *,
    equal: EqualRows | None = None,
    left_out: NDArray[np.int64] = _NONE,
) -> Ranking:
    """The documents with the largest dot products, exactly; equal documents score the same.

    Never holds more scores than one block of queries by one block of documents, nor reads more than
    that block of a file. Blocks depend on shapes alone: where documents lie changes no score.

    Args:
        queries: float32 (q, d).
        documents: float32 (n, d), of which nothing is copied, or rows of a file.
        top_k: Ranks to keep.
        equal: Which documents are equal, where that is known already.
        left_out: Documents that are to come last, with a score of -inf: int64, ascending.
    """
    equal = EqualRows.of(documents) if equal is None else equal
    count = min(top_k, len(documents))
    found = Ranking.empty(len(queries), count)
    for start in range(0, len(queries), _QUERIES):
        rows = slice(start, start + _QUERIES)
        block = np.ascontiguousarray(queries[rows])
        best = Ranking.empty(len(block), count)
        repeated = np.empty((len(equal.originals), len(block)), np.float32)
        size = _block_size(documents, len(block))
        for first in range(0, len(documents), size):
            scores = _product(documents, block, slice(first, first + size))
            _repeat(scores, repeated, equal, first)
            place = slice(*np.searchsorted(left_out, [first, first + len(scores)]))
            scores[left_out[place] - first] = -np.inf
            best = _better(best, scores, first)
        found.documents[rows] = best.documents
        found.scores[rows] = best.scores
    return found


def _block_size(documents: RowSource, queries: int) -> int:
    """Documents that are multiplied at once; a loop over single ones needs no blocks in memory.

    A power of two: blocks begin at the same documents where a search is over a part of them that
    begins with a block.
    """
    size = _SCORES // queries
    if queries >= _FEW or not isinstance(documents, np.ndarray):
        size = min(size, _BLOCK_BYTES // max(4 * documents.shape[1], 1))
    return int(1 << (max(size, 1).bit_length() - 1))


def _product(
    documents: RowSource, queries: NDArray[np.float32], part: slice = _ALL
) -> NDArray[np.float32]:
    """Scores of some documents (documents, queries).

    For few queries it takes as long as reading the documents, which libraries of matrix products
    do at half the memory's speed on some processors. For more it is PyTorch's and not NumPy's,
    whose threads would fight the model's for the next query.
    """
    if len(queries) >= _FEW:
        return (from_dlpack(documents[part]) @ from_dlpack(queries).T).numpy()
    kind = "float32" if isinstance(documents, np.ndarray) else documents.kind
    arrays: list[NDArray[Any]]
    if isinstance(documents, np.ndarray):
        arrays = [documents[part]]
    else:
        arrays = [array for array in documents.encoded(part) if array is not None]
    scores = np.empty((len(arrays[0]), len(queries)), np.float32)
    threads = min(torch.get_num_threads(), arrays[0].size // _A_THREAD)
    if threads < 2:
        _multiply(kind, queries, scores, *arrays)
        return scores
    parts = [np.array_split(one, threads) for one in (scores, *arrays)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda found, *own: _multiply(kind, queries, found, *own), *parts))
    return scores


def _multiply(
    kind: str, queries: NDArray[np.float32], scores: NDArray[np.float32], *rows: NDArray[Any]
) -> None:
    """Fill scores (documents, queries) of rows in one of the formats of `FORMATS`."""
    if kind == "float32":
        products(rows[0], queries, scores)
    elif kind == "bfloat16":
        bfloat16_products(rows[0], queries, scores)
    elif kind == "float16":
        float16_products(rows[0].view(np.uint16), _halves(), queries, scores)
    else:
        int8_products(rows[0], rows[1], queries, scores)


@cache
def _halves() -> NDArray[np.float32]:
    """The value of each float16, by its bits."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


def _repeat(
    scores: NDArray[np.float32], repeated: NDArray[np.float32], equal: EqualRows, first: int
) -> None:
    """Give documents that repeat an earlier one its scores.

    Args:
        scores: (block of documents, queries), changed in place.
        repeated: (originals, queries), filled as originals come by.
        equal: Which documents are equal.
        first: Number of the block's first document.
    """
    ends = [first, first + len(scores)]
    place = slice(*np.searchsorted(equal.originals, ends))
    repeated[place] = scores[equal.originals[place] - first]
    place = slice(*np.searchsorted(equal.repeats, ends))
    scores[equal.repeats[place] - first] = repeated[equal.sources[place]]


def _better(best: Ranking, scores: NDArray[np.float32], first: int) -> Ranking:
    """The best of what was found before and of a block of later documents.

    Args:
        best: What earlier documents gave, padded to the k ranks wanted.
        scores: (block of documents, queries).
        first: Number of the block's first document.
    """
    queries, k = best.documents.shape
    floor = np.full(queries, -np.inf, np.float32)
    if first >= k:  # a later document must beat the k-th
        floor = np.nextafter(best.scores[:, -1], np.float32(np.inf))
    elif len(scores) > _SPARE * k:
        floor = _floor(scores, k)
    passed = ~(scores < floor)  # so that a NaN passes, for `ranked` to refuse
    if np.count_nonzero(passed) > _SPARE * k * queries:
        passed = ~(scores < np.maximum(floor, _floor(scores, k)))
    places = np.flatnonzero(passed)
    columns, rows = np.divmod(places, queries)
    order = np.argsort(rows.astype(np.uint16), kind="stable")
    rows = rows[order]
    ends = np.searchsorted(rows, np.arange(queries + 1))
    beside = k + np.arange(len(rows)) - ends[rows]
    documents = np.full((queries, k + int(np.diff(ends).max())), -1, np.int32)
    values = np.empty(documents.shape, np.float32)
    documents[:, :k], values[:, :k] = best.documents, best.scores
    documents[rows, beside] = columns[order] + first
    values[rows, beside] = scores.ravel()[places[order]]
    return ranked(documents, values, k)


def _floor(scores: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """A score that the k-th largest of each column is not below: (queries,).

    Of k groups of documents each has one that scores at least the k-th largest of the groups'
    maxima.
    """
    count, queries = scores.shape
    size = max(count // (_SPARE * k), 1)
    groups = count // size
    maxima = scores[: size * groups].reshape(size, groups, queries).max(axis=0)
    floor: NDArray[np.float32] = np.partition(maxima, groups - k, axis=0)[groups - k]
    return floor
