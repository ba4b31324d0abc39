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
import torch
from numpy.typing import NDArray
from scipy import sparse

from harness.alignment.ridge_fit import RidgeSums, design, product

STRENGTHS = tuple(float(f"{value:.2g}") for value in np.logspace(-2, 2, 13))
CRITERIA = ("self_retrieval", "loo", "gcv")

_SAMPLE = 2048  # documents that stand for the corpus
_QUERY_TERMS = 8
_PAIRS = 4096  # whose products are computed again at a time


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
        return Losses(tried, _gcv(sums, tried))
    rng = np.random.default_rng(seed)
    rows = np.arange(len(embeddings))
    if len(rows) > _SAMPLE:
        rows = np.sort(rng.choice(rows, _SAMPLE, replace=False))
    own = targets[rows]
    sample = _Sample(sums, embeddings[rows], own)
    if criterion == "loo":
        return Losses(tried, sample.errors(tried), len(rows), int(own.nnz))
    queries = own_words(own, _QUERY_TERMS, rng)
    values = -sample.self_retrieval(tried, queries)
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
        self._values, self._vectors = sums.spectrum
        self._moments = sums.moments
        self._targets = targets
        self._covariance = _turned_covariance(sums)
        self._places = product(design(embeddings), self._vectors)
        exact = targets.astype(np.float64)  # what is left of a row that is fitted closely is small
        self._energies = np.asarray(exact.multiply(exact).sum(axis=1))
        self._reads = self._read(targets)

    def _read(self, rows: sparse.csr_array) -> NDArray[np.float64]:
        """Rows over the V terms times the moments, in the eigenbasis: (rows, d + 1)."""
        return product(np.asarray(rows @ self._moments, np.float64), self._vectors)

    def _predicted(
        self, strength: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Leverages, y·ŷ, ŷ·ŷ and the scaled places of each document; ŷ_i = moments · scaled_i."""
        scaled = self._places / (self._values + strength)
        leverage = np.minimum((self._places * scaled).sum(axis=1), 1 - 1e-9)
        agreement = (self._reads * scaled).sum(axis=1)
        norms = (product(scaled, self._covariance) * scaled).sum(axis=1)
        return leverage, agreement, np.maximum(norms, 0.0), scaled

    def errors(self, strengths: Sequence[float]) -> NDArray[np.float64]:
        """Mean squared error of each document's weights, predicted without it, for each λ."""
        found = []
        for strength in strengths:
            leverage, agreement, norms, _ = self._predicted(strength)
            errors = (self._energies - 2 * agreement + norms) / (1 - leverage) ** 2
            found.append(errors.mean())
        return np.array(found)

    def self_retrieval(
        self, strengths: Sequence[float], queries: sparse.csr_array
    ) -> NDArray[np.float64]:
        """Mean 1/log2(1 + rank) of the document that a query's words were drawn from, for each λ.

        It is scored as predicted without itself, ŷ⁻ = (ŷ − l·y)/(1 − l) with its leverage l, the
        others as they are; all by L2-normalised weights.

        Args:
            strengths: The λ.
            queries: Query weights, CSR (sample, V), row i of document i.
        """
        reads = self._read(queries)
        own_words = np.asarray(queries.multiply(self._targets).sum(axis=1), np.float64)
        asked = np.diff(queries.indptr) > 0
        found = np.zeros(len(strengths))
        if not asked.any():
            return found
        for place, strength in enumerate(strengths):
            leverage, agreement, norms, scaled = self._predicted(strength)
            own = (reads * scaled).sum(axis=1)
            without = (own - leverage * own_words) / (1 - leverage)
            left_out = norms - 2 * leverage * agreement + leverage**2 * self._energies
            without /= np.sqrt(np.maximum(left_out, 1e-24)) / (1 - leverage)
            scaled /= np.sqrt(np.maximum(norms, 1e-24))[:, None]
            ranks = 1 + _others_above(reads, scaled, without)
            found[place] = (1 / np.log2(1 + ranks[asked])).mean()
        return found


def _others_above(
    left: NDArray[np.float64], right: NDArray[np.float64], bars: NDArray[np.float64]
) -> NDArray[np.int64]:
    """With how many rows of the right but its own a left row's product is not below its bar: (m,).

    Exact: what float32 leaves open is computed again.

    Args:
        left: (m, d).
        right: (m, d).
        bars: (m,).
    """
    single = [torch.from_numpy(rows.astype(np.float32)) for rows in (left, right)]
    scores = (single[0] @ single[1].T).numpy()
    # Rounding of d + 2 factors and sums, and of the bars: at most so much of all terms' sizes.
    terms = np.abs(left) @ np.abs(right).max(axis=0) + np.abs(bars)
    margin = 2 * (left.shape[1] + 4) * np.finfo(np.float32).eps * terms
    np.fill_diagonal(scores, -np.inf)
    above = scores > (bars + margin).astype(np.float32)[:, None]
    counts: NDArray[np.int64] = np.count_nonzero(above, axis=1)
    near = np.flatnonzero((scores >= (bars - margin).astype(np.float32)[:, None]) != above)
    rows, columns = np.divmod(near, len(right))
    for start in range(0, len(near), _PAIRS):
        row, column = rows[start : start + _PAIRS], columns[start : start + _PAIRS]
        exact = (left[row] * right[column]).sum(axis=1)
        counts += np.bincount(row[exact >= bars[row]], minlength=len(left))
    return counts


def _gcv(sums: RidgeSums, strengths: Sequence[float]) -> NDArray[np.float64]:
    """Generalised cross-validation: the residual over the squared share of free dimensions."""
    values, _ = sums.spectrum
    energies = np.diag(_turned_covariance(sums))
    found = []
    for strength in strengths:
        shares = (values + 2 * strength) / (values + strength) ** 2
        residual = sums.energy - (energies * shares).sum()
        free = 1 - (values / (values + strength)).sum() / sums.documents
        found.append(residual / sums.documents / max(free, 1e-9) ** 2)
    return np.array(found)


def _turned_covariance(sums: RidgeSums) -> NDArray[np.float64]:
    """momentsᵀ · moments in the eigenbasis of XᵀX: (d + 1, d + 1)."""
    _, vectors = sums.spectrum
    covariance = product(sums.moments.T, sums.moments)
    return product(vectors.T, product(covariance, vectors))
