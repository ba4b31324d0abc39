"""Next token prediction on text that is cut into blocks of one length."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.embedding.ragged import Ragged
from harness.training.data import read_texts, split, tokenize
from harness.training.tokens import held_out_loss, token_backward

if TYPE_CHECKING:
    from harness.config import PretrainConfig
    from harness.training.network import Decoder
    from harness.training.worker import Worker

_NO_LIMIT = 1 << 30


class CausalObjective:
    """The state of each token predicts the next one (paper of GPT, eq. 1).

    Texts are put one after the other in an order that the seed decides, each between `<s>` and
    `</s>`, and cut into blocks of `max_length`; what is left over at the end is dropped.
    """

    def __init__(self, config: PretrainConfig, tokenizer: Any) -> None:
        self.config = config
        texts = read_texts(Path(config.text))
        trained, held = split(texts, config.held_out)
        ids = tokenize(tokenizer, texts, _NO_LIMIT).surround((), (tokenizer.eos_token_id,))
        order = np.random.default_rng(config.seed).permutation(trained)
        self._blocks = _blocks(ids.select(order), config.max_length)
        self._held = _blocks(ids.select(held), config.max_length)
        self._rows = max(config.batch_tokens // config.max_length, 1)
        self._order = _epochs(len(self._blocks), config.epochs, config.seed)

    @property
    def steps(self) -> int:
        """See `Objective`."""
        return math.ceil(len(self._order) / self._rows)

    def backward(self, decoder: Decoder, worker: Worker, step: int) -> tuple[float, int]:
        """See `Objective`."""
        batch = self._order[step * self._rows : (step + 1) * self._rows]
        own = self._blocks[worker.share(batch)]
        if not len(own):
            return 0.0, 0
        states, targets = _next_tokens(decoder, worker, own)
        total = len(batch) * (self.config.max_length - 1)
        return token_backward(decoder, worker, states, targets, total), own.size

    def validate(self, decoder: Decoder, worker: Worker) -> float | None:
        """Mean nats a token over held-out blocks."""
        starts = range(0, len(self._held), self._rows)
        blocks = (self._held[start : start + self._rows] for start in starts)
        return held_out_loss(
            decoder, worker, (_next_tokens(decoder, worker, own) for own in blocks)
        )


def _next_tokens(decoder: Decoder, worker: Worker, blocks: NDArray[np.int64]) -> tuple[Any, Any]:
    """States (n, d) of all tokens but each block's last, and the tokens that follow them."""
    import torch

    ids = torch.from_numpy(blocks).to(worker.device)
    with worker.autocast():
        states = decoder.states(ids, None)
    return states[:, :-1].reshape(-1, states.shape[-1]), ids[:, 1:].reshape(-1)


def _blocks(ids: Ragged, length: int) -> NDArray[np.int64]:
    """All values in rows of one length, int64; the last values that fill no row are dropped."""
    count = len(ids.values) // length
    return ids.values[: count * length].reshape(count, length).astype(np.int64)


def _epochs(count: int, epochs: float, seed: int) -> NDArray[np.int64]:
    """Indices of all blocks, shuffled once an epoch; the last epoch may be a part."""
    generator = np.random.default_rng((seed, 1))
    orders = [generator.permutation(count) for _ in range(math.ceil(epochs))]
    every = np.concatenate([*orders, np.zeros(0, np.int64)])
    return every[: math.ceil(epochs * count)].astype(np.int64)
