"""Embeddings of batches, and their gradients in parts that fit into memory (gradient caching)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.embedding.ragged import Ragged
from harness.training.data import padded

if TYPE_CHECKING:
    import torch

    from harness.training.network import Decoder
    from harness.training.worker import Worker

# Rows of one file, and which of them: a batch's texts of one side.
Texts = tuple[Ragged, NDArray[np.int64]]


class Embedder:
    """Pools token states to embeddings, part by part.

    Args:
        pool: What pools; see `harness.embedding.pooling`.
        padding: A token id that fills batches.
        chunk_tokens: Most tokens at once, padding included.
    """

    def __init__(self, pool: Any, padding: int, chunk_tokens: int) -> None:
        self._pool = pool
        self._padding = padding
        self._chunk_tokens = chunk_tokens

    def parts(self, texts: Texts) -> list[NDArray[np.int64]]:
        """The batch cut into parts of at most `chunk_tokens`, in order; at least a text each."""
        rows, indices = texts
        lengths = np.maximum(rows.lengths[indices], 1)
        parts, start = [], 0
        for end in range(1, len(indices) + 1):
            longest = int(lengths[start : end + 1].max())
            if end == len(indices) or longest * (end + 1 - start) > self._chunk_tokens:
                parts.append(indices[start:end])
                start = end
        return parts

    def __call__(self, decoder: Decoder, worker: Worker, texts: Texts) -> torch.Tensor:
        """Embeddings (n, d) of one part, float32."""
        ids, mask = padded(*texts, self._padding, worker.device)
        with worker.autocast():
            states = decoder.states(ids, mask)
        embeddings: torch.Tensor = self._pool(states, mask)
        return embeddings


def cached_backward(
    embedder: Embedder,
    decoder: Decoder,
    worker: Worker,
    sides: list[Texts],
    *,
    loss_of: Callable[[list[torch.Tensor]], torch.Tensor],
    seed: Callable[[int], None],
) -> tuple[float, int]:
    """Backward of a loss over embeddings of a whole batch, in memory for one part of it.

    Gradient caching (Gao et al. 2021, section 3): embed all parts without a graph, take the loss's
    gradient at the embeddings, then embed each part again and pass its gradient on. Each process
    embeds its share of every side; the loss is over all of them, so the result does not depend on
    how many processes or parts there are.

    Args:
        embedder: What embeds a part.
        decoder: The network.
        worker: This process.
        sides: The batch's sides, such as queries and documents.
        loss_of: From the embeddings of each side, whole, to the loss.
        seed: Seeds dropout for the part of a number, the same in both passes.

    Returns:
        This process's part of the loss, and the tokens that it computed, once.
    """
    import torch

    shares = [(rows, worker.share(indices)) for rows, indices in sides]
    parts = [(side, part) for side, share in enumerate(shares) for part in embedder.parts(share)]
    whole = worker.count == 1 and len(parts) == len(sides)

    def embed(number: int) -> torch.Tensor:
        side, part = parts[number]
        seed(number)
        return embedder(decoder, worker, (sides[side][0], part))

    tokens = sum(int(rows.lengths[indices].sum()) for rows, indices in shares)
    if whole:
        loss = loss_of([embed(number) for number in range(len(parts))])
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach()), tokens
    with torch.no_grad():
        found = [embed(number) for number in range(len(parts))]
    own = [
        torch.cat([found[i] for i, (side, _) in enumerate(parts) if side == number])
        if any(side == number for side, _ in parts)
        else found[0][:0]
        for number in range(len(sides))
    ]
    splits = [[len(part) for part in np.array_split(indices, worker.count)] for _, indices in sides]
    leaves = [
        worker.gather(rows, counts).detach().requires_grad_()
        for rows, counts in zip(own, splits, strict=True)
    ]
    loss = loss_of(leaves)
    loss.backward()  # type: ignore[no-untyped-call]
    used = [sum(counts[: worker.number]) for counts in splits]
    for number, (side, part) in enumerate(parts):
        gradient = leaves[side].grad
        assert gradient is not None
        part_of = gradient[used[side] : used[side] + len(part)]
        embed(number).backward(part_of)  # type: ignore[no-untyped-call]
        used[side] += len(part)
    return float(loss.detach()) / worker.count, tokens
