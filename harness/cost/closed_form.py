"""FLOPs of a forward pass by length, from a transformer's shape; 1 multiply-add is 2 FLOPs.

Matrix products alone are counted, as `torch.utils.flop_counter` does: look-ups, normalisation,
activation functions, softmax, position biases and rotary embeddings are 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.cost.shape import TransformerShape

_AT_ONCE = 1 << 16  # texts whose FLOPs are held


@dataclass(frozen=True)
class QuadraticFlops:
    """Forward FLOPs of one text: constant + linear·L + quadratic·L², exact for dense attention.

    Attributes:
        linear: FLOPs per token (projections and feed-forward blocks).
        quadratic: FLOPs per pair of tokens (attention scores and their weighted sum).
        constant: FLOPs per text (layers after the pooling).
    """

    linear: float
    quadratic: float
    constant: float = 0.0

    def __add__(self, other: QuadraticFlops) -> QuadraticFlops:
        return QuadraticFlops(
            linear=self.linear + other.linear,
            quadratic=self.quadratic + other.quadratic,
            constant=self.constant + other.constant,
        )

    def at(self, lengths: ArrayLike) -> NDArray[np.float64]:
        """Return the forward FLOPs of texts of these lengths.

        Args:
            lengths: True lengths in tokens, integers of any shape, special tokens included.

        Returns:
            FLOPs, float64 of the same shape: exact below 2⁵³, and the sum over a large corpus
            does not overflow as it would in int64.

        Raises:
            ValueError: A length is negative.
        """
        tokens = np.asarray(lengths, dtype=np.float64)
        if np.any(tokens < 0):
            raise ValueError("lengths must not be negative")
        flops: NDArray[np.float64] = np.asarray(
            self.constant + tokens * self.linear + tokens * tokens * self.quadratic
        )
        return flops

    def total(self, lengths: NDArray[Any]) -> float:
        """Return the sum over texts of these lengths, (n,), of which few are held as FLOPs."""
        blocks = range(0, len(lengths), _AT_ONCE)
        return sum((float(self.at(lengths[row : row + _AT_ONCE]).sum()) for row in blocks), 0.0)


def closed_form_flops(shape: TransformerShape, *, logits: bool = False) -> QuadraticFlops:
    """Return the closed form of the backbone's forward pass, without a pooler.

    Per layer and token: 2·d·h·w for the queries and as much for the output (h heads of width w),
    2·d·g·w each for keys and values (g key and value heads), 2·d·f for each of the two feed-forward
    matrices, three where gated. With routed experts the feed-forward block counts once for each
    that a token goes through, and the router adds 2·d·E. Per layer and pair of tokens: 2·h·w for
    the scores and as much for the weighted sum. Every pair counts: causal masks and sliding windows
    save nothing, because dense attention computes what it then masks (and torch's counter counts
    it).

    Source: Hoffmann et al., 2022, "Training Compute-Optimal Large Language Models", appendix F,
    less its embedding, softmax and logit terms.

    Args:
        shape: The transformer's shape.
        logits: Whether a masked-language-model head reads every token: 2·d² and 2·d·V more each.
    """
    attention_width = shape.attention_heads * shape.head_width
    key_value_width = shape.key_value_heads * shape.head_width
    matrices = 3 if shape.gated else 2
    feed_forward = shape.active_experts * matrices * shape.feed_forward_width
    per_layer = (
        2 * shape.width * (2 * attention_width + 2 * key_value_width + feed_forward + shape.experts)
    )
    beside = 0
    if shape.embedding_width != shape.width:
        beside += 2 * 2 * shape.embedding_width * shape.width
    if logits:
        beside += mlm_head_flops(shape.width, shape.vocabulary_size)
    return QuadraticFlops(
        linear=float(shape.layers * per_layer + beside),
        quadratic=float(shape.layers * 2 * 2 * attention_width),
    )


def forward_flops(shape: TransformerShape, lengths: ArrayLike) -> NDArray[np.float64]:
    """Return the backbone's forward FLOPs at each true length, by `closed_form_flops`.

    Args:
        shape: The transformer's shape.
        lengths: True lengths in tokens, int64 of any shape.

    Returns:
        FLOPs, float64 of the same shape as ``lengths``.

    Raises:
        ValueError: A length is negative.
    """
    return closed_form_flops(shape).at(lengths)


def head_flops(width: int, vocabulary_size: int) -> int:
    """Return 2·d·V, what a linear head adds for each vector that it reads."""
    return 2 * width * vocabulary_size


def mlm_head_flops(width: int, vocabulary_size: int) -> int:
    """Return 2·d² + 2·d·V, the dense transform and the decoder of a masked-language-model head."""
    return head_flops(width, width) + head_flops(width, vocabulary_size)


def added_flops(
    *, lora_parameters: int = 0, dense_layers: Iterable[tuple[int, int]] = ()
) -> QuadraticFlops:
    """Return what a forward pass takes besides the backbone's.

    Args:
        lora_parameters: Numbers in the matrices of LoRA adapters that are stacked, not merged: a
            pair on a linear layer has r·(in + out) and takes twice as many FLOPs a token.
        dense_layers: (out, in) of each dense layer after the pooling, 2·in·out a text.
    """
    constant = sum(head_flops(inner, outer) for outer, inner in dense_layers)
    return QuadraticFlops(linear=2.0 * lora_parameters, quadratic=0.0, constant=float(constant))
