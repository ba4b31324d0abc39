"""nDCG of rankings as arrays, for many rankings of the same queries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.retrieval.ranking import Ranking


class Ndcg:
    """nDCG@k as trec_eval computes it: the grade itself is the gain."""

    def __init__(self, grades: sparse.csr_array, k: int) -> None:
        """Prepare for rankings of the same queries.

        Args:
            grades: CSR (queries, documents).
            k: The depth.
        """
        self._discounts = 1 / np.log2(np.arange(2, k + 2))
        self._k = k
        self._width = grades.shape[1]
        sorted_grades = sparse.csr_array(grades, dtype=np.float64, copy=True)
        sorted_grades.sort_indices()
        owners = np.repeat(np.arange(grades.shape[0]), np.diff(sorted_grades.indptr))
        gains = np.maximum(sorted_grades.data, 0)
        self._keys = owners * self._width + sorted_grades.indices
        self._gains = gains
        order = np.lexsort((-gains, owners))
        place = np.arange(len(gains)) - sorted_grades.indptr[owners]
        counted = place < k
        self._ideal = np.bincount(
            owners[counted],
            gains[order][counted] * self._discounts[place[counted]],
            minlength=grades.shape[0],
        )

    def of(self, ranking: Ranking) -> NDArray[np.float64]:
        """Of every query, float64 (queries,); 0 for a query without relevant documents.

        Args:
            ranking: Of the queries, at least min(k, documents) deep.
        """
        documents = ranking.documents[:, : self._k]
        found = np.zeros(documents.shape)
        rows, ranks = np.nonzero(documents >= 0)
        wanted = rows * self._width + documents[rows, ranks]
        if len(self._keys):
            places = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
            found[rows, ranks] = np.where(self._keys[places] == wanted, self._gains[places], 0.0)
        scores: NDArray[np.float64] = found @ self._discounts[: documents.shape[1]]
        return scores / np.where(self._ideal > 0, self._ideal, 1)
