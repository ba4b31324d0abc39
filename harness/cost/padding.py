"""What batches compute beyond the true lengths of their texts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.cost.closed_form import QuadraticFlops


def padding_share(true_tokens: int, padded_tokens: int) -> float:
    """Return which share of the tokens that were computed was padding, in [0, 1].

    Args:
        true_tokens: Tokens of the texts.
        padded_tokens: Tokens of the batches, padding included.

    Raises:
        ValueError: A count is negative, or there are more true tokens than padded ones.
    """
    if not 0 <= true_tokens <= padded_tokens:
        raise ValueError(f"need 0 <= true tokens ({true_tokens}) <= padded ({padded_tokens})")
    return 1 - true_tokens / padded_tokens if padded_tokens else 0.0


def padding_flops(forward: QuadraticFlops, lengths: ArrayLike, padded_lengths: ArrayLike) -> float:
    """Return the FLOPs of texts at their padded lengths, less those at their true lengths.

    Args:
        forward: Of one text by its length.
        lengths: True tokens of each text, (n,).
        padded_lengths: Tokens of each text's row in its batch, the length of the batch's longest
            text, (n,); the true lengths where texts are packed without padding.

    Raises:
        ValueError: The shapes differ, a length is negative, or a row is shorter than its text.
    """
    true, padded = np.asarray(lengths), np.asarray(padded_lengths)
    if true.shape != padded.shape or np.any(padded < true):
        raise ValueError("every text needs a padded length, and none below its true length")
    return forward.total(padded) - forward.total(true)
