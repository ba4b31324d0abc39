"""Lines with a text and the cluster that it belongs to, at one level or several."""

from __future__ import annotations

from typing import Any

from mteb.abstasks import AbsTaskClustering

from harness.evaluation.tasks.json_lines import FaultError, bad, checked_label, field
from harness.evaluation.tasks.typed.form import Data, Form, Part, Row, TextReader, as_splits

NONE = -1  # mteb's mark for a text without a cluster at a level


def _row(record: Row, text: TextReader) -> Row:
    value = field(record, "cluster")
    levels = value if isinstance(value, list) else [value]
    if not levels:
        raise FaultError('"cluster" is empty; write a string, an integer or an array of them')
    labels = [checked_label(level, '"cluster"') for level in levels]
    return {"sentences": text(field(record, "text"), '"text"'), "labels": labels}


def _attributes(test: Part) -> dict[str, Any]:
    # mteb's 4 % sample is meant for sets of 100,000 texts and more; of a folder's few hundred it
    # would leave a dozen. Nor does an experiment gain by drawing more texts than there are.
    return {
        "max_fraction_of_documents_to_embed": None,
        "max_document_to_embed": None,
        "max_documents_per_cluster": min(
            AbsTaskClustering.max_documents_per_cluster, len(test.rows)
        ),
    }


def _check(data: Data) -> None:
    test = data.test
    kind = type(test.rows[0]["labels"][0])
    for number, labels in zip(test.numbers, test.column("labels"), strict=True):
        if not all(isinstance(label, kind) for label in labels):
            fault = "clusters are strings in one place and integers in another; write one kind"
            raise bad(test.path, fault, number)
    depth = max(map(len, test.column("labels")))
    counts = [len(_clusters(test, level)) for level in range(depth)]
    counts = counts[: data.attribute("max_depth")]
    for level, count in enumerate(counts):
        if count < 2:
            where = f" at place {level + 1} of the arrays" if depth > 1 else ""
            fault = f"has fewer than 2 clusters{where}, so that there is nothing to find"
            raise bad(test.path, f"{fault}; add lines of another cluster")
    embedded, drawn = _sizes(data)
    if embedded < 2 or drawn < max(counts):
        fault = f"has {max(counts)} clusters and {len(test.rows)} lines, of which mteb embeds"
        numbers = f"{embedded} and draws {drawn} an experiment"
        raise bad(test.path, f"{fault} {numbers}; add lines, merge clusters or rename the folder")


def _sizes(data: Data) -> tuple[int, int]:
    """How many texts are embedded, and how many of them each experiment draws."""
    embedded = lines = len(data.test.rows)
    fraction = data.attribute("max_fraction_of_documents_to_embed")
    most = data.attribute("max_document_to_embed")
    if fraction is not None:
        embedded = int(fraction * lines)
    elif most is not None:
        embedded = min(lines, most)
    return embedded, data.attribute("max_documents_per_cluster")


def _clusters(test: Part, level: int) -> set[Any]:
    labels = (row[level] for row in test.column("labels") if len(row) > level)
    return {label for label in labels if label != NONE}


def _dataset(data: Data) -> object:
    """Clusters as integers, since mteb takes a missing level among strings for a cluster."""
    rows = data.test.rows
    names = sorted({label for row in rows for label in row["labels"]})
    numbers = {
        label: label if isinstance(label, int) else place for place, label in enumerate(names)
    }
    flat = all(len(row["labels"]) == 1 for row in rows)
    made = []
    for row in rows:
        labels = [numbers[label] for label in row["labels"]]
        made.append(row | {"labels": labels[0] if flat else labels})
    return as_splits({data.split: made})


CLUSTERING = Form(
    task_type="Clustering",
    keys=("text", "cluster"),
    base=AbsTaskClustering,
    main_score="v_measure",
    row=_row,
    category="t2c",
    check=_check,
    dataset=_dataset,
    attributes=_attributes,
)
