"""Which tokens are hidden from a model that is to predict them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_HIDDEN, _RANDOM = 0.8, 0.1  # BERT's shares; the rest of the chosen tokens stay as they are


def mask_tokens(
    ids: NDArray[np.int64],
    maskable: NDArray[np.bool_],
    *,
    probability: float,
    mask_id: int,
    vocabulary: int,
    generator: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Choose tokens and hide them: 80 % become the mask, 10 % a random token, 10 % stay.

    Args:
        ids: Token ids, any shape.
        maskable: Which tokens may be chosen: neither padding nor special tokens.
        probability: Of each maskable token to be chosen.
        mask_id: The token that stands for a hidden one.
        vocabulary: Ids below it are drawn as random tokens.
        generator: The source of all draws.

    Returns:
        The ids that the model reads, and which tokens were chosen; both of the shape of `ids`.
    """
    chosen = maskable & (generator.random(ids.shape) < probability)
    fate = generator.random(ids.shape)
    random_ids = generator.integers(0, vocabulary, ids.shape)
    read = np.where(chosen & (fate < _HIDDEN), mask_id, ids)
    random = chosen & (fate >= _HIDDEN) & (fate < _HIDDEN + _RANDOM)
    return np.where(random, random_ids, read), chosen
