"""What a capacity plan rests on besides the collection: the model, the index and the machines."""

from __future__ import annotations

from dataclasses import dataclass

from harness.cost.closed_form import QuadraticFlops
from harness.cost.fitting import fit_choice_flops, ridge_fit_flops

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """What turns texts into embeddings and those into tokens.

    Attributes:
        forward: FLOPs of a text by its tokens.
        width: d of an embedding.
        vocabulary: V of its head.
        normalised: Whether scores are of normalised embeddings.
        fitted: Whether the head is fitted on the collection by ridge regression.
        strengths: How many λ are tried for that; 0 where λ is given.
        judged: Documents at most that they are judged on.
        judged_terms: Words of the query that is made of each of these.
        length_variation: Standard deviation of the lengths over their mean.
    """

    forward: QuadraticFlops
    width: int
    vocabulary: int
    normalised: bool = True
    fitted: bool = False
    strengths: int = 0
    judged: int = 0
    judged_terms: int = 0
    length_variation: float = 0.0

    def flops(self, tokens: float) -> float:
        """Expected FLOPs of a text where this is the mean length: E[L²] is mean²·(1 + cv²)."""
        spread = self.forward.quadratic * (tokens * self.length_variation) ** 2
        return float(self.forward.at(tokens)) + spread

    def fit_flops(self, documents: int, terms: float) -> float:
        """FLOPs of fitting the head on documents of so many distinct terms each; 0 if it is not."""
        if not self.fitted:
            return 0.0
        width = self.width + 1
        fit = ridge_fit_flops(
            texts=documents,
            width=width,
            nonzeros=round(documents * terms),
            vocabulary_size=self.vocabulary,
        )
        if not self.strengths:
            return fit
        sample = min(self.judged, documents)
        return fit + fit_choice_flops(
            criterion="self_retrieval",
            strengths=self.strengths,
            width=width,
            vocabulary_size=self.vocabulary,
            sample=sample,
            sample_nonzeros=round(sample * terms),
            query_nonzeros=round(sample * min(self.judged_terms, terms)),
        )


@dataclass(frozen=True, kw_only=True)
class SparseIndex:
    """How aligned tokens are indexed and asked for.

    Attributes:
        kept: K, tokens of a document.
        block: Documents of a block of the index.
        encodes_queries: Whether the model and the head read a query.
    """

    kept: int
    block: int
    encodes_queries: bool


@dataclass(frozen=True, kw_only=True)
class Rates:
    """How fast machines work, None where that is unknown; and what an hour costs.

    Attributes:
        encode_flops_per_second: Of the forward pass and the head, reached, not the peak.
        dense_flops_per_second: Of dense scores.
        bytes_per_second: At which dense search reads the index.
        postings_per_second: At which sparse search goes through postings.
        batch: Queries that one reading of the dense index serves.
        encode_price: Money an hour of what encodes.
        search_price: Money an hour of what searches.
    """

    encode_flops_per_second: float
    dense_flops_per_second: float
    bytes_per_second: float
    postings_per_second: float
    batch: int = 1
    encode_price: float | None = None
    search_price: float | None = None

    def money(self, encode_seconds: float, search_seconds: float = 0.0) -> float | None:
        """What so many seconds cost; None where a price that it takes is not known."""
        total = 0.0
        for seconds, price in (
            (encode_seconds, self.encode_price),
            (search_seconds, self.search_price),
        ):
            if seconds and price is None:
                return None
            total += seconds / SECONDS_PER_HOUR * (price or 0.0)
        return total
