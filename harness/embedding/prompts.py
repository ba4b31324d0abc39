"""Prompts: exactly which tokens the model reads of a text, and where the text is among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.embedding.ragged import Ragged
from harness.errors import BadInputError


@dataclass(frozen=True)
class Prompts:
    """Tokenised prompts, ready for the model.

    Attributes:
        ids: Token ids of each prompt, special tokens and template included.
        text_start: int64 (n,): first token of the text itself, of its last copy where there are
            several; 0 where nothing is an instruction.
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


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the prompt of a text is put together.

    Attributes:
        pieces: What stands before, between and after the copies of the text: one more than copies.
        max_length: Most tokens of a prompt, special tokens included.
        text_max_length: Most tokens of the text alone; no limit when None.
        join_tokens: Tokenise the pieces apart, so that none of their tokens merges with the text's.
        count_text: The text begins as many tokens from the end as it and the last piece have on
            their own (LLM2Vec), instead of with the first token that holds a character of it.
        needs_first: Special token, `bos`, put in front unless the tokenizer or a piece brings it.
        needs_last: Special token, `eos`, appended unless the tokenizer or a piece brings it. What
            the text itself ends with does not matter.
    """

    pieces: tuple[str, ...] = ("", "")
    max_length: int
    text_max_length: int | None = None
    join_tokens: bool = False
    count_text: bool = False
    needs_first: str | None = None
    needs_last: str | None = None

    @property
    def is_bare(self) -> bool:
        """Whether the text's tokens do not depend on what stands around them."""
        return len(self.pieces) == 2 and (self.join_tokens or not any(self.pieces))


def tokenise(tokenizer: Any, texts: Sequence[str], layout: Layout) -> Prompts:
    """Tokenise texts into prompts.

    A prompt that is too long loses tokens from the end of the text (of each copy alike), never from
    what surrounds it.

    Args:
        tokenizer: A fast Hugging Face tokenizer.
        texts: The bare texts.
        layout: How their prompts are put together.

    Raises:
        BadInputError: If what surrounds the text alone fills `max_length`, or the tokenizer has no
            such special token.
    """
    if layout.is_bare:
        literal = literal_tokens(tokenizer, texts, max_length=layout.max_length)
        return bare_prompts(tokenizer, literal, layout)
    first, last = _ends(tokenizer, layout)
    prompts = _wrapped(tokenizer, texts, layout, layout.max_length - len(first) - len(last))
    if not first and not last:
        return prompts
    ids = prompts.ids.surround(first, last)
    return Prompts(ids, prompts.text_start + len(first), prompts.text_stop + len(first))


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


def bare_prompts(tokenizer: Any, literal: Ragged, layout: Layout) -> Prompts:
    """Prompts of a bare layout, from literal tokens that are there already.

    What the tokenizer would have made of the texts: its special tokens around them, the pieces'
    tokens inside those, the text cut so that all fit.

    Raises:
        BadInputError: See `tokenise`.
    """
    outer_before, outer_after = _added_tokens(tokenizer)
    inner_before, inner_after = (_piece_tokens(tokenizer, piece) for piece in layout.pieces)
    first, last = _ends(tokenizer, layout)
    before = [*first, *outer_before, *inner_before]
    after = [*inner_after, *outer_after, *last]
    room = layout.max_length - len(before) - len(after)
    if room < 1 and any(layout.pieces):
        raise BadInputError(_no_room(layout))
    if layout.text_max_length is not None:
        room = min(room, layout.text_max_length)
    text = literal.head(np.full(len(literal), max(room, 0)))
    ids = text.surround(before, after)
    if any(layout.pieces) or layout.count_text:
        start = np.full(len(ids), len(before), np.int64)
        return Prompts(ids, start, start + text.lengths)
    # Without a template nothing is an instruction: special tokens pool, as these models were
    # trained to.
    return Prompts(ids, np.zeros(len(ids), np.int64), ids.lengths)


def shorten_by_words(
    tokenizer: Any, texts: Sequence[str], limit: int, *, max_length: int
) -> list[str]:
    """Texts of at most `limit` tokens: whole words are dropped from the end, as LLM2Vec does.

    Again and again the share limit/tokens of a text's words is kept, joined by single spaces; a
    text that is short enough stays as it is.

    Args:
        tokenizer: A fast Hugging Face tokenizer.
        texts: The bare texts.
        limit: Most tokens of a text.
        max_length: Tokens are counted up to this number.
    """
    shortened = list(texts)
    lengths = np.minimum(_tokens_alone(tokenizer, texts), max_length) if texts else np.zeros(0)
    for row in np.flatnonzero(lengths > limit).tolist():
        text, length = texts[row], int(lengths[row])
        while length > limit:
            words = text.split()
            text = " ".join(words[: int(len(words) * (limit / length))])
            length = min(_tokens_alone(tokenizer, [text])[0], max_length)
        shortened[row] = text
    return shortened


