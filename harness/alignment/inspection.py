"""What a model reads of one text, and what its embedding aligns to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.alignment.aligned_tokens import aligned_tokens
from harness.alignment.vocabulary import readable_token
from harness.config import build
from harness.embedding.prompts import tokenise

if TYPE_CHECKING:
    from harness.alignment.head import Head
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.instructions import Side
    from harness.embedding.pooling import Pooling

_NO_LIMIT = 10**9


@dataclass(frozen=True)
class PromptToken:
    """One token that the model reads.

    Attributes:
        id: Its id.
        token: As a person reads it, a space before it shown as one.
        pooled: Whether its state is pooled.
    """

    id: int
    token: str
    pooled: bool


@dataclass(frozen=True)
class AlignedToken:
    """One token with a large logit.

    Attributes:
        id: Its id.
        token: As a person reads it.
        weight: The logit.
        literal: Whether it is one of the text's own tokens.
    """

    id: int
    token: str
    weight: float
    literal: bool


@dataclass(frozen=True)
class Inspection:
    """One text under one template and instruction.

    Attributes:
        prompt: The exact text that is tokenised, before any cut.
        tokens: What the model reads.
        cut: How many tokens the text lost because it is too long.
        aligned: The aligned tokens, by descending weight.
    """

    prompt: str
    tokens: list[PromptToken]
    cut: int
    aligned: list[AlignedToken]


def inspect_text(
    encoder: TextEncoder, head: Head, text: str, *, side: Side, top_k: int
) -> Inspection:
    """Encode one text and read its embedding through a fitted head.

    Args:
        encoder: With the template bound to its instruction.
        head: See `Head`; fitted.
        text: The bare text.
        side: Which template.
        top_k: Aligned tokens wanted; special tokens are left out.
    """
    tokenizer = encoder.model.tokenizer
    texts = encoder.fresh(["text"], [text], side)
    ids = texts.prompts.ids[0].tolist()
    start = int(texts.prompts.text_start[0])
    pooled = _pooled(
        build(encoder.pooling), len(ids), 0 if encoder.pooling.include_instruction else start
    )
    allowed = head.lexicon.allowed(drop_special=True, drop_punctuation=False, drop_stopwords=False)
    aligned = aligned_tokens(
        head, head.read(texts), top_k, allowed=allowed, device=encoder.backend.device
    )
    unlimited = replace(encoder.layout(side), max_length=_NO_LIMIT, text_max_length=None)
    whole = tokenise(tokenizer, [encoder.template.strip(text)], unlimited)
    literal = set(head.lexicon.literal(texts)[0].tolist())
    return Inspection(
        prompt=encoder.template.strip(text).join(encoder.template.pieces(side)),
        tokens=[
            PromptToken(token, readable_token(tokenizer, token), bool(counts))
            for token, counts in zip(ids, pooled, strict=True)
        ],
        cut=len(whole.ids[0]) - len(ids),
        aligned=[
            AlignedToken(term, head.lexicon.name(term), float(weight), term in literal)
            for term, weight in zip(aligned.ids[0].tolist(), aligned.weights[0], strict=True)
            if term >= 0
        ],
    )


def _pooled(pooling: Pooling, length: int, start: int) -> NDArray[np.bool_]:
    """Which tokens change the embedding: bool (length,).

    Token states that are each a dimension of their own show it of any pooling.
    """
    import torch

    counted = torch.arange(length)[None, :] >= start
    taken: NDArray[np.bool_] = (pooling(torch.eye(length)[None], counted)[0] != 0).numpy()
    return taken
