"""What is kept of single queries beside a result: texts, the best documents, explanations."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.evaluation.digests import unreadable_table
from harness.evaluation.explanations import Explanation, read_explanations
from harness.evaluation.kept_texts import KeptTexts, read_texts
from harness.evaluation.metrics import PER_QUERY_FILE, QRELS_FILE, QueryMetrics, stored_metrics
from harness.evaluation.task_texts import Place

QueryKey = tuple[Place, str]

_COLUMNS = ("split", "subset", "query_id", "document_id")


@dataclass(frozen=True)
class FoundDocument:
    """A document of one query.

    Attributes:
        id: Its id.
        text: Its text, cut; empty where none is kept.
        relevant: Whether its grade is above 0.
    """

    id: str
    text: str
    relevant: bool


@dataclass(frozen=True)
class QueryFacts:
    """What is kept of one query.

    Attributes:
        text: The query; empty where none is kept.
        documents: What is ranked highest, of what the score counts.
        explained: Role to explanation, see `read_explanations`.
        explained_texts: Texts of the documents that are explained, by id.
    """

    text: str
    documents: list[FoundDocument]
    explained: Mapping[str, Explanation] = field(default_factory=dict)
    explained_texts: Mapping[str, str] = field(default_factory=dict)


def read_metrics(details: Path) -> dict[Place, QueryMetrics]:
    """Each place's metric values of every query; empty for a task that ranks nothing.

    Args:
        details: A result's details folder.

    Raises:
        BadInputError: If the file is not as `harness run` writes it.
    """
    path = details / PER_QUERY_FILE
    if not path.exists():
        return {}
    try:
        found = stored_metrics(pq.ParquetFile(path, page_checksum_verification=True).read())
        for one in found.values():
            if not np.isfinite(one.values).all():
                raise ValueError("it holds what is no number")
    except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
        raise unreadable_table(path, error) from error
    return found


def query_facts(
    details: Path,
    queries: Collection[QueryKey],
    metrics: Mapping[Place, QueryMetrics],
    *,
    depth: int = 3,
) -> dict[QueryKey, QueryFacts]:
    """The facts of some queries of a result.

    Args:
        details: A result's details folder.
        queries: The queries.
        metrics: The result's, which say what the score leaves out.
        depth: How many documents are given of each.

    Raises:
        BadInputError: If a file is not as `harness run` writes it.
    """
    ids = sorted({name for _, name in queries})
    texts = read_texts(details)
    explained = read_explanations(details, ids)
    relevant = _relevant(details / QRELS_FILE, ids)
    best = _best(details / "rankings.parquet", ids, depth + 2)
    facts = {}
    for key in queries:
        place, name = key
        kept = texts.get(place, KeptTexts())
        found = _counted(name, best.get(key, []), metrics[place])[:depth]
        roles = explained.get(key, {})
        facts[key] = QueryFacts(
            text=kept.queries.get(name, ""),
            documents=[
                FoundDocument(one, kept.documents.get(one, ""), (*key, one) in relevant)
                for one in found
            ],
            explained=roles,
            explained_texts={
                one.document_id: kept.documents.get(one.document_id, "") for one in roles.values()
            },
        )
    return facts


def _counted(query: str, found: list[str], metrics: QueryMetrics) -> list[str]:
    """The documents that a score counts, see `scored_run`."""
    if metrics.ignore_identical_ids:
        found = [document for document in found if document != query]
    return found[1:] if metrics.skip_first_result else found


def _best(path: Path, queries: Collection[str], depth: int) -> dict[QueryKey, list[str]]:
    """The ids of the documents of the first ranks."""
    best: dict[QueryKey, list[tuple[int, str]]] = {}
    rows = _rows(path, queries, "rank", pc.field("rank") <= depth)
    for split, subset, query, document, rank in rows:
        best.setdefault(((split, subset), query), []).append((rank, document))
    return {key: [document for _, document in sorted(found)] for key, found in best.items()}


def _relevant(path: Path, queries: Collection[str]) -> set[tuple[Place, str, str]]:
    """Place, query and document of each grade above 0."""
    return {
        ((split, subset), query, document)
        for split, subset, query, document, _ in _rows(
            path, queries, "grade", pc.field("grade") > 0
        )
    }


def _rows(
    path: Path, queries: Collection[str], figure: str, wanted: pc.Expression
) -> list[tuple[Any, ...]]:
    """Split, subset, query, document and a figure of the rows wanted; none without a file."""
    if not path.exists():
        return []
    try:
        # Reading the whole file and then choosing is several times as fast as both at once.
        columns = [*_COLUMNS, figure]
        table = pq.read_table(path, columns=columns, page_checksum_verification=True).filter(wanted)
        asked = pc.is_in(pc.cast(table["query_id"], pa.string()), pa.array(queries, pa.string()))
        table = table.filter(asked)
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise unreadable_table(path, error) from error
