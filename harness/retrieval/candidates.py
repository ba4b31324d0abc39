"""Reranking: scores of given candidates only, and their order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.embedding.mapped_rows import RowSource
from harness.embedding.ragged import Ragged
from harness.retrieval.ranking import Ranking, ranked

_PAIRS = 1 << 14  # pairs whose vectors are held at a time


def rank_candidates(candidates: Ragged, scores: NDArray[np.float32], top_k: int) -> Ranking:
    """Order each query's candidates by score; none is left out, whatever its score.

    Equal scores stand by descending document id, as trec_eval puts them: the ids of reranking tasks
    often name their relevance ("apositive…", "negative…"), so that ascending ids would put the
    relevant ones first.

    Args:
        candidates: Document rows of each query, (queries).
        scores: float32 (total candidates,).
        top_k: Ranks to keep.
    """
    lengths = candidates.lengths
    longest = int(lengths.max(initial=0))
    place = np.arange(len(candidates.values)) - np.repeat(candidates.offsets[:-1], lengths)
    documents = np.full((len(candidates), longest), -1, np.int32)
    padded = np.full((len(candidates), longest), -np.inf, np.float32)
    rows = candidates.row_numbers()
    documents[rows, place] = candidates.values
    padded[rows, place] = scores
    return ranked(documents, padded, min(top_k, longest), descending_ties=True)


def dense_scores(
    queries: NDArray[np.float32], documents: RowSource, candidates: Ragged
) -> NDArray[np.float32]:
    """Dot products of each query with its candidates: float32 (total candidates,).

    Args:
        queries: float32 (q, d).
        documents: float32 (n, d).
        candidates: Document rows of each query.
    """
    scores = np.empty(len(candidates.values), np.float32)
    for pairs, query_rows, document_rows in _pairs(candidates):
        rows: NDArray[np.float32] = documents[document_rows.astype(np.int64)]
        scores[pairs] = np.einsum("pd,pd->p", queries[query_rows], rows)
    return scores


def sparse_scores(
    queries: sparse.csr_array, documents: sparse.csr_array, candidates: Ragged
) -> tuple[NDArray[np.float32], int]:
    """Dot products of sparse rows, and the weights multiplied for them.

    Args:
        queries: CSR (q, V).
        documents: CSR (n, V).
        candidates: Document rows of each query.

    Returns:
        float32 (total candidates,), and how many entries a query and a candidate had in common.
    """
    scores = np.empty(len(candidates.values), np.float32)
    shared = 0
    for pairs, query_rows, document_rows in _pairs(candidates):
        products = queries[query_rows].multiply(documents[document_rows]).tocsr()
        scores[pairs] = products.sum(axis=1)
        shared += products.nnz
    return scores, shared


def _pairs(
    candidates: Ragged,
) -> Iterator[tuple[slice, NDArray[np.int64], NDArray[np.int32]]]:
    """Blocks of (query, candidate) pairs: their place, query rows and document rows."""
    query_rows = candidates.row_numbers()
    for start in range(0, len(query_rows), _PAIRS):
        pairs = slice(start, start + _PAIRS)
        yield pairs, query_rows[pairs], candidates.values[pairs]
