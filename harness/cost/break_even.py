"""What two modes cost for as many queries as are asked, and from when one is no dearer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def total_flops(corpus_flops: float, query_flops: float, queries: ArrayLike) -> NDArray[np.float64]:
    """Return corpus + n·query, the FLOPs of an index and all queries that it answers.

    Args:
        corpus_flops: Of encoding, head and fit of the corpus.
        query_flops: Of one query.
        queries: n, integers of any shape.

    Returns:
        FLOPs, float64 of the same shape.

    Raises:
        ValueError: A number of queries is negative.
    """
    asked = np.asarray(queries, dtype=np.float64)
    if np.any(asked < 0):
        raise ValueError("there cannot be fewer than 0 queries")
    total: NDArray[np.float64] = np.asarray(corpus_flops + asked * query_flops)
    return total


def break_even_queries(
    corpus: float, query: float, other_corpus: float, other_query: float
) -> float:
    """Return the least n ≥ 0 with corpus + n·query ≤ other_corpus + n·other_query.

    Where the mode's queries are no dearer than the other's it stays so for every larger n. Where
    they are dearer n is 0 or infinity; the n from which on the other is no dearer is found by
    giving the two in the other order. Exact for any numbers: sums of FLOPs are too large for
    float64 to tell apart.

    Args:
        corpus: FLOPs of the mode's corpus, encoding, head and fit; finite, as are all.
        query: FLOPs of one of its queries.
        other_corpus: The same of the mode that it is compared with.
        other_query: Its query's.

    Returns:
        A whole number; infinity if the mode is dearer at any n.

    Raises:
        ValueError: A figure is negative or not finite.
    """
    figures = (corpus, query, other_corpus, other_query)
    if not all(math.isfinite(figure) and figure >= 0 for figure in figures):
        raise ValueError(f"FLOPs must be finite and not negative, not {figures}")
    ahead = Fraction(corpus) - Fraction(other_corpus)
    saved = Fraction(other_query) - Fraction(query)
    if ahead <= 0:
        return 0
    return math.ceil(ahead / saved) if saved > 0 else math.inf


def break_even(cost: Mapping[str, Any], other: Mapping[str, Any]) -> float | None:
    """Return `break_even_queries` of two modes by their cost records.

    Args:
        cost: `CostRecord` figures of a mode; `corpus_flops` and `query_flops` are read.
        other: Those of the mode that it is compared with.

    Returns:
        A whole number; infinity if the mode is dearer at any number of queries; None where a figure
        was not measured.
    """
    figures = [mode.get(name) for mode in (cost, other) for name in ("corpus_flops", "query_flops")]
    known = [figure for figure in figures if figure is not None]
    return break_even_queries(*known) if len(known) == len(figures) else None
