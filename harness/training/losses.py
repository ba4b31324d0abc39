"""The losses of training, on tensors alone, in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def token_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Sum over tokens of the cross entropy of the true one.

    Serves next token prediction, where the state of token i predicts token i+1, and masked next
    token prediction (LLM2Vec, section 2.2), where the state at i-1 predicts the masked token i.

    Args:
        logits: (n, V), any float dtype.
        targets: int64 (n,), token ids.

    Returns:
        A scalar in nats, float32.
    """
    from torch.nn.functional import cross_entropy

    return cross_entropy(logits.float(), targets, reduction="sum")


def contrastive_loss(
    queries: torch.Tensor, documents: torch.Tensor, *, temperature: float, both_ways: bool = False
) -> torch.Tensor:
    """InfoNCE: each query's own document against all the others (SimCSE, eq. 1 and 5).

    Args:
        queries: (n, d).
        documents: (m, d), m >= n. Document i is that of query i; those from n on are negatives of
            every query, for instance hard ones.
        temperature: What cosines are divided by.
        both_ways: Whether each of the first n documents must find its query among all queries as
            well; the loss is then the mean of the two.

    Returns:
        The mean over queries in nats, a float32 scalar.
    """
    import torch
    from torch.nn.functional import cross_entropy, normalize

    count = len(queries)
    cosines = normalize(queries.float(), dim=1) @ normalize(documents.float(), dim=1).T
    logits = cosines / temperature
    own = torch.arange(count, device=logits.device)
    loss = cross_entropy(logits, own)
    if both_ways:
        loss = (loss + cross_entropy(logits[:, :count].T, own)) / 2
    return loss
