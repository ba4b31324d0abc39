"""Embeddings of batches, and their gradients in parts that fit into memory (gradient caching)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.embedding.ragged import Ragged
from harness.errors import BadInputError
from harness.training.data import padded
from harness.training.schedule import padded_cuts

if TYPE_CHECKING:
    import torch

    from harness.training.network import Decoder
    from harness.training.worker import Worker

# Rows of one file, and which of them: a batch's texts of one side.
Texts = tuple[Ragged, NDArray[np.int64]]

PART_TOKENS = 4096  # texts of like lengths go together: little padding


class Embedder:
    """Pools token states to embeddings, part by part.

    Args:
        pool: What pools; see `harness.embedding.pooling`.
        padding: A token id that fills batches.
        chunk_tokens: Most tokens, padding included, whose graph is kept at once.
    """

    def __init__(self, pool: Any, padding: int, chunk_tokens: int) -> None:
        self._pool = pool
        self._padding = padding
        self.chunk_tokens = chunk_tokens

    def parts(self, texts: Texts) -> list[NDArray[np.int64]]:
        """Places in a batch's side, longest texts first, cut into parts of few tokens."""
        rows, indices = texts
        if not len(indices):
            return []
        lengths = rows.lengths[indices]
        order = np.argsort(-lengths, kind="stable")
        budget = min(self.chunk_tokens, PART_TOKENS)
        return np.split(order, padded_cuts(lengths[order], budget))

    def __call__(self, decoder: Decoder, worker: Worker, texts: Texts) -> torch.Tensor:
        """Embeddings (n, d) of one part, float32."""
        ids, mask = padded(*texts, self._padding, worker.device)
        with worker.autocast():
            states = decoder.states(ids, mask)
        embeddings: torch.Tensor = self._pool(states, mask)
        return embeddings

    def every(self, decoder: Decoder, worker: Worker, texts: Texts) -> torch.Tensor:
        """Embeddings (n, d) of all texts of a side, in order, without a graph."""
        import torch

        rows, indices = texts
        parts = self.parts(texts)
        with torch.no_grad():
            found = [self(decoder, worker, (rows, indices[part])) for part in parts]
        return _in_order(found, parts)


def cached_backward(
    embedder: Embedder,
    decoder: Decoder,
    worker: Worker,
    sides: list[Texts],
    *,
    loss_of: Callable[[list[torch.Tensor]], torch.Tensor],
    seed: Callable[[int], None],
) -> tuple[float, int]:
    """Backward of a loss over embeddings of a whole batch, in memory for a part of it.

    Gradient caching (Gao et al. 2021, section 3): embed all parts without a graph, take the loss's
    gradient at the embeddings, then embed each part again and pass its gradient on. Where the
    graphs of all parts fit into `chunk_tokens` they are kept instead. Each process embeds its share
    of every side; the loss is over all of them, so that without dropout the result does not depend
    on how many processes there are.

    Args:
        embedder: What embeds a part.
        decoder: The network.
        worker: This process.
        sides: The batch's sides, such as queries and documents.
        loss_of: From the embeddings of each side, whole and in order, to the loss.
        seed: Seeds dropout for the part of a number, the same in both passes.

    Returns:
        This process's part of the loss, and the tokens that it computed, once.

    Raises:
        BadInputError: If there are more processes than texts.
    """
    import torch

    fewest = min(len(indices) for _, indices in sides)
    if fewest < worker.count:
        raise BadInputError(
            f"a batch of {fewest} leaves some of {worker.count} processes without a text; give "
            "more data or a larger train.batch_size, or start fewer processes"
        )
    shares = [(rows, worker.share(indices)) for rows, indices in sides]
    cut = [embedder.parts(share) for share in shares]
    numbers = np.cumsum([0, *map(len, cut)])
    tokens = sum(int(rows.lengths[indices].sum()) for rows, indices in shares)

    def embed(side: int, part: int) -> torch.Tensor:
        rows, indices = shares[side]
        seed(int(numbers[side]) + part)
        return embedder(decoder, worker, (rows, indices[cut[side][part]]))

    def embed_all() -> list[torch.Tensor]:
        found = [[embed(side, part) for part in range(len(cut[side]))] for side in range(len(cut))]
        return [_in_order(*one) for one in zip(found, cut, strict=True)]

    kept = _padded_tokens(shares, cut) <= embedder.chunk_tokens
    with torch.set_grad_enabled(kept):
        own = embed_all()
    counts = [[len(part) for part in np.array_split(indices, worker.count)] for _, indices in sides]
    leaves = [
        worker.gather(rows.detach(), split).detach().requires_grad_()
        for rows, split in zip(own, counts, strict=True)
    ]
    loss = loss_of(leaves)
    gradients = torch.autograd.grad(loss, leaves)
    firsts = (sum(split[: worker.number]) for split in counts)
    mine = [
        gradient[first : first + len(rows)]
        for gradient, first, rows in zip(gradients, firsts, own, strict=True)
    ]
    if kept:
        torch.autograd.backward(own, mine)
    else:
        for side, parts in enumerate(cut):
            for number, part in enumerate(parts):
                places = torch.from_numpy(part).to(mine[side].device)
                torch.autograd.backward(embed(side, number), mine[side][places])
    return float(loss.detach()) / worker.count, tokens


def _in_order(found: list[torch.Tensor], parts: list[NDArray[np.int64]]) -> torch.Tensor:
    """Rows of parts, back in the order that the parts' places say."""
    import torch

    rows = torch.cat(found)
    return rows[torch.from_numpy(np.argsort(np.concatenate(parts))).to(rows.device)]


def _padded_tokens(shares: list[Texts], cut: list[list[NDArray[np.int64]]]) -> int:
    lengths = [rows.lengths[indices] for rows, indices in shares]
    return sum(
        int(own[part].max()) * len(part)
        for own, parts in zip(lengths, cut, strict=True)
        for part in parts
    )
