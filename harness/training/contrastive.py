"""Contrastive training: SimCSE on texts alone, or pairs with in-batch and hard negatives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.config import EmbeddingStepConfig, PoolingConfig
from harness.embedding import pooling
from harness.training.data import padding_token, read_pairs, read_texts, split, tokenize
from harness.training.embed import Embedder, cached_backward
from harness.training.losses import contrastive_loss
from harness.training.mntp import MaskedTokens
from harness.training.schedule import batches_of_pairs

if TYPE_CHECKING:
    import torch

    from harness.config import ContrastiveConfig, SimcseConfig
    from harness.training.network import Decoder
    from harness.training.worker import Worker

_POOLINGS: dict[str, type[Any]] = {
    "mean": pooling.MeanPooling,
    "weighted_mean": pooling.WeightedMeanPooling,
    "last_token": pooling.LastTokenPooling,
}


class SimcseObjective:
    """A text under two draws of dropout against the other texts of the batch (SimCSE, eq. 4)."""

    def __init__(self, config: SimcseConfig, tokenizer: Any) -> None:
        self.config = config
        texts = read_texts(Path(config.text))
        trained, self._held = split(texts, config.held_out)
        self._ids = tokenize(tokenizer, texts, config.max_length)
        self._embedder = _embedder(config, tokenizer)
        self._batches = _batches(config, trained)

    @property
    def steps(self) -> int:
        """See `Objective`."""
        return len(self._batches)

    def backward(self, decoder: Decoder, worker: Worker, step: int) -> tuple[float, int]:
        """See `Objective`."""
        side = (self._ids, self._batches[step])
        return cached_backward(
            self._embedder,
            decoder,
            worker,
            [side, side],
            loss_of=lambda sides: self._loss(*sides),
            seed=lambda part: worker.seed(self.config.seed, step, part),
        )

    def validate(self, decoder: Decoder, worker: Worker) -> float | None:
        """The loss of held-out texts in one batch, dropout on and drawn alike on every call."""
        if len(self._held) < 2:
            return None
        decoder.network.train()
        sides = []
        for number in range(2):
            worker.seed(self.config.seed, 0, 1 + number)
            sides.append(self._embedder.every(decoder, worker, (self._ids, self._held)))
        return float(self._loss(*sides))

    def _loss(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return contrastive_loss(first, second, temperature=self.config.temperature)


class PairsObjective:
    """Each query's document against the batch's other documents and hard negatives.

    Where it is asked for, masked tokens of some of the documents are predicted as well.

    Attributes:
        held_out: The pairs that are in no batch.
    """

    def __init__(self, config: ContrastiveConfig, tokenizer: Any) -> None:
        self.config = config
        pairs = read_pairs(Path(config.pairs))
        trained, self._held = split([pair.positive for pair in pairs], config.held_out)
        documents = [pair.positive for pair in pairs]
        self.held_out = [pairs[index] for index in self._held]
        unseen = {pair.positive for pair in self.held_out}
        hard = []
        for pair in pairs:
            others = [one for one in pair.negatives if one not in unseen and one != pair.positive]
            hard.append(others[: config.negatives])
        documents += [text for texts in hard for text in texts]
        numbers: dict[str, int] = {}
        self._same = np.array([numbers.setdefault(text, len(numbers)) for text in documents])
        self._queries = tokenize(tokenizer, [pair.query for pair in pairs], config.query_max_length)
        self._documents = tokenize(tokenizer, documents, config.max_length)
        ends = len(pairs) + np.cumsum([len(texts) for texts in hard])
        self._hard = [
            np.arange(end - len(texts), end) for end, texts in zip(ends, hard, strict=True)
        ]
        self._embedder = _embedder(config, tokenizer)
        self._batches = _batches(config, trained)
        self._masked = (
            MaskedTokens(config, tokenizer, self._documents) if config.mntp_weight else None
        )

    @property
    def steps(self) -> int:
        """See `Objective`."""
        return len(self._batches)

    def backward(self, decoder: Decoder, worker: Worker, step: int) -> tuple[float, int]:
        """See `Objective`; the loss is the sum of both, weighted, where there are two."""
        batch = self._batches[step]
        hard = np.concatenate([np.zeros(0, np.int64), *(self._hard[index] for index in batch)])
        hard = hard[~np.isin(self._same[hard], self._same[batch])]  # no query's own document
        documents = np.concatenate([batch, hard])
        loss, tokens = cached_backward(
            self._embedder,
            decoder,
            worker,
            [(self._queries, batch), (self._documents, documents)],
            loss_of=lambda sides: self._loss(*sides),
            seed=lambda part: worker.seed(self.config.seed, step, part),
        )
        if self._masked is None:
            return loss, tokens
        texts = batch[: self.config.mntp_texts]
        further = self._masked.backward(
            decoder, worker, texts, step, weight=self.config.mntp_weight
        )
        return loss + further[0], tokens + further[1]

    def validate(self, decoder: Decoder, worker: Worker) -> float | None:
        """The contrastive loss of held-out pairs in one batch, without hard negatives."""
        if len(self._held) < 2:
            return None
        queries = self._embedder.every(decoder, worker, (self._queries, self._held))
        documents = self._embedder.every(decoder, worker, (self._documents, self._held))
        return float(self._loss(queries, documents))

    def _loss(self, queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
        return contrastive_loss(
            queries,
            documents,
            temperature=self.config.temperature,
            both_ways=self.config.both_ways,
        )


def _batches(config: EmbeddingStepConfig, trained: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Batches of what is trained on, as indices into all texts or pairs."""
    found = batches_of_pairs(
        len(trained), size=config.batch_size, epochs=config.epochs, seed=config.seed
    )
    return [trained[batch] for batch in found]


def _embedder(config: EmbeddingStepConfig, tokenizer: Any) -> Embedder:
    pool = _POOLINGS[config.pooling](PoolingConfig(kind=config.pooling))
    return Embedder(pool, padding_token(tokenizer), config.chunk_tokens)
