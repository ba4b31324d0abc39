"""A retrieval task made from texts at hand, as a real mteb task object."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import MetadataDatasetDict, TaskMetadata

from harness.evaluation.tasks.streamed import StreamedCorpus

_LOCAL = "local/"


@dataclass(frozen=True)
class Collection:
    """A test collection in memory, in a fixed order.

    Attributes:
        documents: (id, title, text) of every document.
        queries: (id, text) of every query.
        qrels: Query id to document id to grade.
        instructions: Query id to the instruction that belongs to that query alone.
        top_ranked: Query id to the candidates that are to be reranked, or None when every query
            searches all documents.
    """

    documents: Sequence[tuple[str, str, str]]
    queries: Sequence[tuple[str, str]]
    qrels: Mapping[str, Mapping[str, int]]
    instructions: Mapping[str, str] = field(default_factory=dict)
    top_ranked: Mapping[str, Sequence[str]] | None = None

    def revision(self) -> str:
        """A SHA-256 prefix over every id, text and grade: the data set's revision."""
        digest = hashlib.sha256()
        for part in _fields(self):
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "little"))
            digest.update(encoded)
        return digest.hexdigest()[:32]

    @property
    def task_type(self) -> str:
        """What mteb calls a task on these data."""
        kind = "Retrieval" if self.top_ranked is None else "Reranking"
        return f"Instruction{kind}" if self.instructions else kind

    @property
    def main_score(self) -> str:
        """What mteb's tasks of the type are mostly ranked by."""
        return "ndcg_at_10" if self.top_ranked is None else "map_at_1000"


def _fields(collection: Collection) -> Iterable[str]:
    # These parts come first and counted, so that collections without them keep their revision.
    if collection.instructions:
        yield from ("instructions", str(len(collection.instructions)))
        for query_id in sorted(collection.instructions):
            yield from (query_id, collection.instructions[query_id])
    if collection.top_ranked is not None:
        yield from ("top_ranked", str(len(collection.top_ranked)))
        for query_id in sorted(collection.top_ranked):
            candidates = collection.top_ranked[query_id]
            yield from (query_id, str(len(candidates)), *candidates)
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
    prompt: str | Mapping[str, str] | None = None,
    main_score: str | None = None,
    base: type[AbsTaskRetrieval] = AbsTaskRetrieval,
) -> AbsTaskRetrieval:
    """Wrap a collection as an mteb task with subset `default`, data loaded.

    Args:
        collection: Documents, queries and judgements.
        name: The task's name in results and tables.
        description: One sentence for mteb's metadata.
        reference: Where the data come from.
        languages: mteb language codes.
        split: The split's name.
        prompt: What the task asks for, as mteb's metadata hold it.
        main_score: The main metric; the collection's own if None.
        base: The class of mteb that evaluates the task.

    Returns:
        A task whose `metadata.revision` is the content hash. Its type is Retrieval, with
        `Instruction` before it where a query has one, and Reranking where candidates are given.
    """
    metadata = local_metadata(
        name=name,
        description=description,
        reference=reference,
        type=collection.task_type,
        category="t2t",
        eval_splits=[split],
        eval_langs=list(languages),
        main_score=main_score or collection.main_score,
        prompt=prompt,
        revision=collection.revision(),
    )
    return cast(
        AbsTaskRetrieval,
        loaded_task(
            base,
            "LocalRetrieval",
            {"metadata": metadata},
            lambda: {"default": {split: _split_data(collection)}},
        ),
    )


def local_metadata(*, name: str, revision: str, **details: Any) -> TaskMetadata:
    """Metadata for mteb of a task whose revision is the hash of its content."""
    dataset: MetadataDatasetDict = {"path": f"{_LOCAL}{name}", "revision": revision}
    return TaskMetadata(name=name, dataset=dataset, modalities=["text"], **details)


def loaded_task(
    base: type[Any], class_name: str, attributes: Mapping[str, Any], data: Callable[[], Any]
) -> Any:
    """An object of a new class under one of mteb's, whose data come from a function.

    Args:
        base: mteb's class, which evaluates.
        class_name: The new class's name.
        attributes: The new class's attributes, `metadata` among them.
        data: Called without arguments whenever mteb loads the task; gives its `dataset`.

    Returns:
        The task, data loaded.
    """

    def load_data(
        self: Any, num_proc: int | None = None, *, timer: Any = None, **kwargs: Any
    ) -> None:
        if self.data_loaded:
            return
        self.dataset = data()
        self.data_loaded = True

    task = type(class_name, (base,), {**attributes, "load_data": load_data})()
    task.load_data()
    return task


def is_local(task: Any) -> bool:
    """Whether a task's revision is the hash of its content, as `local_metadata` makes it."""
    return str(task.metadata.dataset["path"]).startswith(_LOCAL)


def _split_data(collection: Collection) -> Any:
    documents = collection.documents
    if not isinstance(documents, StreamedCorpus):
        ids, titles, texts = zip(*documents, strict=True)
        documents = Dataset.from_dict({"id": ids, "title": titles, "text": texts})
    query_ids, query_texts = zip(*collection.queries, strict=True)
    queries = Dataset.from_dict({"id": query_ids, "text": query_texts})
    if collection.instructions:
        instructions = [collection.instructions.get(query) for query in query_ids]
        queries = queries.add_column("instruction", instructions)
    ranked = collection.top_ranked
    return {
        "corpus": documents,
        "queries": queries,
        "relevant_docs": {query: dict(grades) for query, grades in collection.qrels.items()},
        "top_ranked": None if ranked is None else {q: list(ids) for q, ids in ranked.items()},
    }
