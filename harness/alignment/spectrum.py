"""The principal directions of embeddings, and what the first of them does (paper section 4).

Directions are right singular vectors of the matrix whose rows are embeddings, which is not centred
unless a mean is given: the first one then is close to the direction of the mean embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from harness.errors import BadInputError

Blocks = Callable[[], Iterable[NDArray[np.float32]]]
"""Gives an iterator over the rows of a matrix, as arrays (b, d), each time that it is called."""

_BLOCK = 8192  # rows held in float64 at a time
_BLOCK_BYTES = 64 << 20  # of a matrix' gathered rows
_EXACT_WORK = 4e12  # n·d², multiply-adds of a few minutes
_FEW = 4  # rows this many times fewer than columns are held, and decomposed themselves
_PASSES = 40
_TOLERANCE = 1e-6
_SMALL = 1e-8  # of the largest: below, rounding decides
_NOUGHT = 1e-6


@dataclass(frozen=True)
class Spectrum:
    """The leading right singular vectors of a matrix (n, d), best first.

    Attributes:
        values: float64 (r,), singular values, descending.
        directions: float32 (r, d), orthonormal rows. The mean of h·u_j over the rows h, before any
            mean is subtracted, is not negative; where it is 0, u_j's largest entry is positive.
        texts: n.
    """

    values: NDArray[np.float64]
    directions: NDArray[np.float32]
    texts: int


def blocks_of(vectors: NDArray[np.float32], size: int = _BLOCK) -> Blocks:
    """The rows of an array, `size` at a time."""
    return lambda: (vectors[start : start + size] for start in range(0, len(vectors), size))


def mean_of(blocks: Blocks) -> tuple[NDArray[np.float64], int]:
    """The mean row, float64 (d,), and the number of rows.

    Raises:
        BadInputError: If there is no row, or one holds NaN or infinity.
    """
    total: NDArray[np.float64] | None = None
    count = 0
    for block in blocks():
        part = block.sum(axis=0, dtype=np.float64)
        total = part if total is None else total + part
        count += len(block)
    if total is None or not count:
        raise BadInputError(
            "no text was given, so there is no principal direction; give at least one"
        )
    if not np.isfinite(total).all():
        raise BadInputError(
            "vectors with NaN or infinity have no principal directions; check the weights, or use "
            "backend.dtype=float32"
        )
    return total / count, count


def leading_directions(
    blocks: Blocks,
    count: int,
    *,
    seed: int,
    mean: NDArray[np.float64] | None = None,
    exact: bool | None = None,
) -> Spectrum:
    """The leading right singular vectors of a matrix that is read in blocks and never held.

    The exact way reads it once into XᵀX, in float64. Squaring costs half of the digits: singular
    values below 1e-7 of the largest one are rounding, which in float32 they are anyway. The
    randomised way (Halko, Martinsson & Tropp 2011, algorithm 4.4) multiplies a random basis with
    XᵀX, a pass each time, until every direction is one to 1e-6 of its squared singular value, or
    40 times. Where the spectrum is flat that is not enough: the values are then right to about 1 %,
    and directions of almost equal values are mixed.

    Args:
        blocks: The matrix.
        count: Directions wanted; there are at most min(n, d).
        seed: Of the random basis.
        mean: When given, float64 (d,), subtracted from every row.
        exact: Which way; when absent, the exact one unless n·d² is above 4·10¹².

    Raises:
        BadInputError: If there is no row, or one holds NaN or infinity.
    """
    centre, texts = mean_of(blocks)
    width = len(centre)
    count = min(count, texts, width)
    shift = np.zeros(width) if mean is None else mean
    if exact is None:
        exact = texts * width**2 <= _EXACT_WORK or 2 * count >= width
    if exact:
        squares, directions = _exact(blocks, texts, count, shift)
    else:
        squares, directions = _randomised(blocks, count, shift, seed)
    values = np.sqrt(np.maximum(squares, 0.0))
    along = directions @ centre
    nought = np.abs(along) <= _NOUGHT * values / np.sqrt(texts)
    largest = directions[np.arange(count), np.abs(directions).argmax(axis=1)]
    signs = np.where(np.where(nought, largest, along) < 0, -1.0, 1.0)
    return Spectrum(values, (signs[:, None] * directions).astype(np.float32), texts)


def variation(
    embedder: NDArray[np.float32], backbone: NDArray[np.float32], directions: NDArray[np.float32]
) -> NDArray[np.float64]:
    """How far training moved the texts along each direction: v_j, the mean of (ĥ - h)·u_j.

    Args:
        embedder: ĥ, float32 (n, d).
        backbone: h of the same texts, float32 (n, d).
        directions: float32 (r, d).

    Returns:
        float64 (r,).
    """
    if embedder.shape != backbone.shape:
        raise ValueError(f"embeddings {embedder.shape} and {backbone.shape} are not of one shape")
    moved = embedder.mean(axis=0, dtype=np.float64) - backbone.mean(axis=0, dtype=np.float64)
    result: NDArray[np.float64] = directions.astype(np.float64) @ moved
    return result


def split(
    embeddings: NDArray[np.float32], direction: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What lies along u_1 and the rest: h = (h·u_1)u_1 + rest, both float32 (n, d)."""
    first = np.outer(embeddings @ direction, direction).astype(np.float32)
    return first, embeddings - first


