"""Lenses: what a change of instruction, model or text does to aligned tokens (paper section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from harness.alignment.inspection import AlignedToken
    from harness.alignment.lexicon import Lexicon

_MARKS = ("\u2423", "##")  # of a token that begins a word, and of one inside it
PERSISTENCE = 0.9  # of rank-biased overlap: the first ten ranks have 86 % of the weight


@dataclass(frozen=True)
class ComparedToken:
    """One token and its place in each list.

    Attributes:
        token: As a person reads it.
        ranks: Its rank in each list, from 1; None where the list has it not.
        weights: Its weight in each list; None where the list has it not.
    """

    token: str
    ranks: tuple[int | None, ...]
    weights: tuple[float | None, ...]

    @property
    def held_by(self) -> tuple[int, ...]:
        """The lists that have it, from 0."""
        return tuple(number for number, rank in enumerate(self.ranks) if rank is not None)

    @property
    def shared(self) -> bool:
        """Whether all lists have it."""
        return None not in self.ranks


@dataclass(frozen=True)
class Overlap:
    """What two ranked lists have in common; each measure is 1 for equal lists, 0 for disjoint ones.

    Attributes:
        first: One list, from 0.
        second: The other.
        common: Tokens that both have.
        at_k: `common` divided by the length of the longer list.
        jaccard: `common` divided by the number of tokens that either has.
        rbo: See `rank_biased_overlap`.
    """

    first: int
    second: int
    common: int
    at_k: float
    jaccard: float
    rbo: float


@dataclass(frozen=True)
class TokenComparison:
    """Ranked lists of tokens side by side.

    Attributes:
        tokens: Every token of any list, in the order of the first list, then of the next ones.
        overlaps: One of each pair of lists.
        by_text: Whether tokens were told apart by their text, see `token_text`.
    """

    tokens: tuple[ComparedToken, ...]
    overlaps: tuple[Overlap, ...]
    by_text: bool

    def groups(self) -> dict[tuple[int, ...], list[str]]:
        """Tokens by the lists that have them, those of the most lists first."""
        found: dict[tuple[int, ...], list[str]] = {}
        for token in self.tokens:
            found.setdefault(token.held_by, []).append(token.token)
        return dict(sorted(found.items(), key=lambda group: (-len(group[0]), group[0])))


def compare_tokens(
    lists: Sequence[Sequence[AlignedToken]], *, by_text: bool = False
) -> TokenComparison:
    """Set two or more lists of aligned tokens side by side.

    Args:
        lists: Each by descending weight.
        by_text: Whether tokens are told apart by `token_text`, as those of different tokenizers
            must be, and not by their ids. A token that a list then holds twice counts once, where
            it stands first.

    Raises:
        ValueError: If there are fewer than two lists.
    """
    if len(lists) < 2:
        raise ValueError("two lists or more are compared")
    places: list[dict[int | str, tuple[int, AlignedToken]]] = []
    for tokens in lists:
        place: dict[int | str, tuple[int, AlignedToken]] = {}
        for rank, token in enumerate(tokens, start=1):
            place.setdefault(token_text(token.token) if by_text else token.id, (rank, token))
        places.append(place)
    names = {
        key: token_text(token.token) if by_text else token.token
        for place in reversed(places)
        for key, (_, token) in place.items()
    }
    order = dict.fromkeys(key for place in places for key in place)
    compared = []
    for key in order:
        held = [place.get(key) for place in places]
        compared.append(
            ComparedToken(
                names[key],
                ranks=tuple(None if at is None else at[0] for at in held),
                weights=tuple(None if at is None else at[1].weight for at in held),
            )
        )
    pairs = combinations(range(len(places)), 2)
    return TokenComparison(
        tuple(compared),
        tuple(_overlap(one, two, list(places[one]), list(places[two])) for one, two in pairs),
        by_text,
    )


def same_ids(lists: Sequence[Sequence[AlignedToken]], lexicons: Sequence[Lexicon]) -> bool:
    """Whether the ids of all listed tokens mean the same in every lexicon."""
    return all(
        token.id < lexicon.size and lexicon.name(token.id) == token.token
        for lexicon in lexicons
        for tokens in lists
        for token in tokens
    )


def token_text(token: str) -> str:
    """A readable token without case and without the mark of a word's beginning or inside."""
    for mark in _MARKS:
        token = token.removeprefix(mark) or token
    return token.lower()


def rank_biased_overlap(
    first: Sequence[Any], second: Sequence[Any], *, persistence: float = PERSISTENCE
) -> float:
    """RBO_ext of two lists (Webber, Moffat and Zobel 2010, equation 32), from 0 to 1.

    The mean agreement over depths, depth d weighted by p^(d-1), extrapolated: below its end a list
    goes on to agree as it did.

    Args:
        first: Distinct items, best first.
        second: The same, maybe of another length.
        persistence: p, above 0 and below 1; larger ones look deeper.
    """
    short, long = sorted((first, second), key=len)
    if not short:
        return float(not long)
    inside = len(short)
    depths = np.arange(1, len(long) + 1)
    common = np.array(
        [len(set(short[:depth]) & set(long[:depth])) for depth in range(1, len(long) + 1)]
    )
    ended = np.maximum(depths - inside, 0) * common[inside - 1] / inside
    agreement = (common + ended) / depths
    weights = persistence ** (depths - 1)
    tail = persistence ** len(long) * agreement[-1]
    return float((1 - persistence) * np.sum(weights * agreement) + tail)


def cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """The cosine of two vectors (d,), computed in float64; 0 where one of them is zero."""
    one, two = first.astype(np.float64), second.astype(np.float64)
    lengths = float(np.linalg.norm(one) * np.linalg.norm(two))
    return min(max(float(one @ two) / lengths, -1.0), 1.0) if lengths else 0.0


def comparison_frame(
    comparison: TokenComparison,
    *,
    variants: Sequence[str],
    text_ids: Sequence[str],
    texts: Sequence[str],
) -> Any:
    """A comparison as a pandas DataFrame, one row for each token of each list.

    Args:
        comparison: Of n lists.
        variants: What each list was made with, n names.
        text_ids: The id of each list's text.
        texts: Each list's text.

    Returns:
        Columns variant, text_id, text, rank, token, weight, shared; by list, then by rank.
    """
    import pandas as pd

    rows = [
        (number, token.ranks[number], token.token, token.weights[number], token.shared)
        for number in range(len(variants))
        for token in comparison.tokens
        if token.ranks[number] is not None
    ]
    rows.sort(key=lambda row: row[:2])
    return pd.DataFrame(
        [(variants[number], text_ids[number], texts[number], *rest) for number, *rest in rows],
        columns=["variant", "text_id", "text", "rank", "token", "weight", "shared"],
    )


def _overlap(one: int, two: int, first: Sequence[Any], second: Sequence[Any]) -> Overlap:
    common = len(set(first) & set(second))
    either = len(set(first) | set(second))
    return Overlap(
        first=one,
        second=two,
        common=common,
        at_k=common / max(len(first), len(second)) if either else 1.0,
        jaccard=common / either if either else 1.0,
        rbo=rank_biased_overlap(first, second),
    )
