"""The bridge to mteb: a mode as an mteb search model, for tasks that rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from mteb.models.model_meta import ModelMeta

from harness.embedding.ragged import Ragged
from harness.errors import TaskFailedError
from harness.retrieval.ranking import Ranking, to_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.embedding.texts import Texts
    from harness.evaluation.task_texts import Place, TaskTexts
    from harness.retrieval.retriever import Retriever


class ModeSearch:
    """One mode as mteb's `SearchProtocol`; what mteb asked for stays readable.

    Attributes:
        corpora: Each (split, subset)'s documents.
        queries: Each (split, subset)'s queries.
        candidates: Each reranking (split, subset)'s candidates, as rows of its documents.
        rankings: Each (split, subset)'s ranking.
    """

    def __init__(self, retriever: Retriever, texts: TaskTexts, meta: ModelMeta) -> None:
        self.retriever = retriever
        self._texts = texts
        self._meta = meta
        self.corpora: dict[Place, Texts] = {}
        self.queries: dict[Place, Texts] = {}
        self.candidates: dict[Place, Ragged] = {}
        self.rankings: dict[Place, Ranking] = {}

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """The model's metadata in results."""
        return self._meta

    def index(self, corpus: Any, *, hf_split: str, hf_subset: str, **_: Any) -> None:
        """Index a corpus; see mteb's `SearchProtocol`."""
        place = (hf_split, hf_subset)
        self.corpora[place] = self._texts.corpus(place, corpus)
        self.retriever.index(self.corpora[place])

    def search(
        self,
        queries: Any,
        *,
        hf_split: str,
        hf_subset: str,
        top_k: int,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **_: Any,
    ) -> dict[str, dict[str, float]]:
        """Rank the corpus, or each query's candidates; see mteb's `SearchProtocol`."""
        place = (hf_split, hf_subset)
        texts = self._texts.queries(place, queries)
        self.queries[place] = texts
        if top_ranked is None:
            ranking = self.retriever.search(texts, top_k)
        else:
            self.candidates[place] = _candidate_rows(top_ranked, texts.ids, self.corpora[place].ids)
            ranking = self.retriever.rerank(texts, self.candidates[place], top_k)
        self.rankings[place] = ranking
        return to_run(ranking, texts.ids, self.corpora[place].ids)


def model_meta(name: str, revision: str, settings: dict[str, Any]) -> ModelMeta:
    """Mteb's metadata of a model in one experiment.

    Args:
        name: `organisation/model`.
        revision: The weights' revision.
        settings: The settings that can change a score.
    """
    meta: ModelMeta = ModelMeta.create_empty(
        overwrites={"name": name, "revision": revision, "experiment_kwargs": settings}
    )
    return meta


def _candidate_rows(
    candidates: Mapping[str, Sequence[str]], queries: Sequence[str], documents: Sequence[str]
) -> Ragged:
    """Each query's candidates as rows of the documents, ascending, each once."""
    rows = {document: row for row, document in enumerate(documents)}
    found = []
    for query in queries:
        named = candidates.get(query, ())
        unknown = [document for document in named if document not in rows]
        if unknown:
            raise TaskFailedError(
                f"candidate {unknown[0]!r} of query {query!r} is not in the corpus; the data set "
                "is broken"
            )
        found.append(np.unique([rows[document] for document in named]).tolist())
    return Ragged.from_rows(found)
