"""Why a mode of terms ranked as it did, kept beside its result as `explanations.parquet`.

Of each query two documents are explained: the relevant one that is ranked best, and the best one
that is not relevant. What the one matches and the other does not is why the mode missed, or hit.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import sparse

from harness.embedding.ragged import Ragged
from harness.evaluation.digests import unreadable_table
from harness.evaluation.judged import JudgedQuery, judged_queries
from harness.evaluation.metrics import place_columns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.evaluation.evaluators import Ranked
    from harness.evaluation.task_texts import Place
    from harness.retrieval.retriever import Explains

EXPLANATIONS_FILE = "explanations.parquet"

RELEVANT = "relevant"
NOT_RELEVANT = "not_relevant"
_LARGEST_TERMS = 10  # of a document
_QUERIES_AT_ONCE = 1000  # their documents' rows are in memory

Terms = list[tuple[str, float]]


@dataclass(frozen=True)
class _Explained:
    """A document to explain: its row, and its rank from 1; None where it was not found."""

    query: JudgedQuery
    role: str
    document: int
    rank: int | None


@dataclass(frozen=True)
class Explanation:
    """Why one document has its score for one query.

    Attributes:
        document_id: The document.
        rank: From 1, among the documents that the score counts; None where it was not found.
        score: Its score.
        query: The query's terms with their weights, largest first.
        matched: Those that the document holds, with query weight × document weight, largest first.
        document: The document's terms of the largest weights, with these.
    """

    document_id: str
    rank: int | None
    score: float
    query: Terms
    matched: Terms
    document: Terms


def explanations_table(split: str, subset: str, ranked: Ranked, explains: Explains) -> pa.Table:
    """Explain the best relevant and the best other document of each query that counts.

    Where no relevant document was found the one of the highest grade stands for it.

    Args:
        split: The split.
        subset: The subset.
        ranked: What the mode ranked.
        explains: The mode, with the corpus indexed.

    Returns:
        Columns split, subset, query_id, document_id, role (`relevant` or `not_relevant`), rank,
        score, and of the query's, the matched and the document's terms a list of names and one of
        weights each: query_tokens, query_weights, matched_tokens, contributions, document_tokens,
        document_weights.
    """
    queries = judged_queries(ranked)
    tables = []
    while chunk := list(islice(queries, _QUERIES_AT_ONCE)):
        pairs = [pair for query in chunk for pair in _to_explain(query)]
        tables.append(_table(split, subset, ranked, pairs, explains))
    return pa.concat_tables(tables or [_table(split, subset, ranked, [], explains)])


def read_explanations(
    details: Path, queries: Collection[str]
) -> dict[tuple[Place, str], dict[str, Explanation]]:
    """The explanations of some queries: place and query id to role to explanation.

    Empty for a result of a mode that explains nothing, or that was made before they were kept.

    Args:
        details: A result's details folder.
        queries: Ids of the queries.

    Raises:
        BadInputError: If the file is not as `harness run` writes it.
    """
    path = details / EXPLANATIONS_FILE
    if not path.exists():
        return {}
    found: dict[tuple[Place, str], dict[str, Explanation]] = {}
    try:
        wanted = pc.field("query_id").isin(pa.array(sorted(queries), pa.string()))
        table = pq.read_table(path, filters=wanted, page_checksum_verification=True)
        for row in table.to_pylist():
            key = ((row["split"], row["subset"]), row["query_id"])
            found.setdefault(key, {})[row["role"]] = _explanation(row)
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise unreadable_table(path, error) from error
    return found


def _explanation(row: dict[str, Any]) -> Explanation:
    return Explanation(
        document_id=row["document_id"],
        rank=row["rank"],
        score=row["score"],
        query=list(zip(row["query_tokens"], row["query_weights"], strict=True)),
        matched=list(zip(row["matched_tokens"], row["contributions"], strict=True)),
        document=list(zip(row["document_tokens"], row["document_weights"], strict=True)),
    )


def _to_explain(query: JudgedQuery) -> list[_Explained]:
    pairs = []
    best = query.first(relevant=True)
    if best is not None:
        pairs.append(_Explained(query, RELEVANT, int(query.found[best]), best + 1))
    elif query.relevant:
        pairs.append(_Explained(query, RELEVANT, query.relevant[0], None))
    wrong = query.first(relevant=False)
    if wrong is not None:
        pairs.append(_Explained(query, NOT_RELEVANT, int(query.found[wrong]), wrong + 1))
    return pairs


def _table(
    split: str,
    subset: str,
    ranked: Ranked,
    pairs: Sequence[_Explained],
    explains: Explains,
) -> pa.Table:
    """The rows of some pairs, whose queries ascend."""
    documents: list[list[int]] = [[] for _ in ranked.queries.ids]
    for pair in pairs:
        documents[pair.query.row].append(pair.document)
    matches = explains.explain(ranked.queries, Ragged.from_rows(documents))
    rows = np.array([pair.query.row for pair in pairs], np.int32)
    of_queries = sparse.csr_array(matches.queries[rows])
    shared = sparse.csr_array(of_queries.multiply(matches.documents))
    roles = np.array([pair.role == NOT_RELEVANT for pair in pairs], np.int32)
    columns = place_columns(split, subset, rows, ranked.queries.ids)
    columns |= {
        "document_id": pa.array([ranked.corpus.ids[pair.document] for pair in pairs], pa.string()),
        "role": pa.DictionaryArray.from_arrays(roles, pa.array([RELEVANT, NOT_RELEVANT])),
        "rank": pa.array([pair.rank for pair in pairs], pa.int32()),
        "score": pa.array(matches.scores, pa.float32()),
    }
    for names, weights, matrix, most in (
        ("query_tokens", "query_weights", of_queries, None),
        ("matched_tokens", "contributions", shared, None),
        ("document_tokens", "document_weights", matches.documents, _LARGEST_TERMS),
    ):
        columns[names], columns[weights] = _terms(matrix, matches.name, most)
    return pa.table(columns)


def _terms(
    matrix: sparse.csr_array, name: Callable[[int], str], most: int | None
) -> tuple[pa.ListArray, pa.ListArray]:
    """Each row's terms by descending weight, equal ones by column: their names, their weights."""
    rows: NDArray[np.int64] = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, rows))
    if most is not None:
        order = order[np.arange(len(order)) - matrix.indptr[rows] < most]
    counts = np.bincount(rows[order], minlength=matrix.shape[0])
    offsets = pa.array(np.concatenate([np.zeros(1, np.int32), np.cumsum(counts)]), pa.int32())
    distinct, places = np.unique(matrix.indices[order], return_inverse=True)
    names = pa.array([name(term) for term in distinct.tolist()], pa.string())
    weights = pa.array(matrix.data[order], pa.float32())
    return (
        pa.ListArray.from_arrays(offsets, names.take(pa.array(places))),
        pa.ListArray.from_arrays(offsets, weights),
    )
