"""Losses over tokens whose logits would not fit at once: the head is applied chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from harness.training.losses import token_loss

if TYPE_CHECKING:
    import torch

    from harness.training.network import Decoder
    from harness.training.worker import Worker

_ROWS = 256  # their logits stay in the cache


def token_backward(
    decoder: Decoder, worker: Worker, states: torch.Tensor, targets: torch.Tensor, total: float
) -> float:
    """Backward of the mean token loss, with at most 256 rows of logits at a time.

    Args:
        decoder: Whose head reads the states.
        worker: For its precision.
        states: (n, d), with their graph.
        targets: int64 (n,).
        total: What the sum of losses is divided by: the tokens of the whole batch,
            over the loss's weight.

    Returns:
        The sum of losses over `total`, in nats.
    """
    leaf = states.detach().requires_grad_()
    loss = 0.0
    for start in range(0, len(targets), _ROWS):
        part = slice(start, start + _ROWS)
        with worker.autocast():
            logits = decoder.logits(leaf[part])
        one = token_loss(logits, targets[part]) / total
        one.backward()  # type: ignore[no-untyped-call]  # torch's stub
        loss += float(one.detach())
    if len(targets):
        states.backward(leaf.grad)  # type: ignore[no-untyped-call]  # torch's stub
    return loss


def summed_token_loss(
    decoder: Decoder, worker: Worker, states: torch.Tensor, targets: torch.Tensor
) -> tuple[float, int]:
    """The sum of losses without gradients, and over how many tokens."""
    loss = 0.0
    for start in range(0, len(targets), _ROWS):
        part = slice(start, start + _ROWS)
        with worker.autocast():
            logits = decoder.logits(states[part])
        loss += float(token_loss(logits, targets[part]))
    return loss, len(targets)


def held_out_loss(
    decoder: Decoder, worker: Worker, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]
) -> float | None:
    """The mean loss over the tokens of several batches.

    Args:
        decoder: Whose head reads the states.
        worker: For its precision.
        batches: States (n, d) and targets int64 (n,); made here, where no graph is kept.

    Returns:
        Nats a token; None if there are no tokens.
    """
    import torch

    with torch.no_grad():
        found = [summed_token_loss(decoder, worker, *batch) for batch in batches]
    count = sum(tokens for _, tokens in found)
    return sum(loss for loss, _ in found) / count if count else None
