"""Aligned tokens: the ids with the largest logits of an embedding (paper section 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.alignment.equal_rows import EqualRows
from harness.alignment.top_k import largest, top_k
from harness.embedding.ragged import Ragged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scipy import sparse

    from harness.alignment.head import LogitReader
    from harness.embedding.mapped_rows import RowSource

_BLOCK_BYTES = 64 << 20  # of logits at a time: n×V is never held
_BLOCK_TEXTS = 1 << 12  # at most, since what is sorted of a text takes more than few logits do
_MANY_TEXTS = 1024  # from which on it pays to look for columns that can be left out
_NARROW = 0.9  # of the columns: if so many or fewer are left, they are copied together
_PLACED: dict[str, tuple[NDArray[np.float32], torch.Tensor]] = {}  # by device


@dataclass(frozen=True)
class AlignedTokens:
    """The k aligned tokens of n texts.

    Attributes:
        ids: int32 (n, k), by descending logit, equal logits by ascending id; -1 where fewer than k
            tokens are allowed.
        weights: float32 (n, k), the raw logits; 0 where the id is -1. Texts with equal embeddings
            have equal ones, wherever they stand.
    """

    ids: NDArray[np.int32]
    weights: NDArray[np.float32]


def aligned_tokens(
    head: LogitReader,
    embeddings: NDArray[np.float32],
    k: int,
    *,
    allowed: NDArray[np.bool_],
    literal: sparse.csr_array | None = None,
    device: str = "cpu",
) -> AlignedTokens:
    """The k allowed tokens with the largest logits.

    Args:
        head: Reads embeddings as logits over V tokens.
        embeddings: float32 (n, d).
        k: Tokens a text; at most V are returned.
        allowed: bool (V,).
        literal: When given, CSR (n, V): only a text's own tokens are allowed.
        device: Where the logits are computed.

    Returns:
        See `AlignedTokens`.
    """
    count = len(embeddings)
    k = min(k, len(allowed))
    ids = np.full((count, k), -1, np.int32)
    weights = np.zeros((count, k), np.float32)
    equal = EqualRows.of(embeddings, literal)
    reader, columns = head, None
    if literal is None:
        reader, columns = narrowed(head, allowed, k, len(equal.distinct), device)
    for rows, logits in logit_blocks(reader, embeddings, equal.distinct, device):
        if columns is None:
            without(logits, ~allowed, device)
        if literal is None:
            ids[rows], weights[rows] = top_k(logits, k)
        else:
            ids[rows], weights[rows] = _largest_own(logits, literal[rows], k)
    if columns is not None:
        ids = np.where(ids < 0, np.int32(-1), columns.astype(np.int32)[ids])
    if len(equal.repeats):
        ids, weights = ids[equal.first], weights[equal.first]
    return AlignedTokens(ids, weights)


def narrowed(
    head: LogitReader, allowed: NDArray[np.bool_], k: int, texts: int, device: str
) -> tuple[LogitReader, NDArray[np.int64] | None]:
    """The head without columns that can be among the k of no text, and those that are left.

    The head itself and None where it would not pay for so many distinct texts.
    """
    columns = None
    if texts >= _MANY_TEXTS and _is_host(device):
        columns = _contenders(head, allowed, k)
    return (head, None) if columns is None else (_Columns(head, columns), columns)


def without(logits: torch.Tensor, forbidden: NDArray[np.bool_], device: str) -> None:
    """Set the logits of some columns to -inf."""
    logits.index_fill_(1, _indices(np.flatnonzero(forbidden), device), -torch.inf)


def logits_at(
    head: LogitReader, embeddings: NDArray[np.float32], tokens: Ragged, *, device: str = "cpu"
) -> NDArray[np.float32]:
    """The logits of given tokens: float32, one for each of `tokens.values`."""
    owners = tokens.row_numbers()
    result = np.zeros(len(tokens.values), np.float32)
    for rows, logits in logit_blocks(head, embeddings, np.arange(len(embeddings)), device):
        first, last = tokens.offsets[rows[0]], tokens.offsets[rows[-1] + 1]
        row = _indices(owners[first:last] - rows[0], device)
        column = _indices(tokens.values[first:last], device)
        result[first:last] = logits[row, column].cpu().numpy()
    return result


def logit_blocks(
    head: LogitReader, embeddings: RowSource, rows: NDArray[np.int64], device: str
) -> Iterator[tuple[NDArray[np.int64], torch.Tensor]]:
    """Yield (rows, logits) for blocks of the given rows, float32 on the device.

    A block's logits are overwritten by the next one's.
    """
    matrix = None if head.matrix is None else _placed(head.matrix, device)
    bias = None if head.bias is None else torch.from_numpy(np.asarray(head.bias)).to(device)
    size = min(max(_BLOCK_BYTES // (4 * head.vocabulary), 1), _BLOCK_TEXTS)
    buffer = torch.empty((min(size, len(rows)), head.vocabulary), device=device)
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        logits = torch.from_numpy(head.project(embeddings[block])).to(device)
        if matrix is not None:
            out = buffer[: len(block)]  # memory that is new for every block is slow
            if bias is None:
                logits = torch.mm(logits, matrix.T, out=out)
            else:
                logits = torch.addmm(bias, logits, matrix.T, out=out)
        elif bias is not None:
            logits = logits + bias
        yield block, logits


class _Columns:
    """Some columns of a head that has a matrix; see `LogitReader`."""

    def __init__(self, head: LogitReader, columns: NDArray[np.int64]) -> None:
        assert head.matrix is not None
        self.matrix = head.matrix[columns]
        self.bias = None if head.bias is None else head.bias[columns]
        self.vocabulary = len(columns)
        self.project = head.project


def _contenders(head: LogitReader, allowed: NDArray[np.bool_], k: int) -> NDArray[np.int64] | None:
    """The columns that can be among the k of a text; None where most of them can.

    Those without a weight give every text the same logit: only k of them can. A fitted head has
    one for each token that no document holds.
    """
    if head.matrix is None:
        return None
    bias = np.zeros(len(allowed), np.float32) if head.bias is None else head.bias
    constant = allowed & ~head.matrix.any(axis=1) & np.isfinite(bias)
    numbers = np.flatnonzero(constant)
    kept = allowed & ~constant
    kept[numbers[np.argsort(-bias[numbers], kind="stable")[:k]]] = True
    columns = np.flatnonzero(kept)
    return columns if k <= len(columns) <= _NARROW * len(allowed) else None


def _largest_own(
    logits: torch.Tensor, own: sparse.csr_array, k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k largest logits of each row among its own columns; -inf is none of them."""
    rows = np.repeat(np.arange(own.shape[0]), np.diff(own.indptr))
    columns = own.indices.astype(np.int64)
    device = str(logits.device)
    values = logits[_indices(rows, device), _indices(columns, device)].cpu().numpy()
    kept = values != -np.inf
    return largest(rows[kept], columns[kept], values[kept], len(logits), k)


def _placed(matrix: NDArray[np.float32], device: str) -> torch.Tensor:
    """The matrix on the device; the last one stays there, so that a query does not move it anew."""
    if _is_host(device):
        return torch.from_numpy(np.asarray(matrix))
    kept = _PLACED.get(device)
    if kept is None or kept[0].shape != matrix.shape or not np.may_share_memory(kept[0], matrix):
        _PLACED[device] = kept = (matrix, torch.from_numpy(np.asarray(matrix)).to(device))
    return kept[1]


def _indices(numbers: NDArray[Any], device: str) -> torch.Tensor:
    return torch.from_numpy(numbers.astype(np.int64)).to(device)


def _is_host(device: str) -> bool:
    return torch.device(device).type == "cpu"