def _ends(tokenizer: Any, layout: Layout) -> tuple[list[int], list[int]]:
    """The special tokens that a prompt is given in front and at its end."""
    if layout.needs_first is None and layout.needs_last is None:
        return [], []
    start, *_, stop = layout.pieces
    ids = tokenizer(start + "a" + stop)["input_ids"]
    if layout.is_bare:
        before, after = _added_tokens(tokenizer)
        ids = [*before, *_piece_tokens(tokenizer, start), -1]
        ids += [*_piece_tokens(tokenizer, stop), *after]
    first, last = (
        None if name is None else _special_token(tokenizer, name)
        for name in (layout.needs_first, layout.needs_last)
    )
    return (
        [] if first is None or ids[0] == first else [first],
        [] if last is None or ids[-1] == last else [last],
    )


def _piece_tokens(tokenizer: Any, piece: str) -> list[int]:
    """A piece's tokens on its own."""
    return list(tokenizer(piece, add_special_tokens=False)["input_ids"]) if piece else []


def _special_token(tokenizer: Any, name: str) -> int:
    token = getattr(tokenizer, f"{name}_token_id")
    if token is None:
        raise BadInputError(
            f"pooling={name}: the tokenizer names no {name}_token; use pooling=last_token or "
            "pooling=cls"
        )
    return int(token)


def _added_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and after a text."""
    encoded = tokenizer("a", return_special_tokens_mask=True)
    ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
    first = special.index(0)
    return ids[:first], ids[first + special.count(0) :]


def _no_room(layout: Layout) -> str:
    return (
        f"model.max_length={layout.max_length} leaves no room for the text beside the instruction "
        "template; raise it or shorten the template"
    )


def _wrapped(tokenizer: Any, texts: Sequence[str], layout: Layout, max_length: int) -> Prompts:
    """Prompts whose text is tokenised together with what surrounds it."""
    rows: list[list[int]] = []
    starts: list[int] = []
    stops: list[int] = []
    copies = len(layout.pieces) - 1
    if texts:
        encoded = tokenizer(
            [text.join(layout.pieces) for text in texts],
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        counted = None
        if layout.count_text:
            counted = _tokens_alone(tokenizer, [text + layout.pieces[-1] for text in texts])
        columns = ("input_ids", "offset_mapping", "special_tokens_mask")
        for row, (ids, spans, special) in enumerate(
            zip(*(encoded[name] for name in columns), strict=True)
        ):
            places = _copies(spans, special, layout.pieces, len(texts[row]))
            size = len(ids)
            surplus = max(-(-(len(ids) - max_length) // copies), 0)
            if surplus > 0 and any(surplus >= cut - first for first, _, cut in places):
                raise BadInputError(_no_room(layout))
            if layout.text_max_length is not None:
                longest = max(last - first for first, last, _ in places)
                surplus = max(surplus, longest - layout.text_max_length)
            for first, _, cut in reversed(places):
                del ids[max(cut - surplus, first) : cut]
            gone = [min(surplus, cut - first) for first, _, cut in places]
            first, last, cut = places[-1]
            if counted is not None:
                first = min(max(size - counted[row], 0), cut - gone[-1])
            rows.append(ids)
            starts.append(first - sum(gone[:-1]))
            stops.append(last - sum(gone))
    return Prompts(Ragged.from_rows(rows), np.array(starts, np.int64), np.array(stops, np.int64))


def _tokens_alone(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """How many tokens each text has on its own, without special tokens."""
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return [len(ids) for ids in encoded["input_ids"]]


def _copies(
    spans: Sequence[tuple[int, int]], special: Sequence[int], pieces: tuple[str, ...], size: int
) -> list[tuple[int, int, int]]:
    """Where each copy of a text of `size` characters is in its prompt; see `_text_tokens`."""
    span = np.array(spans, np.int64).reshape(-1, 2)
    added = np.array(special, bool)
    places = []
    start = 0
    for piece in pieces[:-1]:
        start += len(piece)
        places.append(_text_tokens(span, added, start, start + size))
        start += size
    return places


def _text_tokens(
    spans: NDArray[np.int64], special: NDArray[np.bool_], start: int, stop: int
) -> tuple[int, int, int]:
    """Where one copy of the text is in a prompt.

    Args:
        spans: First and one-past-last character of each token, (n, 2).
        special: Which tokens the tokenizer added, bool (n,).
        start: First character of the text.
        stop: One past its last character.

    Returns:
        The first token that holds characters of the text, one past the last, and one past the last
        that holds no character of what follows: only tokens before it may be cut.
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
