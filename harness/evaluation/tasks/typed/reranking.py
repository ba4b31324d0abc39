"""Lines with a query and the texts that it ranks, good ones and others."""

from __future__ import annotations

from collections.abc import Iterator

from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval

from harness.evaluation.tasks.json_lines import bad, field, items
from harness.evaluation.tasks.typed.form import Data, Form, Part, Row, TextReader

_SIDES = ("positive", "negative")


def _row(record: Row, text: TextReader) -> Row:
    row: Row = {"query": text(field(record, "query"), '"query"')}
    for side in _SIDES:
        row[side] = [text(value, f'an entry of "{side}"') for value in items(record, side)]
    return row


def _check(data: Data) -> None:
    if not any(_usable(data.test)):
        fault = "no line has both a positive and a negative text; add one that has"
        raise bad(data.test.path, fault)


def _usable(part: Part) -> Iterator[Row]:
    return (row for row in part.rows if row["positive"] and row["negative"])


def _dataset(data: Data) -> object:
    """The lines as mteb's `AbsTaskReranking` turns its old format into a retrieval task.

    Lines without a positive or a negative text are left out and the others counted. The ids are
    mteb's too, since they decide between equal scores.
    """
    queries, corpus = [], []
    relevant: dict[str, dict[str, int]] = {}
    for place, row in enumerate(_usable(data.test)):
        query = f"{data.split}_query{place}"
        queries.append({"id": query, "text": row["query"]})
        relevant[query] = {}
        for prefix, side, grade in (("apositive", "positive", 1), ("negative", "negative", 0)):
            for rank, text in enumerate(row[side]):
                document = f"{prefix}_{query}_{rank:05}"
                corpus.append({"title": "", "text": text, "id": document})
                relevant[query][document] = grade
    split = {
        "corpus": Dataset.from_list(corpus),
        "queries": Dataset.from_list(queries),
        "relevant_docs": relevant,
        "top_ranked": {query: list(grades) for query, grades in relevant.items()},
    }
    return {"default": {data.split: split}}


RERANKING = Form(
    task_type="Reranking",
    keys=("query", *_SIDES),
    base=AbsTaskRetrieval,
    main_score="map_at_1000",
    row=_row,
    check=_check,
    dataset=_dataset,
)
