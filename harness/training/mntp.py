"""Masked next token prediction: how a decoder learns to use bidirectional attention (LLM2Vec)."""

from __future__ import annotations

from collections.abc import Iterator
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
    from harness.config import MntpConfig
    from harness.training.network import Decoder
    from harness.training.worker import Worker

_VALIDATION = 1 << 32  # a step number that no training step has


class MaskedObjective:
    """The state at i-1 predicts the masked token i (LLM2Vec, section 2.2)."""

    def __init__(self, config: MntpConfig, tokenizer: Any) -> None:
        self.config = config
        texts = read_texts(Path(config.text))
        trained, held = split(texts, config.held_out)
        self._ids = tokenize(tokenizer, texts, config.max_length)
        self._padding = padding_token(tokenizer)
        self._mask_token = _mask_token(tokenizer, config.mask_token)
        self._special = np.array(sorted(tokenizer.all_special_ids), np.int64)
        self._vocabulary = len(tokenizer)
        arrange = {"token_budget": config.batch_tokens, "seed": config.seed}
        lengths = self._ids.lengths
        self._batches = [
            trained[batch]
            for batch in batches_of_texts(lengths[trained], epochs=config.epochs, **arrange)
        ]
        self._held = [held[batch] for batch in batches_of_texts(lengths[held], epochs=1, **arrange)]

    @property
    def steps(self) -> int:
        """See `Objective`."""
        return len(self._batches)

    def backward(self, decoder: Decoder, worker: Worker, step: int) -> tuple[float, int]:
        """See `Objective`."""
        batch = self._batches[step]
        ids, mask, chosen = self._masked(batch, step)
        own = worker.share(np.arange(len(batch)))
        total = int(chosen.sum())
        if not total or not len(own):
            return 0.0, 0
        states, targets = self._predictions(
            decoder, worker, ids=ids, mask=mask, chosen=chosen, own=own
        )
        return token_backward(decoder, worker, states, targets, total), int(mask[own].sum())

    def validate(self, decoder: Decoder, worker: Worker) -> float | None:
        """Mean nats a masked token over held-out texts, masked alike on every call."""
        return held_out_loss(decoder, worker, self._held_out(decoder, worker))

    def _held_out(self, decoder: Decoder, worker: Worker) -> Iterator[tuple[Any, Any]]:
        """States and tokens of each held-out batch, see `_predictions`."""
        for number, batch in enumerate(self._held):
            ids, mask, chosen = self._masked(batch, _VALIDATION + number)
            own = np.arange(len(batch))
            yield self._predictions(decoder, worker, ids=ids, mask=mask, chosen=chosen, own=own)

    def _masked(self, batch: NDArray[np.int64], step: int) -> tuple[Any, Any, NDArray[np.bool_]]:
        """True ids, which of them are tokens, and which are chosen; arrays (texts, length)."""
        import torch

        ids, mask = padded(self._ids, batch, self._padding, torch.device("cpu"))
        true, real = ids.numpy(), mask.numpy()
        maskable = real & ~np.isin(true, self._special)
        maskable[:, 0] = False  # nothing stands before it
        read, chosen = mask_tokens(
            true,
            maskable,
            probability=self.config.mask_probability,
            mask_id=self._mask_token,
            vocabulary=self._vocabulary,
            generator=np.random.default_rng((self.config.seed, 2, step)),
        )
        return np.stack([true, read]), real, chosen

    @staticmethod
    def _predictions(
        decoder: Decoder,
        worker: Worker,
        *,
        ids: NDArray[np.int64],
        mask: NDArray[np.bool_],
        chosen: NDArray[np.bool_],
        own: NDArray[np.int64],
    ) -> tuple[Any, Any]:
        """States (n, d) before the chosen tokens of this process's texts, and those tokens."""
        import torch

        true, read = (torch.from_numpy(part[own]).to(worker.device) for part in ids)
        picked = torch.from_numpy(chosen[own]).to(worker.device)
        with worker.autocast():
            states = decoder.states(read, torch.from_numpy(mask[own]).to(worker.device))
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
