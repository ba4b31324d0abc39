"""Masked next token prediction: how a decoder learns to use bidirectional attention (LLM2Vec)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadInputError
from harness.training.data import padded, padding_token, read_texts, split, tokenize
from harness.training.masking import mask_tokens
from harness.training.schedule import batches_of_texts
from harness.training.tokens import held_out_loss, token_backward

if TYPE_CHECKING:
    from harness.config import MaskingConfig, MntpConfig
    from harness.embedding.ragged import Ragged
    from harness.training.network import Decoder
    from harness.training.worker import Worker

_VALIDATION = 1 << 32  # a step number that no training step has


class MaskedObjective:
    """The state at i-1 predicts the masked token i (LLM2Vec, section 2.2)."""

    def __init__(self, config: MntpConfig, tokenizer: Any) -> None:
        texts = read_texts(Path(config.text))
        trained, held = split(texts, config.held_out)
        ids = tokenize(tokenizer, texts, config.max_length)
        self._tokens = MaskedTokens(config, tokenizer, ids)
        arrange = {"token_budget": config.batch_tokens, "seed": config.seed}
        self._batches = [
            trained[batch]
            for batch in batches_of_texts(ids.lengths[trained], epochs=config.epochs, **arrange)
        ]
        self._held = [
            held[batch] for batch in batches_of_texts(ids.lengths[held], epochs=1, **arrange)
        ]

    @property
    def steps(self) -> int:
        """See `Objective`."""
        return len(self._batches)

    def backward(self, decoder: Decoder, worker: Worker, step: int) -> tuple[float, int]:
        """See `Objective`."""
        return self._tokens.backward(decoder, worker, self._batches[step], step)

    def validate(self, decoder: Decoder, worker: Worker) -> float | None:
        """Mean nats a masked token over held-out texts, masked alike on every call."""
        batches = (
            self._tokens.predictions(decoder, worker, batch, _VALIDATION + number)
            for number, batch in enumerate(self._held)
        )
        return held_out_loss(decoder, worker, batches)


class MaskedTokens:
    """Texts whose tokens are masked, anew in each step, and predicted.

    Args:
        config: How tokens are masked; the seed of all draws.
        tokenizer: Of the texts.
        ids: Their token ids, special tokens included.
    """

    def __init__(self, config: MaskingConfig, tokenizer: Any, ids: Ragged) -> None:
        self._config = config
        self._ids = ids
        self._padding = padding_token(tokenizer)
        self._mask_token = _mask_token(tokenizer, config.mask_token)
        self._special = np.array(sorted(tokenizer.all_special_ids), np.int64)
        self._vocabulary = tokenizer.vocab_size  # without what was added, perhaps for pictures

    def backward(
        self,
        decoder: Decoder,
        worker: Worker,
        batch: NDArray[np.int64],
        step: int,
        *,
        weight: float = 1.0,
    ) -> tuple[float, int]:
        """Add the gradient of the batch's mean loss a masked token, times `weight`.

        Args:
            decoder: The network.
            worker: This process, which takes its share of the texts.
            batch: Indices of texts.
            step: The number that masks are drawn by.
            weight: What loss and gradient are multiplied by.

        Returns:
            See `Objective`.
        """
        ids, mask, chosen = self._masked(batch, step)
        own = worker.share(np.arange(len(batch)))
        total = int(chosen.sum())
        if not total or not len(own):
            return 0.0, 0
        states, targets = _predictions(
            decoder, worker, ids=ids[:, own], mask=mask[own], chosen=chosen[own]
        )
        loss = token_backward(decoder, worker, states, targets, total / weight)
        return loss, int(mask[own].sum())

    def predictions(
        self, decoder: Decoder, worker: Worker, batch: NDArray[np.int64], step: int
    ) -> tuple[Any, Any]:
        """States (n, d) before the masked tokens of a batch, and those tokens."""
        ids, mask, chosen = self._masked(batch, step)
        return _predictions(decoder, worker, ids=ids, mask=mask, chosen=chosen)

    def _masked(
        self, batch: NDArray[np.int64], step: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
        """True and read ids (2, texts, length), which are tokens, and which are chosen."""
        import torch

        ids, mask = padded(self._ids, batch, self._padding, torch.device("cpu"))
        true, real = ids.numpy(), mask.numpy()
        maskable = real & ~np.isin(true, self._special)
        maskable[:, 0] = False  # nothing stands before it
        read, chosen = mask_tokens(
            true,
            maskable,
            probability=self._config.mask_probability,
            hidden=self._config.hidden_share,
            random=self._config.random_share,
            mask_id=self._mask_token,
            vocabulary=self._vocabulary,
            generator=np.random.default_rng((self._config.seed, 2, step)),
        )
        return np.stack([true, read]), real, chosen


def _predictions(
    decoder: Decoder,
    worker: Worker,
    *,
    ids: NDArray[np.int64],
    mask: NDArray[np.bool_],
    chosen: NDArray[np.bool_],
) -> tuple[Any, Any]:
    """States (n, d) before the chosen tokens of texts, and those tokens."""
    import torch

    true, read = (torch.from_numpy(part).to(worker.device) for part in ids)
    picked = torch.from_numpy(chosen).to(worker.device)
    with worker.autocast():
        states = decoder.states(read, torch.from_numpy(mask).to(worker.device))
    return states[:, :-1][picked[:, 1:]], true[:, 1:][picked[:, 1:]]


def _mask_token(tokenizer: Any, wanted: str | None) -> int:
    """The id of the token that hides others.

    Raises:
        BadInputError: If the tokenizer has no such single token.
    """
    if wanted is None and tokenizer.mask_token_id is not None:
        return int(tokenizer.mask_token_id)
    token = "_" if wanted is None else wanted  # LLM2Vec's choice for Mistral and Llama
    found = tokenizer.convert_tokens_to_ids(token)
    if found is None or found == tokenizer.unk_token_id:
        raise BadInputError(
            f"train.mask_token={token!r} is no token of this tokenizer; give a rare one"
        )
    return int(found)
