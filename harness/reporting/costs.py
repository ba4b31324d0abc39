"""The cost figures that leaderboards show, by name, and what share of dense's they are."""

from __future__ import annotations

from collections.abc import Mapping

from harness.evaluation.rows import ResultRow

SHOWN_COSTS = (
    *("query_flops", "scoring_flops_per_query", "encode_flops_per_query"),
    *("document_flops", "encode_flops_per_document", "head_flops_per_document"),
    *("corpus_flops", "total_flops"),
    *("latency_p50_ms", "latency_p95_ms", "latency_p99_ms"),
    *("index_bytes", "documents_per_second", "documents", "queries"),
)
SIZES = ("documents", "queries")  # of the collection, whatever the mode

QUERIES = 1_000_000


def shown_costs(row: ResultRow, *, queries: int = QUERIES) -> dict[str, float | None]:
    """A row's figures by the names of `SHOWN_COSTS`; None where one is unknown.

    Args:
        row: The row.
        queries: How many queries `total_flops` has beside the corpus pass.
    """
    corpus, query = row.cost.get("corpus_flops"), row.cost.get("query_flops")
    derived = {
        "document_flops": document_flops(row),
        "total_flops": None if corpus is None or query is None else float(corpus + queries * query),
    }
    return {name: derived.get(name, row.cost.get(name)) for name in SHOWN_COSTS}


def cost_shares(
    costs: Mapping[str, float | None], dense: Mapping[str, float | None]
) -> dict[str, float]:
    """Figures over those of dense, where both are known and dense's is above 0.

    Args:
        costs: Figures by name.
        dense: Those of dense of the same model.
    """
    return {
        name: value / other
        for name, value in costs.items()
        if name not in SIZES and value is not None and (other := dense.get(name))
    }


def document_flops(row: ResultRow) -> float | None:
    """FLOPs of the corpus pass for one document, a fitted head's share included."""
    total, documents = row.cost.get("corpus_flops"), row.cost.get("documents")
    return total / documents if total is not None and documents else None
