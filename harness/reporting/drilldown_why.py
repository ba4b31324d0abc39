"""Why a mode of terms ranked one query as it did, in words and marked tokens."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from harness.evaluation.explanations import NOT_RELEVANT, RELEVANT, Explanation, Terms
from harness.evaluation.kept_texts import cut
from harness.reporting.figures_style import shown_token
from harness.reporting.query_facts import QueryFacts
from harness.text import printable

_MOST_CHIPS = 24
_LONGEST_TOKEN = 32
_LONGEST_TEXT = 160


@dataclass(frozen=True)
class Chip:
    """A token: `matched` by the relevant document, by the `other` one, by `both` or by `none`."""

    text: str
    title: str
    mark: str


@dataclass(frozen=True)
class ExplainedDocument:
    """One of the two documents.

    Attributes:
        id: Its id.
        text: Its text; empty where none is kept.
        place: Its rank and score in words.
        matched: The query's tokens that it holds, with what each adds to its score.
        largest: Its largest tokens, those of the query marked; empty for the other document.
    """

    id: str
    text: str
    place: str
    matched: list[Chip]
    largest: list[Chip]


@dataclass(frozen=True)
class Why:
    """The query's tokens and both documents.

    Attributes:
        sentence: What the two documents match.
        query: The query's tokens.
        more: How many of these are not shown.
        relevant: The best relevant document; None where the corpus has none.
        other: The best of those that are not relevant; None where none was found.
    """

    sentence: str
    query: list[Chip]
    more: int
    relevant: ExplainedDocument | None
    other: ExplainedDocument | None


def why(facts: QueryFacts) -> Why | None:
    """Explain one query; None where nothing is kept to explain it with."""
    relevant, other = (facts.explained.get(role) for role in (RELEVANT, NOT_RELEVANT))
    either = relevant or other
    if either is None:
        return None
    hits, others = (_names(one.matched if one else []) for one in (relevant, other))
    shown = _document(other, facts, hits, others)
    return Why(
        sentence=_sentence(relevant, other, len(either.query)),
        query=_chips(either.query, hits, others)[:_MOST_CHIPS],
        more=max(len(either.query) - _MOST_CHIPS, 0),
        relevant=_document(relevant, facts, hits, others),
        other=None if shown is None else replace(shown, largest=[]),
    )


def one_line(text: str, longest: int) -> str:
    """The text on one line, unprintable characters escaped, of at most `longest` characters."""
    return cut(printable(" ".join(text.split())), longest)


def _sentence(relevant: Explanation | None, other: Explanation | None, tokens: int) -> str:
    """What both match and where the largest gap is, in words."""
    parts = []
    if relevant is not None:
        where = "was not found" if relevant.rank is None else f"is ranked {relevant.rank:,}"
        parts.append(f"the relevant document {where}, {_matches(relevant, tokens)}")
    if other is not None:
        parts.append(f"the best other one is ranked {other.rank:,}, {_matches(other, tokens)}")
    if relevant is not None and other is not None and (gap := _largest_gap(relevant, other)):
        parts.append(gap)
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}"


def _matches(one: Explanation, tokens: int) -> str:
    what = f"{len(one.matched)} of {tokens} query token{'' if tokens == 1 else 's'}"
    return f"matches {what} and scores {one.score:.3g}"


def _largest_gap(relevant: Explanation, other: Explanation) -> str:
    """The token by which the other document gains most on the relevant one; empty without one."""
    mine = dict(relevant.matched)
    gaps = [(weight - mine.get(token, 0.0), token, weight) for token, weight in other.matched]
    gap, token, weight = max(gaps, key=lambda one: one[0], default=(0.0, "", 0.0))
    if gap <= 0:
        return ""
    name = one_line(shown_token(token), _LONGEST_TOKEN)
    return f"the largest gap is at “{name}”, {mine.get(token, 0.0):.3g} against {weight:.3g}"


def _document(
    one: Explanation | None, facts: QueryFacts, hits: Collection[str], others: Collection[str]
) -> ExplainedDocument | None:
    if one is None:
        return None
    rank = "not found" if one.rank is None else f"rank {one.rank:,}"
    return ExplainedDocument(
        id=one_line(one.document_id, 80),
        text=one_line(facts.explained_texts.get(one.document_id, ""), _LONGEST_TEXT),
        place=f"{rank}, score {one.score:.4g}",
        matched=_chips(one.matched, hits, others)[:_MOST_CHIPS],
        largest=_chips(one.document, hits, others),
    )


def _chips(terms: Terms, hits: Collection[str], others: Collection[str]) -> list[Chip]:
    return [
        Chip(
            one_line(shown_token(token), _LONGEST_TOKEN),
            f"{weight:.3g}",
            _mark(token, hits, others),
        )
        for token, weight in terms
    ]


def _mark(token: str, hits: Collection[str], others: Collection[str]) -> str:
    if token in hits:
        return "both" if token in others else "matched"
    return "other" if token in others else "none"


def _names(terms: Sequence[tuple[str, float]]) -> set[str]:
    return {token for token, _ in terms}
