"""Each query's metric values, and how they and the judgements are stored beside a result."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harness.retrieval.ranking import Run, without_ties

if TYPE_CHECKING:
    from harness.evaluation.task_texts import Place

T = TypeVar("T")

Qrels = Mapping[str, Mapping[str, int]]

PER_QUERY_FILE = "per_query.parquet"
QRELS_FILE = "qrels.parquet"

DEPTHS = (1, 3, 5, 10, 20, 100, 1000)
METRICS = ("ndcg", "map", "recall", "precision", "mrr", "hit_rate")
NAMES = tuple(f"{metric}_at_{depth}" for metric in METRICS for depth in DEPTHS)

_DISCOUNTS = np.array([math.log2(rank + 1) for rank in range(1, DEPTHS[-1] + 1)])
_IDENTICAL = b"ignore_identical_ids"
_FIRST = b"skip_first_result"


@dataclass(frozen=True)
class QueryMetrics:
    """Metric values of each query.

    Attributes:
        query_ids: The queries that a task's score is the mean over.
        values: float64 (queries, metrics), columns as `NAMES`.
        ignore_identical_ids: See `scored_run`.
        skip_first_result: See `scored_run`.
    """

    query_ids: tuple[str, ...]
    values: NDArray[np.float64]
    ignore_identical_ids: bool = False
    skip_first_result: bool = False


def per_query_metrics(
    run: Mapping[str, Mapping[str, float]],
    qrels: Qrels,
    *,
    ignore_identical_ids: bool = False,
    skip_first_result: bool = False,
) -> QueryMetrics:
    """All metrics at all depths for each query, with mteb's names and trec_eval's definitions.

    mteb averages over the queries that are in the run and have a judgement, whatever its grade. So
    does this: a query of the run without results scores 0, as does one whose judgements are all
    zero or negative; a query that is not in the run, or has no judgement at all, is left out. The
    mean of a column is mteb's score.

    Args:
        run: Query id to document id to score, without ties, see `without_ties`; every query that
            was searched, without results too.
        qrels: Query id to document id to grade; relevant is what is above 0.
        ignore_identical_ids: See `scored_run`.
        skip_first_result: See `scored_run`.

    Returns:
        The queries in the run's order.
    """
    judged = {query: dict(qrels[query]) for query in run if qrels.get(query)}
    scored = scored_run(
        {query: run[query] for query in judged},
        ignore_identical_ids=ignore_identical_ids,
        skip_first_result=skip_first_result,
    )
    values = np.zeros((len(judged), len(METRICS), len(DEPTHS)))
    for row, (query, found) in enumerate(scored.items()):
        values[row] = _of_query(found, judged[query])
    return QueryMetrics(
        tuple(judged),
        values.reshape(len(judged), len(NAMES)),
        ignore_identical_ids,
        skip_first_result,
    )


def scored_run(
    run: Mapping[str, Mapping[str, float]], *, ignore_identical_ids: bool, skip_first_result: bool
) -> Run:
    """A run without what a task leaves out of its score.

    mteb drops a document whose id is the query's own only on tasks that set `ignore_identical_ids`
    (ArguAna, Quora, ...); beir drops it on all tasks unless it is told not to.

    Args:
        run: Query id to document id to score, without ties.
        ignore_identical_ids: Whether a document whose id is the query's own is dropped.
        skip_first_result: Whether the best of what is then left is dropped.
    """
    scored: Run = {}
    for query, found in run.items():
        kept = dict(found)
        if ignore_identical_ids:
            kept.pop(query, None)
        if skip_first_result and kept:
            del kept[max(kept, key=kept.__getitem__)]
        scored[query] = kept
    return scored


def _of_query(found: Mapping[str, float], grades: Mapping[str, int]) -> NDArray[np.float64]:
    """One query's values: (metrics, depths). Sums run down the ranks, as in trec_eval."""
    relevant = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
    hits = [(found[d], grade) for d, grade in grades.items() if grade > 0 and d in found]
    if not hits:
        return np.zeros((len(METRICS), len(DEPTHS)))
    scores, gains = np.array(sorted(hits, reverse=True), np.float64).T
    everything = np.sort(np.fromiter(found.values(), np.float64, len(found)))
    ranks = 1 + len(everything) - np.searchsorted(everything, scores, side="right")
    kept = ranks <= DEPTHS[-1]
    ranks, gains = ranks[kept], gains[kept]
    depths = np.array(DEPTHS)
    counts = np.searchsorted(ranks, depths, side="right")
    ideal = np.array(relevant[: DEPTHS[-1]]) / _DISCOUNTS[: len(relevant)]
    ideal_gain = _sums(ideal)[np.minimum(depths, len(ideal))]
    return np.stack(
        [
            _sums(gains / _DISCOUNTS[ranks - 1])[counts] / ideal_gain,
            _sums(np.arange(1, len(ranks) + 1) / ranks)[counts] / len(relevant),
            counts / len(relevant),
            counts / depths,
            np.where(counts > 0, 1 / ranks.min(initial=DEPTHS[-1]), 0.0),
            np.where(counts > 0, 1.0, 0.0),
        ]
    )


