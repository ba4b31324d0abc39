"""A retrieval task made from texts at hand, as a real mteb task object."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

_LOCAL = "local/"


@dataclass(frozen=True)
class Collection:
    """A test collection in memory, in a fixed order.

    Attributes:
        documents: (id, title, text) of every document.
        queries: (id, text) of every query.
        qrels: Query id to document id to grade.
    """

    documents: Sequence[tuple[str, str, str]]
    queries: Sequence[tuple[str, str]]
    qrels: Mapping[str, Mapping[str, int]]

    def revision(self) -> str:
        """A SHA-256 prefix over every id, text and grade: the data set's revision."""
        digest = hashlib.sha256()
        for part in _fields(self):
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "little"))
            digest.update(encoded)
        return digest.hexdigest()[:32]


def _fields(collection: Collection) -> Iterable[str]:
    yield "documents"
    for document in collection.documents:
        yield from document
    yield "queries"
    for query in collection.queries:
        yield from query
    yield "qrels"
    for query_id in sorted(collection.qrels):
        for document_id in sorted(collection.qrels[query_id]):
            yield from (query_id, document_id, str(collection.qrels[query_id][document_id]))


def retrieval_task(
    collection: Collection,
    *,
    name: str,
    description: str,
    reference: str | None = None,
    languages: Sequence[str] = ("eng-Latn",),
    split: str = "test",
) -> AbsTaskRetrieval:
    """Wrap a collection as an mteb task with subset `default`, data loaded.

    Args:
        collection: Documents, queries and judgements.
        name: The task's name in results and tables.
        description: One sentence for mteb's metadata.
        reference: Where the data come from.
        languages: mteb language codes.
        split: The split's name.

    Returns:
        A task whose `metadata.revision` is the content hash and whose main metric is nDCG@10.
    """
    details: dict[str, Any] = {
        "name": name,
        "description": description,
        "reference": reference,
        "type": "Retrieval",
        "category": "t2t",
        "modalities": ["text"],
        "eval_splits": [split],
        "eval_langs": list(languages),
        "main_score": "ndcg_at_10",
        "dataset": {"path": f"{_LOCAL}{name}", "revision": collection.revision()},
    }

    class LocalRetrieval(AbsTaskRetrieval):
        metadata = TaskMetadata(**details)

        def load_data(
            self, num_proc: int | None = None, *, timer: Any = None, **kwargs: Any
        ) -> None:
            if self.data_loaded:
                return
            self.dataset = {"default": {split: _split_data(collection)}}
            self.data_loaded = True

    LocalRetrieval.__name__ = LocalRetrieval.__qualname__ = "LocalRetrieval"
    task = LocalRetrieval()
    task.load_data()
    return task


def is_local(task: Any) -> bool:
    """Whether a task's revision is the hash of its content, as `retrieval_task` makes it."""
    return str(task.metadata.dataset["path"]).startswith(_LOCAL)


def _split_data(collection: Collection) -> Any:
    ids, titles, texts = zip(*collection.documents, strict=True)
    query_ids, query_texts = zip(*collection.queries, strict=True)
    return {
        "corpus": Dataset.from_dict({"id": ids, "title": titles, "text": texts}),
        "queries": Dataset.from_dict({"id": query_ids, "text": query_texts}),
        "relevant_docs": {query: dict(grades) for query, grades in collection.qrels.items()},
        "top_ranked": None,
    }
