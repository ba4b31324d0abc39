"""A collection by number and length of its texts, which is all that its cost depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TextCount:
    """Texts of one kind.

    Attributes:
        texts: How many.
        distinct: How many different ones; each is encoded and stored once.
        tokens: Mean tokens of a prompt.
        terms: Mean tokens of the text alone.
    """

    texts: int
    distinct: int
    tokens: float
    terms: float


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Documents and queries by number and length.

    Attributes:
        name: Its name.
        documents: Each kind of them; several where collections are added up.
        query: A query, its numbers being those that the collection comes with; None where nothing
            is asked of it.
        basis: Where its numbers are from, in a word: `published`, `counted`, `given`, `sum`,
            `extrapolated`.
    """

    name: str
    documents: tuple[TextCount, ...]
    query: TextCount | None
    basis: str

    @property
    def count(self) -> int:
        """Documents in all."""
        return sum(part.texts for part in self.documents)

    @property
    def distinct(self) -> int:
        """Distinct documents in all; those that two parts share count in both."""
        return sum(part.distinct for part in self.documents)

    @property
    def tokens(self) -> float:
        """Tokens of all distinct documents' prompts."""
        return sum(part.distinct * part.tokens for part in self.documents)


def extrapolated(collections: Sequence[Collection], documents: int) -> Collection:
    """So many documents and queries as long as those of some collections are on average.

    Args:
        collections: At least one, with a document.
        documents: How many, all distinct.
    """
    parts = [part for collection in collections for part in collection.documents]
    query = [one.query for one in collections if one.query is not None]
    return Collection(
        name="extrapolated",
        documents=(_mean(parts, documents),),
        query=_mean(query, sum(part.texts for part in query)) if query else None,
        basis="extrapolated",
    )


def _mean(parts: Sequence[TextCount], count: int) -> TextCount:
    total = sum(part.texts for part in parts)
    weights = [part.texts / total if total else 1 / len(parts) for part in parts]
    pairs = list(zip(weights, parts, strict=True))
    return TextCount(
        texts=count,
        distinct=count,
        tokens=sum(weight * part.tokens for weight, part in pairs),
        terms=sum(weight * part.terms for weight, part in pairs),
    )
