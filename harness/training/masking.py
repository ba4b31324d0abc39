"""Which tokens are hidden from a model that is to predict them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mask_tokens(
    ids: NDArray[np.int64],
    maskable: NDArray[np.bool_],
    *,
    probability: float,
    hidden: float,
    random: float,
    mask_id: int,
    vocabulary: int,
    generator: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Choose tokens and hide them: some become the mask, some a random token, the rest stay.

    Args:
        ids: Token ids, any shape.
        maskable: Which tokens may be chosen: neither padding nor special tokens.
        probability: Of each maskable token to be chosen.
        hidden: The share of chosen tokens that become the mask; BERT's is 0.8.
        random: The share that become a random token; BERT's is 0.1.
        mask_id: The token that stands for a hidden one.
        vocabulary: Ids below it are drawn as random tokens.
        generator: The source of all draws.

    Returns:
        The ids that the model reads, and which tokens were chosen; both of the shape of `ids`.
    """
    chosen = maskable & (generator.random(ids.shape) < probability)
    fate = generator.random(ids.shape)
    random_ids = generator.integers(0, vocabulary, ids.shape)
    read = np.where(chosen & (fate < hidden), mask_id, ids)
    replaced = chosen & (fate >= hidden) & (fate < hidden + random)
    return np.where(replaced, random_ids, read), chosen
