"""How a run of training is laid out: batches by step, and the learning rate at each."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_WINDOW = 64  # batches whose texts are sorted by length together


def learning_rate(step: int, *, steps: int, peak: float, warmup: float) -> float:
    """A linear rise to `peak`, then half a cosine down to zero.

    Args:
        step: The step that is about to be made, from 0.
        steps: How many there are.
        peak: The highest rate.
        warmup: The share of the steps that the rise takes.
    """
    rise = max(round(warmup * steps), 1)
    if step < rise:
        return peak * (step + 1) / rise
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))


def batches_of_texts(
    lengths: NDArray[np.int64], *, token_budget: int, epochs: float, seed: int
) -> list[NDArray[np.int64]]:
    """Batches of texts of similar lengths, in an order that the seed alone decides.

    Texts are shuffled once an epoch; within a window of some 64 batches they are sorted by length
    and cut into batches, which are shuffled again.

    Args:
        lengths: Tokens of each text, int64.
        token_budget: Most tokens in a batch, padding included; a longer text has one of its own.
        epochs: How often each text is read; a last part of an epoch reads a part of the texts.
        seed: Of all draws.

    Returns:
        Indices of texts, one array a batch.
    """
    generator = np.random.default_rng(seed)
    batches: list[NDArray[np.int64]] = []
    mean = max(float(lengths.mean()), 1.0) if len(lengths) else 1.0
    window = max(int(_WINDOW * token_budget / mean), 1)
    remaining = epochs
    while remaining > 0 and len(lengths):
        order = generator.permutation(len(lengths))
        order = order[: math.ceil(len(order) * min(remaining, 1.0))]
        for start in range(0, len(order), window):
            part = order[start : start + window]
            part = part[np.argsort(-lengths[part], kind="stable")]
            found = np.split(part, padded_cuts(lengths[part], token_budget))
            batches += [found[index] for index in generator.permutation(len(found))]
        remaining -= 1
    return batches


def batches_of_pairs(count: int, *, size: int, epochs: float, seed: int) -> list[NDArray[np.int64]]:
    """Batches of one size, shuffled once an epoch; what is left over at an epoch's end is dropped.

    Dropped, since a smaller batch has fewer negatives and another loss; one pair alone has none,
    and makes no batch.

    Args:
        count: How many pairs there are.
        size: Pairs in a batch; all of them where there are fewer.
        epochs: See `batches_of_texts`.
        seed: Of all draws.
    """
    generator = np.random.default_rng(seed)
    size = min(size, count)
    steps = math.floor(epochs * (count // size)) if size > 1 else 0
    batches: list[NDArray[np.int64]] = []
    while len(batches) < steps:
        order = generator.permutation(count)
        batches += [order[start : start + size] for start in range(0, count - size + 1, size)]
    return batches[:steps]


def padded_cuts(descending: NDArray[np.int64], token_budget: int) -> list[int]:
    """Where to cut texts into batches that are padded to their longest.

    Args:
        descending: Tokens of the texts, longest first, at least one text; int64.
        token_budget: Most tokens in a batch, padding included; a longer text has one of its own.

    Returns:
        Where each batch but the first begins.
    """
    cuts: list[int] = []
    start = 0
    while True:
        start += max(token_budget // max(int(descending[start]), 1), 1)
        if start >= len(descending):
            return cuts
        cuts.append(start)
