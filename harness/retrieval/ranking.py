"""Rankings as two arrays, their order under ties, and their TREC form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadInputError

Run = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Ranking:
    """The best documents of each query.

    Attributes:
        documents: int32 (queries, k), rows of the corpus by descending score, equal scores by
            ascending row; -1 pads where fewer documents were found. The corpus is ordered by
            document id, so a row's number is its id's rank and ties break by document id.
        scores: float32 (queries, k); -inf where the document is -1.
    """

    documents: NDArray[np.int32]
    scores: NDArray[np.float32]

    @classmethod
    def empty(cls, queries: int, k: int) -> Ranking:
        """Nothing found."""
        return cls(np.full((queries, k), -1, np.int32), np.full((queries, k), -np.inf, np.float32))

    def top(self, k: int) -> Ranking:
        """The first k ranks."""
        return Ranking(self.documents[:, :k], self.scores[:, :k])


def ranked(
    documents: NDArray[np.int32],
    scores: NDArray[np.float32],
    k: int,
    *,
    descending_ties: bool = False,
) -> Ranking:
    """Order candidates and keep the best k.

    Args:
        documents: int32 (queries, candidates), distinct within a query; -1 is no candidate.
        scores: float32 (queries, candidates).
        k: Ranks to keep.
        descending_ties: Whether equal scores stand by descending row, as in `rank_candidates`.

    Raises:
        BadInputError: If a score is NaN.
    """
    scores = np.where(documents < 0, -np.inf, scores).astype(np.float32)
    if np.isnan(scores).any():
        raise BadInputError(
            "a query's score of a document is NaN; use backend.dtype=float32 or check the weights"
        )
    rows = _mirrored(documents) if descending_ties else documents
    rows, scores = _unpacked(np.sort(_packed(rows, scores), axis=1)[:, :k])
    documents = _mirrored(rows) if descending_ties else rows
    if documents.shape[1] < k:
        missing = ((0, 0), (0, k - documents.shape[1]))
        documents = np.pad(documents, missing, constant_values=-1)
        scores = np.pad(scores, missing, constant_values=-np.inf)
    return Ranking(documents, scores)


def _mirrored(documents: NDArray[np.int32]) -> NDArray[np.int32]:
    """Rows that sort the other way round, its own inverse; -1 stays the last as unsigned."""
    return (2**31 - 1 - documents.astype(np.int64)).astype(np.int32)


def _packed(documents: NDArray[np.int32], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Integers that ascend as scores descend, then as documents ascend; -1 comes last.

    One sort of integers is many times faster than sorting by two keys.
    """
    bits = (scores + np.float32(0)).view(np.int32)  # -0 becomes 0
    ascending = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    rows = documents.astype(np.int32).view(np.uint32)
    return (~ascending).astype(np.int64) << 32 | rows


def _unpacked(keys: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Documents and scores from `_packed`."""
    documents = (keys & 0xFFFFFFFF).astype(np.uint32).view(np.int32)
    ascending = ~(keys >> 32).astype(np.int32)
    bits = np.where(ascending < 0, ascending ^ 0x7FFFFFFF, ascending)
    return documents, bits.view(np.float32)


def best_of(
    documents: NDArray[np.int32], scores: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The best k of one query's candidates, padded as in `Ranking`: (k,) and (k,)."""
    if len(scores) > k:
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        kept = ~(scores < threshold)  # all of a tie at the k-th place, and NaN, for `ranked`
        documents, scores = documents[kept], scores[kept]
    best = ranked(documents[None], scores[None], k)
    return best.documents[0], best.scores[0]


def without_ties(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Strictly descending scores: each tie is lowered by the smallest float32 step.

    Evaluation tools break ties in ways of their own, and score one run differently. A ranking that
    has no ties is scored alike by all of them; float32, because trec_eval reads scores as such.

    Args:
        scores: float32 (queries, k), descending.
    """
    result = scores.copy()
    for rank in range(1, result.shape[1]):
        ceiling = np.nextafter(result[:, rank - 1], np.float32(-np.inf))
        result[:, rank] = np.minimum(result[:, rank], ceiling)
    return result


def to_run(ranking: Ranking, query_ids: Sequence[str], document_ids: Sequence[str]) -> Run:
    """The ranking as query id → document id → score, without ties."""
    scores = without_ties(ranking.scores)
    run: Run = {}
    for query, query_id in enumerate(query_ids):
        found = ranking.documents[query] >= 0
        rows = ranking.documents[query][found].tolist()
        values = scores[query][found].tolist()
        run[query_id] = {document_ids[row]: value for row, value in zip(rows, values, strict=True)}
    return run
