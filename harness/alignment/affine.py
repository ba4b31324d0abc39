"""The one form that all transforms of embeddings come down to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK = 16_384  # rows held in float64 at a time


@dataclass(frozen=True)
class Affine:
    """h ↦ P(h - mean) + shift, where P removes a subspace or keeps nothing else.

    Attributes:
        mean: (d,), or None for 0.
        basis: Orthonormal rows (r, d) that span the subspace, or None: P leaves all as it is.
        keep: Whether P keeps the subspace, BᵀB, or removes it, I - BᵀB.
        shift: (d,), or None for 0.
    """

    mean: NDArray[np.floating] | None = None
    basis: NDArray[np.floating] | None = None
    keep: bool = False
    shift: NDArray[np.floating] | None = None

    def apply(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embeddings (n, d) transformed: float32 (n, d); the argument itself where nothing is done.

        The argument is not changed.
        """
        if self.mean is None and self.basis is None and self.shift is None:
            return vectors
        basis = None if self.basis is None else self.basis.astype(np.float64)
        transformed = np.empty(vectors.shape, np.float32)
        for start in range(0, len(vectors), _BLOCK):
            block = vectors[start : start + _BLOCK].astype(np.float64)
            if self.mean is not None:
                block -= self.mean
            if basis is not None:
                inside = (block @ basis.T) @ basis
                block = inside if self.keep else block - inside
            if self.shift is not None:
                block += self.shift
            transformed[start : start + _BLOCK] = block
        return transformed

    @property
    def flops_per_text(self) -> float:
        """4·r·d: into the subspace and back. Sums count as nothing, as everywhere."""
        return 0.0 if self.basis is None else 4.0 * self.basis.size


IDENTITY = Affine()
