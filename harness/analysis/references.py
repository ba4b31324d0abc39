"""Whole modes on a judged collection, to stand beside a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.analysis.study import ndcg_of, search_depth
from harness.config import RetrievalConfig, build
from harness.retrieval.once import OnceRetriever
from harness.retrieval.retriever import Dependencies

if TYPE_CHECKING:
    from harness.alignment.head import Head
    from harness.analysis.collections import JudgedCollection


@dataclass(frozen=True)
class Reference:
    """A mode on a collection.

    Attributes:
        scores: nDCG@10 of each query, float64 (queries,).
        scoring_flops: Mean of a query; None where the mode does not tell.
        index_bytes: Of its index.
    """

    scores: NDArray[np.float64]
    scoring_flops: float | None
    index_bytes: int


def references(
    modes: Mapping[str, RetrievalConfig], collection: JudgedCollection, head: Head
) -> dict[str, Reference]:
    """Score every mode of a run, by its name."""
    built: dict[str, OnceRetriever] = {}
    encoder = collection.corpus.encoder
    found = {}
    for name, mode in modes.items():
        dependencies = Dependencies(name=name, encoder=encoder, head=head, retrievers=built)
        built[name] = OnceRetriever(build(mode, dependencies=dependencies))
    for name, retriever in built.items():
        retriever.index(collection.corpus)
        ranking = retriever.search(collection.queries, search_depth(collection))
        work = retriever.work(collection.queries)
        found[name] = Reference(ndcg_of(ranking, collection), work.scoring_flops, work.index_bytes)
    return found
