"""The bridge to mteb: a retrieval mode as an mteb search model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from mteb.models.model_meta import ModelMeta

from harness.errors import BadInputError
from harness.retrieval.ranking import Ranking, to_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.embedding.encoder import TextEncoder
    from harness.embedding.texts import Texts
    from harness.retrieval.retriever import Retriever

Place = tuple[str, str]  # (split, subset)


class TaskTexts:
    """One task's corpora and queries, made once and shared by all modes."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._made: dict[tuple[Place, str], Texts] = {}

    def corpus(self, place: Place, rows: Any) -> Texts:
        """Documents ordered by id, title and text joined as mteb joins them."""
        titles = rows["title"] if "title" in rows.column_names else [""] * len(rows)
        texts = [
            f"{title} {text}".strip() if title else text.strip()
            for title, text in zip(titles, rows["text"], strict=True)
        ]
        pairs = sorted(zip(rows["id"], texts, strict=True))
        return self._texts(place, "document", [p[0] for p in pairs], [p[1] for p in pairs])

    def queries(self, place: Place, rows: Any) -> Texts:
        """Queries in the task's order, each with its own instruction if the task has some."""
        texts = list(rows["text"])
        if any(not isinstance(text, str) for text in texts):
            raise BadInputError("a query is a conversation; only tasks with plain queries are run")
        if "instruction" in rows.column_names:
            texts = [
                f"{text} {instruction}" if instruction is not None else text
                for text, instruction in zip(texts, rows["instruction"], strict=True)
            ]
        return self._texts(place, "query", list(rows["id"]), texts)

    def _texts(
        self,
        place: Place,
        side: Literal["query", "document"],
        ids: Sequence[str],
        texts: Sequence[str],
    ) -> Texts:
        key = (place, side)
        made = self._made.get(key)
        if made is None or list(made.ids) != list(ids) or list(made.texts) != list(texts):
            made = self._encoder.texts(ids, texts, side)
            self._made[key] = made
        return made


class ModeSearch:
    """One mode as mteb's `SearchProtocol`; what mteb asked for stays readable.

    Attributes:
        corpora: Each (split, subset)'s documents.
        queries: Each (split, subset)'s queries.
        rankings: Each (split, subset)'s ranking.
    """

    def __init__(self, retriever: Retriever, texts: TaskTexts, meta: ModelMeta) -> None:
        self.retriever = retriever
        self._texts = texts
        self._meta = meta
        self.corpora: dict[Place, Texts] = {}
        self.queries: dict[Place, Texts] = {}
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
        top_ranked: Any = None,
        **_: Any,
    ) -> dict[str, dict[str, float]]:
        """Rank the corpus for queries; see mteb's `SearchProtocol`."""
        if top_ranked is not None:
            raise BadInputError("a reranking task gives candidates; retrieval modes rank a corpus")
        place = (hf_split, hf_subset)
        texts = self._texts.queries(place, queries)
        self.queries[place] = texts
        ranking = self.retriever.search(texts, top_k)
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
