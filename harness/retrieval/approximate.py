"""What approximate engines share: exact scores of what they find, and how much of all it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.embedding.ragged import Ragged
from harness.retrieval.ranking import Ranking, ranked

RECALL_DEPTH = 100  # ranks of the exact ranking that an approximate one is measured by


def rescored(
    documents: NDArray[np.int64], score: Callable[[Ragged], NDArray[np.float32]]
) -> Ranking:
    """The documents that an engine found, by their exact scores.

    Args:
        documents: int64 (queries, k), distinct rows of the corpus in any order; -1 is none.
        score: The exact scores of each query's documents, one after another.
    """
    found = documents >= 0
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(found.sum(axis=1))])
    scores = np.zeros(documents.shape, np.float32)
    scores[found] = score(Ragged(documents[found].astype(np.int32), offsets))
    return ranked(documents.astype(np.int32), scores, documents.shape[1])


def recall(found: Ranking, exact: Ranking) -> float:
    """The share of each query's documents in `exact` that `found` has, mean over the queries.

    A query for which there is nothing to find misses nothing: 1.
    """
    queries = np.arange(len(exact.documents), dtype=np.int64)[:, None] << 32
    wanted = exact.documents >= 0
    had = wanted & np.isin(exact.documents + queries, found.documents + queries)
    counts = wanted.sum(axis=1)
    return float(np.where(counts, had.sum(axis=1) / np.maximum(counts, 1), 1.0).mean())
