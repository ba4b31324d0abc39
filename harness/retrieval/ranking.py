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
        return cls(
            np.full((queries, k), -1, np.int32), np.full((queries, k), -np.inf, np.float32)
        )

    def top(self, k: int) -> Ranking:
        """The first k ranks."""
        return Ranking(self.documents[:, :k], self.scores[:, :k])


def ranked(documents: NDArray[np.int32], scores: NDArray[np.float32], k: int) -> Ranking:
    """Order candidates and keep the best k.

    Args:
        documents: int32 (queries, candidates), distinct within a query; -1 is no candidate.
        scores: float32 (queries, candidates).
        k: Ranks to keep.

    Raises:
        BadInputError: If a score is NaN.
    """
    scores = np.where(documents < 0, -np.inf, scores).astype(np.float32)
    if np.isnan(scores).any():
        query = int(np.argwhere(np.isnan(scores))[0, 0])
        raise BadInputError(f"query number {query} has a NaN score; check the embeddings")
    order = np.lexsort((documents, -scores), axis=1)[:, :k]
    documents = np.take_along_axis(documents, order, axis=1)
    scores = np.take_along_axis(scores, order, axis=1)
    if documents.shape[1] < k:
        missing = ((0, 0), (0, k - documents.shape[1]))
        documents = np.pad(documents, missing, constant_values=-1)
        scores = np.pad(scores, missing, constant_values=-np.inf)
    return Ranking(documents, scores)


def best_of(
    documents: NDArray[np.int32], scores: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The best k of one query's candidates, padded as in `Ranking`: (k,) and (k,)."""
    if len(scores) > k:
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        kept = scores >= threshold  # all of a tie at the k-th place; `ranked` cuts by id
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
