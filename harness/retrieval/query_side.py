"""What a query asks of an index of aligned tokens: terms and weights (paper section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.alignment.aligned_tokens import AlignedTokens, aligned_tokens, logits_at
from harness.alignment.vocabulary import token_sets
from harness.embedding.ragged import Ragged
from harness.retrieval.documents import document_matrix, weigh

if TYPE_CHECKING:
    from harness.alignment.head import Head
    from harness.alignment.term_weights import TermWeights
    from harness.config import AlignedSparseConfig
    from harness.embedding.texts import Texts


@dataclass(frozen=True)
class QuerySide:
    """What all query settings of one head and corpus draw on.

    Attributes:
        sets: The queries' own terms, CSR ones (q, V).
        expansion: Their aligned tokens, as many as any setting adds; None where none does.
        logits: The logits of all those terms, CSR (q, V); None where no setting weighs by them.
        idf: float32 (V,), of the indexed corpus.
    """

    sets: sparse.csr_array
    expansion: AlignedTokens | None
    logits: sparse.csr_array | None
    idf: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        head: Head,
        queries: Texts,
        allowed: NDArray[np.bool_],
        terms: TermWeights,
        *,
        most: int,
        scores: bool,
        literal: bool = False,
        device: str = "cpu",
    ) -> QuerySide:
        """Read the queries; a model runs for them only if `most` or `scores` asks for it.

        Args:
            head: Fitted.
            queries: The queries.
            allowed: Terms that may stand in the index, bool (V,).
            terms: Of the indexed corpus.
            most: The largest M of any setting.
            scores: Whether a setting weighs terms by their logits.
            literal: Whether aligned tokens are limited to a query's own terms.
            device: Where logits are computed.
        """
        sets = token_sets(head.lexicon.literal(queries), allowed)
        expansion = logits = None
        everything = sets
        if most:
            expansion = aligned_tokens(
                head,
                head.read(queries),
                most,
                allowed=allowed,
                literal=sets if literal else None,
                device=device,
            )
            everything = _union(sets, expansion)
        if scores:
            tokens = Ragged(everything.indices.astype(np.int32), everything.indptr.astype(np.int64))
            logits = everything.copy()
            logits.data = logits_at(head, head.read(queries), tokens, device=device)
        return cls(sets, expansion, logits, terms.idf)


def query_matrix(side: QuerySide, config: AlignedSparseConfig) -> sparse.csr_array:
    """Query weights under one setting, CSR float32 (q, V) with sorted columns.

    Args:
        side: With at least the setting's M, and logits if it weighs by them.
        config: The setting.
    """
    m = config.query_expansion
    matrix = side.sets.copy()
    if m:
        assert side.expansion is not None
        first = AlignedTokens(side.expansion.ids[:, :m], side.expansion.weights[:, :m])
        matrix = _union(side.sets, first)
    if config.query_weight == "idf":
        matrix.data = side.idf[matrix.indices]
    elif config.query_weight == "score":
        assert side.logits is not None
        matrix.data = weigh(_looked_up(side.logits, matrix), config.doc_weight)
    return matrix


def _union(sets: sparse.csr_array, added: AlignedTokens) -> sparse.csr_array:
    """Sets with more terms, CSR ones."""
    more = document_matrix(added, sets.shape[1], weight="binary", l2=False)
    union = (sets + more).tocsr()
    union.data = np.ones(len(union.data), np.float32)
    union.sort_indices()
    return union


def _looked_up(values: sparse.csr_array, pattern: sparse.csr_array) -> NDArray[np.float32]:
    """The entries of `values` at those of `pattern`, which it has all of."""
    places = np.searchsorted(_keys(values), _keys(pattern))
    found: NDArray[np.float32] = values.data[places]
    return found


def _keys(matrix: sparse.csr_array) -> NDArray[np.int64]:
    """Each entry's place in the matrix as one number, ascending."""
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    keys: NDArray[np.int64] = rows * matrix.shape[1] + matrix.indices
    return keys
