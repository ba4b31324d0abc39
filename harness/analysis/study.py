"""The study: every setting of aligned sparse retrieval, scored from one encoding of the texts.

What settings share is computed once: the aligned tokens of the largest K and M (fewer are the first
of them), each index for all query weights. What is scored is what `AlignedSparseRetriever` scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from harness.alignment.aligned_tokens import AlignedTokens, aligned_tokens
from harness.alignment.term_weights import TermWeights
from harness.alignment.vocabulary import token_counts
from harness.config import AlignedSparseConfig
from harness.cost.flops import sparse_scoring_flops
from harness.evaluation.ndcg import Ndcg
from harness.retrieval.documents import document_matrix, with_literal_terms
from harness.retrieval.inverted_index import InvertedIndex
from harness.retrieval.query_side import QuerySide, query_matrix
from harness.retrieval.ranking import Ranking

if TYPE_CHECKING:
    from harness.alignment.head import Head
    from harness.analysis.collections import JudgedCollection
    from harness.config import StudyConfig

DEPTH = 10  # nDCG@10
_SETTINGS = (
    *("doc_top_k", "query_expansion", "doc_weight", "doc_norm", "literal_share", "query_weight"),
)
_FIGURES = ("ndcg", "scoring_flops", "index_bytes", "head_flops_per_query", "runs_model")
POINTS = (*_SETTINGS, *_FIGURES)  # the columns of `StudyPart.points`


@dataclass(frozen=True)
class StudyPart:
    """One head with one transform on one collection.

    Attributes:
        points: One row a setting: the settings, `ndcg`, `scoring_flops` (mean of a query),
            `index_bytes`, `head_flops_per_query`, `runs_model` (whether a model runs for a query).
        per_query: nDCG@10, float32 (settings, queries).
    """

    points: pd.DataFrame
    per_query: NDArray[np.float32]


def study_settings(config: StudyConfig) -> list[list[AlignedSparseConfig]]:
    """The grid of settings, those that share an index together."""
    return [
        [
            replace(documents, doc_top_k=k, query_expansion=m, query_weight=weight)
            for m, weight in product(config.query_expansion, config.query_weight)
        ]
        for documents, k in product(config.documents, config.doc_top_k)
    ]


def study_head(
    head: Head, collection: JudgedCollection, groups: Sequence[Sequence[AlignedSparseConfig]]
) -> StudyPart:
    """Score settings with one head, which is fitted here.

    Args:
        head: With its transform.
        collection: Texts and judgements.
        groups: The settings; those of a group differ in their query side alone.
    """
    everything = [one for group in groups for one in group]
    corpus, queries = collection.corpus, collection.queries
    device = corpus.encoder.backend.device
    head.fit(corpus)
    allowed = head.lexicon.allowed(drop_special=True, drop_punctuation=False, drop_stopwords=False)
    counts = token_counts(head.lexicon.literal(corpus), allowed)
    terms = TermWeights.of(counts)
    literal = terms.rows(counts, "bm25")
    tokens = aligned_tokens(
        head,
        head.read(corpus),
        max(one.doc_top_k for one in everything),
        allowed=allowed,
        device=device,
    )
    side = QuerySide.of(
        head,
        queries,
        allowed,
        terms,
        most=max(one.query_expansion for one in everything),
        scores=any(one.query_weight == "score" for one in everything),
        device=device,
    )
    judge = Ndcg(collection.grades, DEPTH)
    rows: list[dict[str, object]] = []
    per_query: list[NDArray[np.float32]] = []
    for settings in groups:
        first = settings[0]
        documents = document_matrix(
            _first(tokens, first.doc_top_k),
            head.vocabulary,
            weight=first.doc_weight,
            l2=first.doc_norm == "l2",
        )
        if first.literal_share:
            documents = with_literal_terms(
                documents,
                literal,
                share=first.literal_share,
                k=first.doc_top_k,
                l2=first.doc_norm == "l2",
            )
        index = InvertedIndex(documents)
        weighed = [query_matrix(side, one) for one in settings]
        found = index.search(sparse.csr_array(sparse.vstack(weighed)), search_depth(collection))
        for number, (one, queried) in enumerate(zip(settings, weighed, strict=True)):
            own = slice(number * len(queries), (number + 1) * len(queries))
            ranking = _without_itself(
                Ranking(found.documents[own], found.scores[own]), collection, DEPTH
            )
            scores = judge.of(ranking)
            per_query.append(scores.astype(np.float32))
            postings = int(index.document_frequency[queried.indices].sum())
            reads = one.query_expansion > 0 or one.query_weight == "score"
            rows.append(
                {
                    **{name: getattr(one, name) for name in _SETTINGS},
                    "ndcg": float(scores.mean()),
                    "scoring_flops": sparse_scoring_flops(postings) / max(len(queries), 1),
                    "index_bytes": index.nbytes,
                    "head_flops_per_query": head.flops_per_text if reads else 0.0,
                    "runs_model": reads,
                }
            )
    return StudyPart(pd.DataFrame(rows), np.stack(per_query))


def ndcg_of(ranking: Ranking, collection: JudgedCollection) -> NDArray[np.float64]:
    """nDCG@10 of each query of a ranking that is `search_depth` deep or deeper."""
    ranking = _without_itself(ranking, collection, DEPTH)
    return Ndcg(collection.grades, DEPTH).of(ranking)


def search_depth(collection: JudgedCollection) -> int:
    """Ranks that scoring needs: one more where a query's own document is no answer."""
    return DEPTH + 1 if collection.ignore_identical_ids else DEPTH


def _without_itself(ranking: Ranking, collection: JudgedCollection, k: int) -> Ranking:
    """The first k ranks, without the document of the query's own id where that is no answer."""
    if not collection.ignore_identical_ids:
        return ranking.top(k)
    rows = {document: row for row, document in enumerate(collection.corpus.ids)}
    own = np.array([rows.get(query, -2) for query in collection.queries.ids])
    documents = ranking.documents
    # What is taken out goes to the end, everything else keeps its order.
    order = np.argsort(documents == own[:, None], axis=1, kind="stable")
    documents = np.take_along_axis(np.where(documents == own[:, None], -1, documents), order, 1)
    scores = np.take_along_axis(ranking.scores, order, 1)
    return Ranking(documents[:, :k], scores[:, :k])


def _first(tokens: AlignedTokens, k: int) -> AlignedTokens:
    """The k largest of each text's aligned tokens, which are in descending order."""
    return AlignedTokens(tokens.ids[:, :k], tokens.weights[:, :k])
