"""How many postings a query touches, before there is an index: terms that two texts share.

The postings of a query are Σ_{t∈q} df(t) = N·Σ_v p_q(v)·p_d(v): the number of documents times the
expected number of terms that a query and a document have in common, which is SPLADE's FLOPS figure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STEPS = 200  # of the bisection, each halves the interval


def uniform_shared_terms(query_terms: float, kept: float, vocabulary: int) -> float:
    """Return q·K/V, the expected common terms if every term were as likely as any other.

    Args:
        query_terms: Distinct terms q of a query.
        kept: Terms K of a document.
        vocabulary: V.
    """
    return query_terms * min(kept / vocabulary, 1.0)


def zipf_shares(terms: float, vocabulary: int, exponent: float) -> NDArray[np.float64]:
    """Return in which share of texts each term is, where terms are drawn by Zipf's law.

    The term of rank r is drawn at a rate c·r^-s and is in a text if it was drawn at all,
    p(r) = 1 - exp(-c·r^-s); c is such that a text has the given number of distinct terms.

    Args:
        terms: Distinct terms of a text, above 0 and below V.
        vocabulary: V.
        exponent: s, at least 0; 0 makes all terms alike.

    Returns:
        Shares by rank, float64 (V,).

    Raises:
        ValueError: A number is outside its range.
    """
    if not 0 < terms < vocabulary or not exponent >= 0:
        raise ValueError(f"need 0 < terms ({terms}) < V ({vocabulary}) and s ({exponent}) >= 0")
    rates = np.arange(1, vocabulary + 1, dtype=np.float64) ** -exponent

    def shares(log_scale: float) -> NDArray[np.float64]:
        result: NDArray[np.float64] = -np.expm1(-np.exp(log_scale) * rates)
        return result

    low = float(np.log(terms / vocabulary))  # no rate is above 1, so this is too few
    high = low + 1.0
    while shares(high).sum() < terms:
        high += high - low
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if shares(middle).sum() < terms else (low, middle)
    return shares(high)


def zipf_shared_terms(query_terms: float, kept: float, vocabulary: int, exponent: float) -> float:
    """Return the expected common terms where queries and documents draw from one Zipf law.

    Args:
        query_terms: Distinct terms of a query.
        kept: Terms K of a document.
        vocabulary: V.
        exponent: s.
    """
    if query_terms <= 0:
        return 0.0
    most = np.nextafter(float(vocabulary), 0.0)
    documents, queries = (
        np.ones(vocabulary) if terms >= most else zipf_shares(terms, vocabulary, exponent)
        for terms in (kept, query_terms)
    )
    return float(documents @ queries)