def contributions(
    embeddings: NDArray[np.float32],
    direction: NDArray[np.float32],
    matrix: NDArray[np.float32],
    tokens: NDArray[np.int32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What u_1 and the rest each add to the logits of some tokens; a bias is in neither.

    Args:
        embeddings: float32 (n, d), as the head multiplies them.
        direction: u_1, float32 (d,).
        matrix: The head's, float32 (V, d).
        tokens: Ids, int32 (n, k), such as the aligned tokens; -1 stands for none.

    Returns:
        Two of float32 (n, k) whose sum is the logits; 0 where there is no token.
    """
    count, k = tokens.shape
    along = np.zeros((count, k), np.float32)
    across = np.zeros((count, k), np.float32)
    size = max(_BLOCK_BYTES // max(8 * k * matrix.shape[1], 1), 1)
    for start in range(0, count, size):
        rows = slice(start, start + size)
        gathered = matrix[tokens[rows]].astype(np.float64)  # of -1 the last row, masked below
        for part, into in zip(split(embeddings[rows], direction), (along, across), strict=True):
            into[rows] = np.einsum("nkd,nd->nk", gathered, part)
    absent = tokens < 0
    along[absent] = across[absent] = 0.0
    return along, across


def adjust(
    embeddings: NDArray[np.float32], direction: NDArray[np.float32], weight: float
) -> NDArray[np.float32]:
    """H + λu_1, float32 (n, d), with the `weight` λ."""
    return embeddings + np.float32(weight) * direction


def _exact(
    blocks: Blocks, texts: int, count: int, shift: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Squared singular values (count,) and directions (count, d), descending."""
    width = len(shift)
    if texts * _FEW <= width:
        _, values, directions = np.linalg.svd(
            np.concatenate(list(_shifted(blocks, shift))), full_matrices=False
        )
        return values[:count] ** 2, directions[:count]
    gram = np.zeros((width, width))
    for block in _shifted(blocks, shift):
        gram += block.T @ block
    squares, vectors = scipy.linalg.eigh(
        gram, subset_by_index=[width - count, width - 1], overwrite_a=True, check_finite=False
    )
    return squares[::-1], vectors[:, ::-1].T


def _randomised(
    blocks: Blocks, count: int, shift: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Squared singular values (count,) and directions (count, d), descending."""
    width = len(shift)
    size = min(count + max(count, 10), width)
    product = np.random.default_rng(seed).standard_normal((width, size))
    for _ in range(_PASSES):
        basis = np.linalg.qr(product).Q
        product = np.zeros((width, size))
        for block in _shifted(blocks, shift):
            product += block.T @ (block @ basis)
        squares, turn = np.linalg.eigh(basis.T @ product)
        squares, turn = squares[: -count - 1 : -1], turn[:, : -count - 1 : -1]
        vectors = basis @ turn
        residuals = np.linalg.norm(product @ turn - vectors * squares, axis=0)
        if (residuals <= _TOLERANCE * np.maximum(squares, _SMALL * squares[0])).all():
            break
    return squares, vectors.T


def _shifted(blocks: Blocks, shift: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """The blocks in float64, less the mean."""
    for block in blocks():
        yield block.astype(np.float64) - shift
