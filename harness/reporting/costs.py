"""The cost figures that leaderboards show, by name."""

from __future__ import annotations

from harness.evaluation.rows import ResultRow

SHOWN_COSTS = (
    *("query_flops", "scoring_flops_per_query", "encode_flops_per_query"),
    *("document_flops", "encode_flops_per_document", "head_flops_per_document"),
    *("corpus_flops", "million_queries_flops"),
    *("latency_p50_ms", "latency_p95_ms", "latency_p99_ms"),
    *("index_bytes", "documents_per_second", "documents", "queries"),
)

_MILLION = 1_000_000


def shown_costs(row: ResultRow) -> dict[str, float | None]:
    """A row's figures by the names of `SHOWN_COSTS`; None where one is unknown."""
    derived = {
        "document_flops": document_flops(row),
        "million_queries_flops": total_flops(row, _MILLION),
    }
    return {name: derived.get(name, row.cost.get(name)) for name in SHOWN_COSTS}


def document_flops(row: ResultRow) -> float | None:
    """FLOPs of the corpus pass for one document, a fitted head's share included."""
    total, documents = row.cost.get("corpus_flops"), row.cost.get("documents")
    return total / documents if total is not None and documents else None


def total_flops(row: ResultRow, queries: int) -> float | None:
    """FLOPs of the corpus pass and of so many queries."""
    corpus, query = row.cost.get("corpus_flops"), row.cost.get("query_flops")
    return None if corpus is None or query is None else float(corpus + queries * query)
