"""Aligned tokens: the ids with the largest logits of an embedding (paper section 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from harness.embedding.ragged import Ragged

if TYPE_CHECKING:
    from scipy import sparse

    from harness.alignment.head import Head

_BLOCK_BYTES = 64 << 20  # of logits at a time: n×V is never held


@dataclass(frozen=True)
class AlignedTokens:
    """The k aligned tokens of n texts.

    Attributes:
        ids: int32 (n, k), by descending logit, equal logits by ascending id; -1 where fewer than k
            tokens are allowed.
        weights: float32 (n, k), the raw logits; 0 where the id is -1.
    """

    ids: NDArray[np.int32]
    weights: NDArray[np.float32]


def aligned_tokens(
    head: Head,
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
    for start, logits in _logit_blocks(head, embeddings, device):
        stop = start + len(logits)
        logits.masked_fill_(forbidden, -torch.inf)
        if literal is not None:
            own = torch.zeros_like(logits, dtype=torch.bool)
            block = literal[start:stop].tocoo()
            own[torch.from_numpy(block.row.astype(np.int64)), torch.from_numpy(block.col)] = True
            logits.masked_fill_(~own, -torch.inf)
        values, columns = _top_k(logits, k)
        real = torch.isfinite(values)
        ids[start:stop] = torch.where(real, columns, -1).to(torch.int32).cpu().numpy()
        weights[start:stop] = torch.where(real, values, 0.0).cpu().numpy()
    return AlignedTokens(ids, weights)


def logits_at(
    head: Head, embeddings: NDArray[np.float32], tokens: Ragged, *, device: str = "cpu"
) -> NDArray[np.float32]:
    """The logits of given tokens: float32, one for each of `tokens.values`."""
    rows = tokens.row_numbers()
    result = np.zeros(len(tokens.values), np.float32)
    for start, logits in _logit_blocks(head, embeddings, device):
        first, last = tokens.offsets[start], tokens.offsets[start + len(logits)]
        row = torch.from_numpy(rows[first:last] - start).to(device)
        column = torch.from_numpy(tokens.values[first:last].astype(np.int64)).to(device)
        result[first:last] = logits[row, column].cpu().numpy()
    return result


def _logit_blocks(head: Head, embeddings: NDArray[np.float32], device: str):  # type: ignore[no-untyped-def]
    """Yield (first row, logits) for blocks of texts, float32 on the device."""
    matrix = torch.from_numpy(np.asarray(head.matrix)).to(device)
    bias = None if head.bias is None else torch.from_numpy(np.asarray(head.bias)).to(device)
    rows = max(_BLOCK_BYTES // (4 * matrix.shape[0]), 1)
    for start in range(0, len(embeddings), rows):
        block = torch.from_numpy(head.project(embeddings[start : start + rows])).to(device)
        logits = block @ matrix.T
        yield start, logits if bias is None else logits.add_(bias)


def _top_k(logits: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Top k a row, descending, equal values by ascending column whatever the device does."""
    values, columns = torch.topk(logits, k, dim=1)
    last = values[:, -1:]
    tied = (logits == last).sum(dim=1) > (values == last).sum(dim=1)
    for row in torch.nonzero(tied).flatten().tolist():  # rare: a tie across the k-th place
        order = torch.sort(logits[row], descending=True, stable=True).indices[:k]
        values[row], columns[row] = logits[row][order], order
    by_column = torch.sort(columns, dim=1).indices
    values, columns = values.gather(1, by_column), columns.gather(1, by_column)
    by_value = torch.sort(values, dim=1, descending=True, stable=True).indices
    return values.gather(1, by_value), columns.gather(1, by_value)
