"""FLOPs of scoring one query, by what is touched; 1 multiply-add is 2 FLOPs."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Postings = TypeVar("_Postings", int, NDArray[np.int64])


def dense_scoring_flops(width: int, documents: int) -> int:
    """Return 2·d·N, the FLOPs of scoring one query against every document exactly."""
    return 2 * width * documents


def sparse_scoring_flops(postings_touched: _Postings) -> _Postings:
    """Return 2·Σ_{t∈q} df(t), the FLOPs of scoring one query over an inverted index.

    Args:
        postings_touched: Σ_{t∈q} df(t), the summed lengths of the posting lists of the query's
            tokens; an integer, or int64 of shape (queries,).

    Returns:
        FLOPs of the same type and shape.
    """
    return 2 * postings_touched


def splade_flops(query_token_share: ArrayLike, document_token_share: ArrayLike) -> float:
    """Return SPLADE's FLOPS figure, Σ_v p_q(v)·p_d(v).

    It is the expected number of vocabulary entries that a query and a document share, hence of
    multiply-adds per pair (not doubled, so as to be comparable with published figures).

    Source: Formal et al., 2021, "SPLADE: Sparse Lexical and Expansion Model for First Stage
    Ranking", after Paria et al., 2020.

    Args:
        query_token_share: Share of queries in which each vocabulary entry is active, (V,).
        document_token_share: The same for documents, (V,): df(v)/N.

    Raises:
        ValueError: The shapes differ or are not one-dimensional, or a share is outside [0, 1].
    """
    queries = np.asarray(query_token_share, dtype=np.float64)
    documents = np.asarray(document_token_share, dtype=np.float64)
    if queries.ndim != 1 or queries.shape != documents.shape:
        raise ValueError(f"shares must both be (V,), not {queries.shape} and {documents.shape}")
    for shares in (queries, documents):
        if not np.all((shares >= 0) & (shares <= 1)):
            raise ValueError("shares must lie in [0, 1]")
    return float(queries @ documents)
