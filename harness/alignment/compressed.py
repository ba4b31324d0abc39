"""A head's matrix at low rank, in int8, or both, and what is lost by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.alignment.aligned_tokens import aligned_tokens, logit_blocks
from harness.alignment.derived import DerivedHead
from harness.alignment.lexicon import Lexicon
from harness.alignment.spectrum import blocks_of, leading_directions
from harness.cost.flops import head_flops
from harness.errors import BadInputError

if TYPE_CHECKING:
    from harness.alignment.transforms import Transform
    from harness.config import CompressedHeadConfig
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.texts import Texts

_STEPS = 127
_BLOCK_BYTES = 64 << 20  # of the matrix in float64 at a time


@dataclass(frozen=True)
class CompressionLoss:
    """What compressing a head's matrix changes.

    Attributes:
        matrix_error: ‖E - Ê‖/‖E‖, Frobenius norms, of the matrix E and what stands for it.
        logit_error: The same of the logits of the embeddings, the bias included.
        kept: The share of the exact top k aligned tokens that are among the compressed head's.
        bytes_before: Of the matrix in float32.
        bytes_after: Of what stands for it: float32, or int8 and a float32 scale a row; the basis
            of a low rank is float32.
    """

    matrix_error: float
    logit_error: float
    kept: float
    bytes_before: int
    bytes_after: int


class CompressedHead(DerivedHead):
    """logits = (project(h)·V_r)·(E·V_r)ᵀ + bias.

    V_r (d, r) holds the leading right singular vectors of the other head's matrix E (V, d). With
    `int8` the entries of what is multiplied, E·V_r or E, are whole multiples of their row's scale.
    """

    def __init__(
        self,
        config: CompressedHeadConfig,
        *,
        encoder: TextEncoder,
        transform: Transform | None = None,
        other_corpus: Callable[[TextEncoder], Texts] | None = None,
    ) -> None:
        """See `DerivedHead`."""
        super().__init__(config, encoder=encoder, transform=transform, other_corpus=other_corpus)
        self.config = config
        self._kept: _Factors | None = None

    def fit(self, corpus: Texts) -> None:
        """Fit the other head.

        Raises:
            BadInputError: If its matrix has fewer singular vectors than `rank`.
        """
        self.of.fit(corpus)
        rank = self.config.rank
        if rank is not None and rank > min(self._exact().shape):
            raise BadInputError(
                f"head=compressed: rank={rank} is above the {min(self._exact().shape)} singular "
                "vectors of the matrix; give that or less"
            )

    @property
    def matrix(self) -> NDArray[np.float32]:
        """See `Head`: float32 (V, r), or (V, d)."""
        return self._factors().matrix

    @property
    def bias(self) -> NDArray[np.float32] | None:
        """See `Head`: the other head's."""
        return self.of.bias

    @property
    def vocabulary(self) -> int:
        """See `Head`."""
        return self.of.vocabulary

    @property
    def lexicon(self) -> Lexicon:
        """See `Head`: the other head's."""
        return self.of.lexicon

    @property
    def flops_per_text(self) -> float:
        """See `Head`: the other head's, of which 2·d·V become 2·d·r + 2·r·V."""
        size, width = self._exact().shape
        rank = self.config.rank
        whole = head_flops(width, size)
        own = whole if rank is None else head_flops(width, rank) + head_flops(rank, size)
        return self.of.flops_per_text - whole + own

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Head`: float32 (n, r), or (n, d)."""
        projected = self.of.project(embeddings)
        basis = self._factors().basis
        if basis is None:
            return projected
        product: NDArray[np.float32] = (
            torch.from_numpy(projected) @ torch.from_numpy(basis)
        ).numpy()
        return product

    def _exact(self) -> NDArray[np.float32]:
        matrix = self.of.matrix
        assert matrix is not None
        return matrix

    def _factors(self) -> _Factors:
        """What stands for the matrix; made anew where the other head has another one."""
        matrix = self._exact()
        source = matrix if matrix.base is None else matrix.base
        if self._kept is None or self._kept.source is not source:
            self._kept = _Factors.of(matrix, source, rank=self.config.rank, int8=self.config.int8)
        return self._kept


@dataclass(frozen=True)
class _Factors:
    """A matrix (V, d) as `matrix` times the transposed `basis`.

    Attributes:
        source: The object that owns the numbers of the exact matrix.
        matrix: float32 (V, r), or (V, d) without a basis.
        basis: float32 (d, r), orthonormal columns; None for the identity.
    """

    source: Any
    matrix: NDArray[np.float32]
    basis: NDArray[np.float32] | None

    @classmethod
    def of(
        cls, exact: NDArray[np.float32], source: Any, *, rank: int | None, int8: bool
    ) -> _Factors:
        matrix, basis = exact, None
        if rank is not None:
            blocks = blocks_of(exact, _rows_at_once(exact))
            found = leading_directions(blocks, rank, seed=0, exact=True).directions
            basis = np.ascontiguousarray(found.T)
            turn = basis.astype(np.float64)
            matrix = np.concatenate([(block @ turn).astype(np.float32) for block in blocks()])
        return cls(source, in_steps(matrix) if int8 else matrix, basis)


def in_steps(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row in whole multiples of its scale, which is its largest absolute value / 127.

    float32 (V, d); entries halfway between two multiples take the even one, rows of zeros stay.

    Raises:
        BadInputError: If an entry is NaN or infinite.
    """
    rounded = np.empty_like(matrix)
    size = _rows_at_once(matrix)
    for start in range(0, len(matrix), size):
        block = matrix[start : start + size]
        largest = np.abs(block).max(axis=1, keepdims=True)
        if not np.isfinite(largest).all():
            raise BadInputError(
                "head=compressed: int8=true cannot round a matrix with NaN or infinity; check the "
                "weights, or use backend.dtype=float32"
            )
        scale = largest / np.float32(_STEPS)
        ratio = np.divide(block, scale, out=np.zeros_like(block), where=scale > 0)
        steps = np.rint(ratio).clip(-_STEPS, _STEPS)  # a scale near float32's least is inexact
        rounded[start : start + size] = steps.astype(np.int8) * scale
    return rounded


def compression_loss(
    head: CompressedHead,
    embeddings: NDArray[np.float32],
    k: int = 10,
    *,
    allowed: NDArray[np.bool_] | None = None,
) -> CompressionLoss:
    """What a fitted compressed head changes against the exact one that it is made of.

    Args:
        head: Fitted.
        embeddings: As the head reads them, float32 (n, d), n > 0.
        k: Aligned tokens a text that are compared.
        allowed: Tokens that these may be, bool (V,); all but special ones when absent.
    """
    if not len(embeddings):
        raise ValueError("without embeddings there are no logits to compare")
    if allowed is None:
        allowed = head.lexicon.allowed(
            drop_special=True, drop_punctuation=False, drop_stopwords=False
        )
    exact, factors = head._exact(), head._factors()
    return CompressionLoss(
        matrix_error=_matrix_error(exact, factors),
        logit_error=_logit_error(head, embeddings),
        kept=_kept(head, embeddings, k, allowed),
        bytes_before=4 * exact.size,
        bytes_after=_bytes(factors, int8=head.config.int8),
    )


def _matrix_error(exact: NDArray[np.float32], factors: _Factors) -> float:
    turn = None if factors.basis is None else factors.basis.T.astype(np.float64)
    size = _rows_at_once(exact)
    lost = whole = 0.0
    for start in range(0, len(exact), size):
        block = exact[start : start + size].astype(np.float64)
        stand_in = factors.matrix[start : start + size].astype(np.float64)
        lost += float(np.square(block - (stand_in if turn is None else stand_in @ turn)).sum())
        whole += float(np.square(block).sum())
    return _relative(lost, whole)


def _logit_error(head: CompressedHead, embeddings: NDArray[np.float32]) -> float:
    rows = np.arange(len(embeddings))
    lost = whole = 0.0
    for (_, exact), (_, compressed) in zip(
        logit_blocks(head.of, embeddings, rows, "cpu"),
        logit_blocks(head, embeddings, rows, "cpu"),
        strict=True,
    ):
        lost += float((exact - compressed).double().square().sum())
        whole += float(exact.double().square().sum())
    return _relative(lost, whole)


def _kept(
    head: CompressedHead, embeddings: NDArray[np.float32], k: int, allowed: NDArray[np.bool_]
) -> float:
    exact = aligned_tokens(head.of, embeddings, k, allowed=allowed).ids
    compressed = aligned_tokens(head, embeddings, k, allowed=allowed).ids
    wanted = min(k, int(allowed.sum()))
    shared = [
        len(np.intersect1d(one[:wanted], other[:wanted]))
        for one, other in zip(exact, compressed, strict=True)
    ]
    return float(np.mean(shared)) / wanted


def _bytes(factors: _Factors, *, int8: bool) -> int:
    size, width = factors.matrix.shape
    basis = 0 if factors.basis is None else factors.basis.size
    return int(4 * basis + (size * width + 4 * size if int8 else 4 * size * width))


def _relative(lost: float, whole: float) -> float:
    """√(lost/whole) of sums of squares; 0 where nothing is lost of nothing."""
    return float(np.sqrt(lost / whole)) if whole else 0.0


def _rows_at_once(matrix: NDArray[np.float32]) -> int:
    width: int = matrix.shape[1]
    return max(_BLOCK_BYTES // (8 * width), 1)
