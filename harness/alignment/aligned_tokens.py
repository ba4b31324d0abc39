"""Aligned tokens: the ids with the largest logits of an embedding (paper section 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.alignment.equal_rows import EqualRows
from harness.embedding.ragged import Ragged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scipy import sparse

    from harness.alignment.head import LogitReader

_BLOCK_BYTES = 64 << 20  # of logits at a time: n×V is never held
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
    forbidden = torch.from_numpy(~allowed).to(device)
    equal = EqualRows.of(embeddings, literal)
    for rows, logits in logit_blocks(head, embeddings, equal.distinct, device):
        logits.masked_fill_(forbidden, -torch.inf)
        if literal is not None:
            own = torch.zeros_like(logits, dtype=torch.bool)
            block = literal[rows].tocoo()
            own[_indices(block.row, device), _indices(block.col, device)] = True
            logits.masked_fill_(~own, -torch.inf)
        values, columns = _top_k(logits, k)
        real = values != -torch.inf  # NaN stays, for the caller to refuse
        ids[rows] = torch.where(real, columns, -1).to(torch.int32).cpu().numpy()
        weights[rows] = torch.where(real, values, 0.0).cpu().numpy()
    if len(equal.repeats):
        ids, weights = ids[equal.first], weights[equal.first]
    return AlignedTokens(ids, weights)


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
    head: LogitReader, embeddings: NDArray[np.float32], rows: NDArray[np.int64], device: str
) -> Iterator[tuple[NDArray[np.int64], torch.Tensor]]:
    """Yield (rows, logits) for blocks of the given rows, float32 on the device."""
    matrix = None if head.matrix is None else _placed(head.matrix, device)
    bias = None if head.bias is None else torch.from_numpy(np.asarray(head.bias)).to(device)
    size = max(_BLOCK_BYTES // (4 * head.vocabulary), 1)
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        logits = torch.from_numpy(head.project(embeddings[block])).to(device)
        if matrix is not None:
            logits = logits @ matrix.T
        yield block, logits if bias is None else logits.add_(bias)


def _placed(matrix: NDArray[np.float32], device: str) -> torch.Tensor:
    """The matrix on the device; the last one stays there, so that a query does not move it anew."""
    if torch.device(device).type == "cpu":
        return torch.from_numpy(np.asarray(matrix))
    kept = _PLACED.get(device)
    if kept is None or kept[0].shape != matrix.shape or not np.may_share_memory(kept[0], matrix):
        _PLACED[device] = kept = (matrix, torch.from_numpy(np.asarray(matrix)).to(device))
    return kept[1]


def _indices(numbers: NDArray[Any], device: str) -> torch.Tensor:
    return torch.from_numpy(numbers.astype(np.int64)).to(device)


def _top_k(logits: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Top k a row, descending, equal values by ascending column whatever the device does."""
    values, columns = torch.topk(logits, k, dim=1)
    last = values[:, -1:]
    tied = (logits == last).sum(dim=1) > (values == last).sum(dim=1)
    tied &= last[:, 0] != -torch.inf  # what is not allowed needs no order
    for row in torch.nonzero(tied).flatten().tolist():  # rare: a tie across the k-th place
        order = torch.sort(logits[row], descending=True, stable=True).indices[:k]
        values[row], columns[row] = logits[row][order], order
    by_column = torch.sort(columns, dim=1).indices
    values, columns = values.gather(1, by_column), columns.gather(1, by_column)
    by_value = torch.sort(values, dim=1, descending=True, stable=True).indices
    return values.gather(1, by_value), columns.gather(1, by_value)
