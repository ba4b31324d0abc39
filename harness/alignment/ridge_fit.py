"""Ridge regression from embeddings to token weights, from sums over documents (paper section 7).

W = (XᵀX + λI)⁻¹ XᵀY. The sums XᵀX and XᵀY are all that is kept of the documents, so shards are
summed apart and added; Y stays sparse; everything is summed and solved in float64. Dense products
are torch's: NumPy's threads would fight the model's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from harness.errors import BadInputError

_BLOCK = 8192


@dataclass(frozen=True)
class RidgeSums:
    """What a ridge regression needs of n documents; sums of shards are added with `+`.

    Attributes:
        gram: XᵀX, float64 (d + 1, d + 1), the constant column last.
        moments: YᵀX, float64 (V, d + 1).
        energy: The sum of all squared entries of Y.
        documents: n.
        nonzeros: Non-zero entries of Y.
    """

    gram: NDArray[np.float64]
    moments: NDArray[np.float64]
    energy: float
    documents: int
    nonzeros: int

    @classmethod
    def of(cls, embeddings: NDArray[np.float32], targets: sparse.csr_array) -> RidgeSums:
        """Sum over documents.

        Args:
            embeddings: float32 (n, d), as they enter X.
            targets: Y, sparse (n, V).
        """
        return cls.of_parts([(embeddings, targets)], embeddings.shape[1], targets.shape[1])

    @classmethod
    def of_parts(
        cls,
        parts: Iterable[tuple[NDArray[np.float32], sparse.csr_array]],
        width: int,
        vocabulary: int,
    ) -> RidgeSums:
        """Sum over documents that come in parts; see `of`.

        Args:
            parts: Embeddings (n, d) and targets (n, V). Where all parts but the last have a
                multiple of 8192 rows, sums are those of all documents at once, bit for bit.
            width: d.
            vocabulary: V.
        """
        gram = np.zeros((width + 1, width + 1))
        moments = np.zeros((vocabulary, width + 1))
        energy, documents, nonzeros = 0.0, 0, 0
        for embeddings, targets in parts:
            for start in range(0, len(embeddings), _BLOCK):
                x = design(embeddings[start : start + _BLOCK])
                gram += product(x.T, x)
                # By rows of Yᵀ: each is summed up where it lies, not all of them one by one.
                moments += targets[start : start + _BLOCK].T.tocsr() @ x
            energy += float(np.square(targets.data, dtype=np.float64).sum())
            documents += len(embeddings)
            nonzeros += int(targets.nnz)
        return cls(gram, moments, energy, documents, nonzeros)

    def __add__(self, other: RidgeSums) -> RidgeSums:
        """The sums over both sets of documents."""
        return RidgeSums(
            self.gram + other.gram,
            self.moments + other.moments,
            self.energy + other.energy,
            self.documents + other.documents,
            self.nonzeros + other.nonzeros,
        )

    def weights(self, regularisation: float) -> NDArray[np.float32]:
        """W: float32 (d + 1, V); the last row belongs to the constant column.

        Args:
            regularisation: λ > 0.

        Raises:
            BadInputError: If λ is too small for a solution in float64.
        """
        gram = torch.from_numpy(self.gram).clone()
        gram.diagonal().add_(regularisation)
        factor, failed = torch.linalg.cholesky_ex(gram)
        if failed:
            raise BadInputError(
                f"head.regularisation={regularisation:g} is too small for these embeddings; "
                "raise it"
            )
        solved = torch.cholesky_solve(torch.from_numpy(self.moments).T, factor).numpy()
        # In the layout of a fit that is read back: a product's last bits depend on it.
        return solved.astype(np.float32, order="C")

    @cached_property
    def spectrum(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Eigenvalues of XᵀX, float64 (d + 1,), at least 0, and its eigenvectors as columns."""
        values, vectors = torch.linalg.eigh(torch.from_numpy(self.gram))
        return np.maximum(values.numpy(), 0.0), vectors.numpy()


def design(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """X: the embeddings and a constant column, float64 (n, d + 1)."""
    return np.hstack([embeddings.astype(np.float64), np.ones((len(embeddings), 1))])


def product(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix product, by torch."""
    return (torch.from_numpy(left) @ torch.from_numpy(right)).numpy()
