"""Fusion of rankings into one, over the documents that any of them found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.retrieval.ranking import Ranking, ranked


def fuse(
    rankings: Sequence[Ranking],
    *,
    fusion: str,
    weights: Sequence[float],
    top_k: int,
    rrf_k: float = 60.0,
    descending_ties: bool = False,
) -> Ranking:
    """Add up the modes' rescaled scores; a document that a mode did not find gets 0 from it.

    Args:
        rankings: One a mode, of the same queries, cut at the depth of fusion.
        fusion: `minmax`: (s − min) / (max − min) within the query (PromptReps), 1 where all are
            equal; `zscore`: (s − mean) / standard deviation, 0 where all are equal; `rrf`:
            1 / (rrf_k + rank).
        weights: One a mode; they are divided by their sum.
        top_k: Ranks to keep.
        rrf_k: The constant of `rrf`.
        descending_ties: See `ranked`.
    """
    total = float(sum(weights))
    documents = np.hstack([ranking.documents for ranking in rankings])
    scores = np.hstack(
        [
            _rescaled(ranking, fusion, rrf_k) * (weight / total)
            for ranking, weight in zip(rankings, weights, strict=True)
        ]
    )
    return ranked(*_summed(documents, scores), top_k, descending_ties=descending_ties)


def _rescaled(ranking: Ranking, fusion: str, rrf_k: float) -> NDArray[np.float64]:
    """Scores of one mode on a common scale, float64 (q, k); 0 where nothing was found."""
    found = ranking.documents >= 0
    if fusion == "rrf":
        ranks = np.arange(1, ranking.documents.shape[1] + 1)
        return np.where(found, 1.0 / (rrf_k + ranks), 0.0)
    scores = np.where(found, ranking.scores.astype(np.float64), 0.0)
    counts = np.maximum(found.sum(axis=1, keepdims=True), 1)
    if fusion == "minmax":
        lowest = np.where(found, scores, np.inf).min(axis=1, keepdims=True, initial=np.inf)
        highest = np.where(found, scores, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
        spread = highest - lowest
        with np.errstate(invalid="ignore"):
            scaled = np.where(spread > 0, (scores - lowest) / np.where(spread > 0, spread, 1), 1.0)
        return np.where(found, scaled, 0.0)
    mean = scores.sum(axis=1, keepdims=True) / counts
    centred = np.where(found, scores - mean, 0.0)
    deviation = np.sqrt((centred**2).sum(axis=1, keepdims=True) / counts)
    return centred / np.where(deviation > 0, deviation, 1.0)


def _summed(
    documents: NDArray[np.int32], scores: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Each document once a query with the sum of its scores, in float64 until the end."""
    order = np.argsort(documents, axis=1, kind="stable")
    documents = np.take_along_axis(documents, order, axis=1)
    sums = np.take_along_axis(scores, order, axis=1)
    first = np.ones(documents.shape, np.bool_)
    first[:, 1:] = documents[:, 1:] != documents[:, :-1]
    starts = np.flatnonzero(first.ravel())
    if len(starts):
        totals = np.add.reduceat(sums.ravel(), starts)
        sums = np.zeros(documents.size)
        sums[starts] = totals
        sums = sums.reshape(documents.shape)
    return np.where(first, documents, -1).astype(np.int32), sums.astype(np.float32)
