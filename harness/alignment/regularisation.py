"""The strength of a ridge head, chosen on the corpus alone, without queries or judgements.

Three closed forms judge every λ from one eigendecomposition of XᵀX: generalised cross-validation
and leave-one-out measure how well a document's token weights are predicted by the others.
Self-retrieval asks what an index asks: a few of a document's own words are the query, its weights
are predicted as if it had not been among the documents, and the rank that it gets among the others
is what counts. The squared errors call for more regularisation than retrieval does, because most of
Y cannot be predicted by anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.alignment.ridge_fit import RidgeSums, design

STRENGTHS = tuple(float(f"{value:.2g}") for value in np.logspace(-2, 2, 13))
CRITERIA = ("self_retrieval", "loo", "gcv")

_SAMPLE = 2048  # documents that stand for the corpus
_QUERY_TERMS = 8


@dataclass(frozen=True)
class Losses:
    """What each λ costs by a criterion, and what that was computed from.

    Attributes:
        strengths: The λ, ascending.
        values: float64 (strengths,).
        sample: Documents that were judged; 0 for `gcv`, which needs none.
        sample_nonzeros: Non-zero entries of their targets.
        query_nonzeros: Words of their queries; 0 but for `self_retrieval`.
    """

    strengths: tuple[float, ...]
    values: NDArray[np.float64]
    sample: int = 0
    sample_nonzeros: int = 0
    query_nonzeros: int = 0

    @property
    def best(self) -> float:
        """The λ that costs least; of equal ones the largest."""
        return self.strengths[len(self.values) - 1 - int(np.argmin(self.values[::-1]))]


def regularisation_losses(
    sums: RidgeSums,
    embeddings: NDArray[np.float32],
    targets: sparse.csr_array,
    *,
    criterion: str,
    seed: int,
    strengths: Sequence[float] = STRENGTHS,
) -> Losses:
    """Judge several λ.

    Args:
        sums: Of all documents.
        embeddings: float32 (n, d), as they enter X.
        targets: Y, CSR (n, V).
        criterion: `gcv`, `loo` or `self_retrieval`.
        seed: Of the sample, and of the words that make queries.
        strengths: The λ that are tried, ascending.
    """
    tried = tuple(strengths)
    if criterion == "gcv":
        return Losses(tried, np.array([_gcv(sums, strength) for strength in tried]))
    rng = np.random.default_rng(seed)
    rows = np.arange(len(embeddings))
    if len(rows) > _SAMPLE:
        rows = np.sort(rng.choice(rows, _SAMPLE, replace=False))
    own = targets[rows]
    sample = _Sample(sums, embeddings[rows], own)
    if criterion == "loo":
        values = np.array([sample.error(strength) for strength in tried])
        return Losses(tried, values, len(rows), int(own.nnz))
    queries = own_words(own, _QUERY_TERMS, rng)
    values = np.array([-sample.self_retrieval(strength, queries) for strength in tried])
    return Losses(tried, values, len(rows), int(own.nnz), int(queries.nnz))


def own_words(targets: sparse.csr_array, count: int, rng: np.random.Generator) -> sparse.csr_array:
    """A few of each document's weighted tokens, drawn without replacement, as ones: CSR (n, V)."""
    rows = np.repeat(np.arange(targets.shape[0]), np.diff(targets.indptr))
    order = np.lexsort((rng.random(len(rows)), rows))
    place = np.arange(len(rows)) - targets.indptr[rows]
    kept = order[place < count]  # rows are in order, so places count within them
    ones = np.ones(len(kept), np.float32)
    return sparse.csr_array((ones, (rows[kept], targets.indices[kept])), shape=targets.shape)


class _Sample:
    """Documents of a fit in its eigenbasis, where every λ is a division."""

    def __init__(
        self, sums: RidgeSums, embeddings: NDArray[np.float32], targets: sparse.csr_array
    ) -> None:
        self._values, vectors = sums.spectrum
        self._targets = targets
        self._moments = sums.moments @ vectors  # (V, d + 1)
        self._covariance = self._moments.T @ self._moments
        self._places = design(embeddings) @ vectors
        exact = targets.astype(np.float64)  # what is left of a row that is fitted closely is small
        self._energies = np.asarray(exact.multiply(exact).sum(axis=1))
        self._reads = np.asarray(targets @ self._moments, np.float64)  # y_i · moments

    def _predicted(
        self, strength: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Leverages, y·ŷ, ŷ·ŷ and the scaled places of each document; ŷ_i = moments · scaled_i."""
        scaled = self._places / (self._values + strength)
        leverage = np.minimum((self._places * scaled).sum(axis=1), 1 - 1e-9)
        agreement = (self._reads * scaled).sum(axis=1)
        norms = ((scaled @ self._covariance) * scaled).sum(axis=1)
        return leverage, agreement, np.maximum(norms, 0.0), scaled

    def error(self, strength: float) -> float:
        """Mean squared error of each document's weights, predicted without it."""
        leverage, agreement, norms, _ = self._predicted(strength)
        errors = (self._energies - 2 * agreement + norms) / (1 - leverage) ** 2
        return float(errors.mean())

    def self_retrieval(self, strength: float, queries: sparse.csr_array) -> float:
        """Mean 1/log2(1 + rank) of the document that a query's words were drawn from.

        It is scored as predicted without itself, ŷ⁻ = (ŷ − l·y)/(1 − l) with its leverage l, the
        others as they are; all by L2-normalised weights.

        Args:
            strength: λ.
            queries: Query weights, CSR (sample, V), row i of document i.
        """
        leverage, agreement, norms, scaled = self._predicted(strength)
        scores = np.asarray(queries @ self._moments) @ scaled.T
        own_words = np.asarray(queries.multiply(self._targets).sum(axis=1), np.float64)
        without = (np.diag(scores) - leverage * own_words) / (1 - leverage)
        left_out = norms - 2 * leverage * agreement + leverage**2 * self._energies
        without /= np.sqrt(np.maximum(left_out, 1e-24)) / (1 - leverage)
        scores /= np.sqrt(np.maximum(norms, 1e-24))[None, :]
        np.fill_diagonal(scores, -np.inf)
        ranks = 1 + (scores >= without[:, None]).sum(axis=1)
        asked = np.diff(queries.indptr) > 0
        return float((1 / np.log2(1 + ranks[asked])).mean()) if asked.any() else 0.0


def _gcv(sums: RidgeSums, strength: float) -> float:
    """Generalised cross-validation: the residual over the squared share of free dimensions."""
    values, vectors = sums.spectrum
    energies = np.square(sums.moments @ vectors).sum(axis=0)
    residual = sums.energy - (energies * (values + 2 * strength) / (values + strength) ** 2).sum()
    free = 1 - (values / (values + strength)).sum() / sums.documents
    return float(residual / sums.documents / max(free, 1e-9) ** 2)
