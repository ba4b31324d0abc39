"""The texts that are analysed: corpora and queries of tasks, or the lines of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from harness.errors import BadInputError
from harness.evaluation.downloads import DataLoader
from harness.evaluation.evaluators import ranks
from harness.evaluation.places import places_of
from harness.evaluation.task_texts import TaskTexts
from harness.evaluation.tasks.instruction import task_instruction
from harness.evaluation.tasks.local import is_local
from harness.progress import say
from harness.text import listed

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

    from harness.embedding.encoder import TextEncoder
    from harness.embedding.texts import Texts


@dataclass(frozen=True)
class JudgedCollection:
    """A corpus with queries and judgements.

    Attributes:
        name: The task; with its subset and split where it has several.
        corpus: The documents, ordered by id.
        queries: The queries that have judgements.
        grades: CSR float32 (queries, documents): what the judgements say. Judged documents that the
            corpus has not are further columns: no ranking finds them, every ideal one has them.
        ignore_identical_ids: Whether a document with a query's id is no answer to it.
    """

    name: str
    corpus: Texts
    queries: Texts
    grades: sparse.csr_array
    ignore_identical_ids: bool

    def under(self, encoder: TextEncoder) -> JudgedCollection:
        """The same collection with another encoder's texts."""
        corpus, queries = self.corpus, self.queries
        return replace(
            self,
            corpus=encoder.texts(corpus.ids, corpus.texts, corpus.side),
            queries=encoder.texts(queries.ids, queries.texts, queries.side),
        )


def judged_collections(
    tasks: Sequence[AbsTask],
    encoder: TextEncoder,
    *,
    task_instructions: Mapping[str, Any],
) -> Iterator[JudgedCollection]:
    """The collections of the tasks that search a corpus, loaded one after another.

    Args:
        tasks: mteb tasks; others than retrieval, reranking too, are left out, with a line that
            says so.
        encoder: The run's encoder, not yet bound to a task.
        task_instructions: See `EncoderRunConfig`.

    Raises:
        BadInputError: If no task searches a corpus.
    """
    others = [task.metadata.name for task in tasks if not _searches(task)]
    if len(others) == len(tasks):
        raise BadInputError(
            f"{listed(others)}: no task searches a corpus; choose one of type Retrieval"
        )
    if others:
        say(f"left out, for they search no corpus: {listed(others)}")
    loader = DataLoader()
    for task in (task for task in tasks if _searches(task)):
        loader.load(task)
        bound = encoder.for_task(task_instruction(task, task_instructions))
        texts = TaskTexts(bound)
        places = sorted(places_of(task))
        for split, subset in places:
            name = task.metadata.name
            if len(places) > 1:
                name = f"{name}/{subset}/{split}"
            yield _collection(task, name, texts, (split, subset))
        if not is_local(task):
            task.unload_data()


def _searches(task: AbsTask) -> bool:
    """Whether every query of a task searches the whole corpus, which reranking does not."""
    return ranks(task) and "Reranking" not in task.metadata.type


def _collection(task: Any, name: str, texts: TaskTexts, place: tuple[str, str]) -> JudgedCollection:
    split, subset = place
    data = task.dataset[subset][split]
    judgements = data["relevant_docs"]
    asked = data["queries"]
    corpus = texts.corpus(place, data["corpus"])
    judged = [number for number, query in enumerate(asked["id"]) if judgements.get(query)]
    queries = texts.queries(place, asked.select(judged))
    row_of = {document: row for row, document in enumerate(corpus.ids)}
    entries = [
        (number, row_of.setdefault(document, len(row_of)), grade)
        for number, query in enumerate(queries.ids)
        for document, grade in judgements[query].items()
    ]
    rows, columns, grades = np.array(entries, np.float64).reshape(-1, 3).T
    matrix = sparse.csr_array(
        (grades.astype(np.float32), (rows.astype(np.int64), columns.astype(np.int64))),
        shape=(len(queries), len(row_of)),
    )
    return JudgedCollection(name, corpus, queries, matrix, bool(task.ignore_identical_ids))


def texts_of_file(path: Path, encoder: TextEncoder) -> Texts:
    """The non-blank lines of a UTF-8 text file as symmetric texts; ids are line numbers.

    Raises:
        BadInputError: If the file is missing, unreadable or holds no text.
    """
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(
            f"texts={path}: cannot be read as UTF-8 text; give a file with one text a line"
        ) from error
    numbered = [(str(number), line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise BadInputError(f"texts={path}: holds no text; put one on each line")
    ids, texts = zip(*numbered, strict=True)
    return encoder.texts(list(ids), list(texts), "symmetric")