def _sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sums of the first 0, 1, 2, … values."""
    return np.concatenate([np.zeros(1), np.cumsum(values)])


def per_query_table(split: str, subset: str, table: QueryMetrics) -> pa.Table:
    """Columns split, subset, query_id (dictionaries of strings) and a float64 one per metric.

    What the task leaves out of its score, see `scored_run`, is in the schema's metadata; it holds
    for all splits and subsets of a task, so tables of one task can be concatenated.
    """
    queries = np.arange(len(table.query_ids), dtype=np.int32)
    columns = place_columns(split, subset, queries, table.query_ids)
    columns |= {name: pa.array(table.values[:, column]) for column, name in enumerate(NAMES)}
    metadata = {
        _IDENTICAL: str(int(table.ignore_identical_ids)),
        _FIRST: str(int(table.skip_first_result)),
    }
    return pa.table(columns).replace_schema_metadata(metadata)


def qrels_table(split: str, subset: str, qrels: Qrels) -> pa.Table:
    """Columns split, subset, query_id, document_id (dictionaries of strings) and grade int32."""
    sizes = [len(grades) for grades in qrels.values()]
    queries = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    documents = [document for grades in qrels.values() for document in grades]
    grades = [grade for grades in qrels.values() for grade in grades.values()]
    return pa.table(
        {
            **place_columns(split, subset, queries, tuple(qrels)),
            "document_id": pa.array(documents, pa.string()).dictionary_encode(),
            "grade": pa.array(grades, pa.int32()),
        }
    )


def place_columns(
    split: str, subset: str, queries: NDArray[np.int32], query_ids: Sequence[str]
) -> dict[str, pa.Array]:
    """The columns split, subset and query_id that all tables of queries start with.

    Args:
        split: The split.
        subset: The subset.
        queries: int32 (rows,), numbers of `query_ids`.
        query_ids: The queries.
    """
    constant = np.zeros(len(queries), np.int32)
    return {
        "split": pa.DictionaryArray.from_arrays(constant, pa.array([split])),
        "subset": pa.DictionaryArray.from_arrays(constant, pa.array([subset])),
        "query_id": pa.DictionaryArray.from_arrays(queries, pa.array(list(query_ids), pa.string())),
    }


def stored_metrics(table: pa.Table) -> dict[Place, QueryMetrics]:
    """Each place's metric values from what `per_query_table` stored.

    Raises:
        KeyError: If a column or the metadata is missing.
    """
    flags = {key: (table.schema.metadata or {})[key] == b"1" for key in (_IDENTICAL, _FIRST)}
    return {
        place: QueryMetrics(
            tuple(_strings(part, "query_id")),
            np.column_stack([part[name].to_numpy() for name in NAMES]),
            flags[_IDENTICAL],
            flags[_FIRST],
        )
        for place, part in _by_place(table)
    }


def stored_qrels(table: pa.Table) -> dict[Place, dict[str, dict[str, int]]]:
    """Each place's judgements from what `qrels_table` stored.

    Raises:
        KeyError: If a column is missing.
    """
    return {place: _nested(part, part["grade"].to_pylist()) for place, part in _by_place(table)}


def stored_runs(table: pa.Table) -> dict[Place, Run]:
    """Each place's run, without ties, from `rankings.parquet`.

    A query without results is not in it: `stored_metrics` names every query.

    Raises:
        KeyError: If a column is missing.
    """
    runs: dict[Place, Run] = {}
    for place, part in _by_place(table):
        query_ids = pc.cast(part["query_id"], pa.string()).combine_chunks()
        queries = query_ids.dictionary_encode().indices.to_numpy()
        ranks = part["rank"].to_numpy() - 1
        scores = np.full((queries.max() + 1, ranks.max() + 1), -np.inf, np.float32)
        scores[queries, ranks] = part["score"].to_numpy()
        runs[place] = _nested(part, without_ties(scores)[queries, ranks].tolist())
    return runs


def _by_place(table: pa.Table) -> Iterator[tuple[Place, pa.Table]]:
    splits, subsets = (pc.cast(table[name], pa.string()) for name in ("split", "subset"))
    places = set(zip(splits.to_pylist(), subsets.to_pylist(), strict=True))
    for split, subset in sorted(places):
        here = pc.and_(pc.equal(splits, split), pc.equal(subsets, subset))
        yield (split, subset), table.filter(here)


def _strings(table: pa.Table, column: str) -> list[str]:
    strings: list[str] = pc.cast(table[column], pa.string()).to_pylist()
    return strings


def _nested(table: pa.Table, values: list[T]) -> dict[str, dict[str, T]]:
    """Query id to document id to value, in the rows' order."""
    nested: dict[str, dict[str, T]] = {}
    rows = zip(_strings(table, "query_id"), _strings(table, "document_id"), values, strict=True)
    for query, document, value in rows:
        nested.setdefault(query, {})[document] = value
    return nested
