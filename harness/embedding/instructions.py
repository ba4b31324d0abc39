"""Instruction templates and tokenisation: what exactly the model reads, and which tokens pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.embedding.ragged import Ragged
from harness.errors import BadInputError

if TYPE_CHECKING:
    from harness.config import InstructionConfig

Side = Literal["query", "document"]


@dataclass(frozen=True)
class Prompts:
    """Tokenised prompts, ready for the model.

    Attributes:
        ids: Token ids of each prompt, special tokens and template included.
        text_start: int64 (n,): first token of the text itself, within its prompt.
        text_stop: int64 (n,): one past its last token.
    """

    ids: Ragged
    text_start: NDArray[np.int64]
    text_stop: NDArray[np.int64]

    @classmethod
    def concatenate(cls, parts: Sequence[Prompts]) -> Prompts:
        """All prompts of the parts, in order."""
        empty = np.zeros(0, np.int64)
        return cls(
            Ragged.concatenate(part.ids for part in parts),
            np.concatenate([empty, *(part.text_start for part in parts)]),
            np.concatenate([empty, *(part.text_stop for part in parts)]),
        )

    def select(self, rows: NDArray[np.int64]) -> Prompts:
        """The given prompts, in the given order."""
        return Prompts(self.ids.select(rows), self.text_start[rows], self.text_stop[rows])


class Template:
    """Wraps a text in the template of its side and tokenises it.

    A prompt that is too long loses tokens from the end of the text, never from the template.
    """

    def __init__(self, config: InstructionConfig) -> None:
        self.config = config

    def around(self, side: Side) -> tuple[str, str]:
        """What stands before and after the text."""
        template = self.config.query if side == "query" else self.config.document
        before, _, after = template.partition("{text}")
        return before, after

    def tokenise(
        self, tokenizer: Any, texts: Sequence[str], *, side: Side, max_length: int
    ) -> Prompts:
        """Render and tokenise texts.

        Args:
            tokenizer: A fast Hugging Face tokenizer.
            texts: The bare texts.
            side: Which template.
            max_length: Most tokens of a prompt, special tokens included.

        Raises:
            BadInputError: If the template alone fills `max_length`.
        """
        before, after = self.around(side)
        if not before and not after:
            literal = literal_tokens(tokenizer, texts, max_length=max_length)
            return bare_prompts(tokenizer, literal, max_length=max_length)
        return _wrapped(tokenizer, texts, before, after, max_length)


def literal_tokens(tokenizer: Any, texts: Sequence[str], *, max_length: int) -> Ragged:
    """Token ids of the bare texts: no template, no special tokens, cut at `max_length`."""
    if not texts:
        return Ragged.from_rows([])
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        truncation=True,
        max_length=max_length,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    return Ragged.from_rows(encoded["input_ids"])


def bare_prompts(tokenizer: Any, literal: Ragged, *, max_length: int) -> Prompts:
    """Prompts without a template, from literal tokens that are there already.

    What the tokenizer would have made of the texts: its special tokens around them, the text cut so
    that all fit into `max_length`.
    """
    before, after = _added_tokens(tokenizer)
    kept = np.minimum(literal.lengths, max_length - len(before) - len(after))
    lengths = kept + len(before) + len(after)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    values = np.empty(int(offsets[-1]), np.int32)
    for place, token in enumerate(before):
        values[offsets[:-1] + place] = token
    for place, token in enumerate(reversed(after)):
        values[offsets[1:] - 1 - place] = token
    within = np.arange(kept.sum()) - np.repeat(np.cumsum(kept) - kept, kept)
    source = np.repeat(literal.offsets[:-1], kept) + within
    values[np.repeat(offsets[:-1] + len(before), kept) + within] = literal.values[source]
    ids = Ragged(values, offsets)
    # Without a template nothing is an instruction: special tokens pool, as these models were
    # trained to.
    return Prompts(ids, np.zeros(len(ids), np.int64), ids.lengths)


def _added_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and after a text."""
    encoded = tokenizer("a", return_special_tokens_mask=True)
    ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
    first = special.index(0)
    return ids[:first], ids[first + special.count(0) :]


def _wrapped(
    tokenizer: Any, texts: Sequence[str], before: str, after: str, max_length: int
) -> Prompts:
    rows: list[list[int]] = []
    starts: list[int] = []
    stops: list[int] = []
    if texts:
        encoded = tokenizer(
            [before + text + after for text in texts],
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        columns = ("input_ids", "offset_mapping", "special_tokens_mask")
        for ids, spans, special, text in zip(
            *(encoded[name] for name in columns), texts, strict=True
        ):
            first, last, cut = _text_tokens(
                np.array(spans, np.int64).reshape(-1, 2),
                np.array(special, bool),
                len(before),
                len(before) + len(text),
            )
            surplus = len(ids) - max_length
            if surplus > 0:
                if surplus >= cut - first:
                    raise BadInputError(
                        f"model.max_length={max_length} leaves no room for the text beside the "
                        f"instruction template; raise it or shorten the template"
                    )
                del ids[cut - surplus : cut]
                last -= surplus
            rows.append(ids)
            starts.append(first)
            stops.append(last)
    return Prompts(Ragged.from_rows(rows), np.array(starts, np.int64), np.array(stops, np.int64))


def _text_tokens(
    spans: NDArray[np.int64], special: NDArray[np.bool_], start: int, stop: int
) -> tuple[int, int, int]:
    """Where the text's tokens are in a prompt.

    Args:
        spans: First and one-past-last character of each token, (n, 2).
        special: Which tokens the tokenizer added, bool (n,).
        start: First character of the text.
        stop: One past its last character.

    Returns:
        The first token that holds characters of the text, one past the last, and one past the last
        that holds no character of the template's tail: only tokens before it may be cut.
    """
    ends = spans[:, 1]
    begins = np.minimum(spans[:, 0], ends - 1)  # some tokenizers trim the span of a lone space
    if stop > start:
        inside = np.flatnonzero(~special & (ends > start) & (begins < stop))
        if len(inside):
            first, last = int(inside[0]), int(inside[-1]) + 1
            return first, last, last - int(ends[last - 1] > stop)
    before = np.flatnonzero(~special & (ends <= start))
    after = np.flatnonzero(~special & (ends > start))
    place = int(before[-1]) + 1 if len(before) else int(after[0]) if len(after) else 0
    return place, place, place
