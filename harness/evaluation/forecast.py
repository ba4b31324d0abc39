"""What encoding would take on this device, measured on a sample before anything is downloaded."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.config import RunConfig, build
from harness.errors import BadInputError
from harness.evaluation.costing import CostMeter
from harness.evaluation.downloads import from_cache_only
from harness.evaluation.encoder import build_encoder, with_published_settings

if TYPE_CHECKING:
    from harness.cost.flops import QuadraticFlops
    from harness.embedding.encoder import TextEncoder
    from harness.evaluation.tasks.sizes import TaskSize

CHARACTERS_PER_TOKEN = 4.5  # English in subword vocabularies of 30,000 and more; others have fewer

_SENTENCE = "How fast a model encodes depends on the length of the texts that it is given. "
_SAMPLES = (4, 16, 32, 64, 128)  # texts
_SECONDS = 1.5  # for all samples together, the last one aside
_UNKNOWN_LENGTH = 512


@dataclass(frozen=True)
class Forecast:
    """What estimates of encoding rest on.

    Attributes:
        forward: FLOPs of one text by its tokens; None where the model cannot be had.
        max_length: Tokens after which a text is cut.
        flops_per_second: The measured rate; None where the model cannot be had.
        note: The same in words.
    """

    forward: QuadraticFlops | None
    max_length: int
    flops_per_second: float | None
    note: str


def forecast(config: RunConfig, sizes: Sequence[TaskSize]) -> Forecast:
    """Measure how fast the configured model encodes texts as long as the tasks' are.

    Args:
        config: The run; its model is loaded where its files are at hand.
        sizes: The tasks' sizes.
    """
    try:
        with from_cache_only():
            model = build(config.model)
        resolved = with_published_settings(config, model)
        encoder = build_encoder(resolved, model)
        head = build(resolved.head, encoder=encoder)
        forward, _ = CostMeter(config.cost, encoder, head).forward_flops()
    except BadInputError as error:
        return Forecast(None, _UNKNOWN_LENGTH, None, f"no FLOPs and no time: {error}")
    texts = sum(count for size in sizes for count, _ in size.lengths)
    characters = sum(count * mean for size in sizes for count, mean in size.lengths)
    if forward is None or not texts:
        return Forecast(forward, model.max_length, None, f"{model.name}: no time is measured")
    try:
        rate = encoding_rate(encoder, forward, characters=characters / texts)
    except BadInputError as error:
        return Forecast(forward, model.max_length, None, f"no time: {error}")
    return Forecast(
        forward,
        model.max_length,
        rate,
        f"{model.name} on {encoder.backend.device} in {encoder.backend.dtype}: "
        f"{rate / 1e9:,.0f} GFLOP/s, measured on a sample; "
        f"{CHARACTERS_PER_TOKEN} characters a token, texts cut at {model.max_length} tokens",
    )


def encoding_rate(encoder: TextEncoder, forward: QuadraticFlops, *, characters: float) -> float:
    """FLOP/s at which the encoder works through texts of a length on this device, measured.

    Args:
        encoder: Its model is loaded, if it is not.
        forward: FLOPs of one text by its tokens.
        characters: The mean length of the texts.

    Returns:
        FLOPs at true lengths over wall time, of the fastest of a few growing samples.
    """
    encoder.backend.load()
    _sample(encoder, forward, characters, _SAMPLES[0])  # a warm-up
    fastest, spent = 0.0, 0.0
    for count in _SAMPLES:
        flops, seconds = _sample(encoder, forward, characters, count)
        fastest, spent = max(fastest, flops / seconds), spent + seconds
        if spent > _SECONDS:
            break
    return fastest


def _sample(
    encoder: TextEncoder, forward: QuadraticFlops, characters: float, count: int
) -> tuple[float, float]:
    """FLOPs and seconds of encoding texts of half to one and a half times a length."""
    lengths = np.linspace(0.5, 1.5, count) * max(characters, 1.0)
    copies = 1 + int(lengths.max()) // len(_SENTENCE)
    texts = [
        f"{row} {_SENTENCE * copies}"[: max(int(length), 1)] for row, length in enumerate(lengths)
    ]
    made = encoder.fresh([str(row) for row in range(count)], texts, "document")
    started = time.perf_counter()
    _ = made.pooled
    encoder.backend.synchronise()
    return float(forward.at(made.lengths).sum()), time.perf_counter() - started
