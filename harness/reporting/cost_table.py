"""What each mode costs, figure by figure, and from how many queries on a sparse index pays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from harness.cost.break_even import break_even
from harness.evaluation.rows import ResultRow
from harness.reporting.units import ABSENT, bytes_text, duration, milliseconds, ratio_text, si
from harness.text import printable

Cost = Mapping[str, Any]
_Line = tuple[str, Callable[[Cost], str]]

MILLION = 1_000_000


def cost_table(rows: Sequence[ResultRow]) -> Table:
    """One column a mode, one line a figure that any of them has.

    Args:
        rows: The main figures of the modes of one task, split and subset.
    """
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("cost")
    for row in rows:
        table.add_column(Text(printable(row.mode)), justify="right")
    for name, show in [*_LINES, *_load_lines(rows)]:
        cells = [show(row.cost) for row in rows]
        if any(cell != ABSENT for cell in cells):
            table.add_row(name, *(Text(cell) for cell in cells))
    return table


def break_even_lines(rows: Sequence[ResultRow]) -> list[str]:
    """After how many queries each mode that answers more cheaply than dense has paid for its index.

    Args:
        rows: The main figures of the modes of one task, split and subset.

    Returns:
        A line for each mode whose index takes more FLOPs than dense's; none without dense.
    """
    dense = next((row for row in rows if row.kind == "dense"), None)
    if dense is None:
        return []
    lines = []
    for row in rows:
        queries = break_even(row.cost, dense.cost)
        if row is dense or queries is None or queries == 0:
            continue
        if math.isinf(queries):
            lines.append(f"{row.mode} takes more FLOPs than {dense.mode} at any number of queries")
            continue
        extra = row.cost["corpus_flops"] - dense.cost["corpus_flops"]
        lines.append(
            f"{row.mode}: the {si(extra)}FLOPs more of its index are paid back after "
            f"{queries:,.0f} {'query' if queries == 1 else 'queries'}"
        )
    return lines


def _figure(name: str, show: Callable[[float | None], str]) -> Callable[[Cost], str]:
    return lambda cost: show(cost.get(name))


def _whole(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.0f}"


def _rate(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.1f}"


def _joules(value: float | None) -> str:
    return ABSENT if value is None else f"{milliseconds(value)} J"


def _head_flops(cost: Cost) -> str:
    return si(cost.get("head_flops_per_document") or None)


def _fit_flops(cost: Cost) -> str:
    parts = [cost.get("fit_flops"), cost.get("fit_choice_flops")]
    return si(sum(part for part in parts if part) or None)


def _in_all(cost: Cost) -> str:
    corpus, query = cost.get("corpus_flops"), cost.get("query_flops")
    return ABSENT if corpus is None or query is None else si(corpus + MILLION * query)


def _percentile(name: str) -> Callable[[Cost], str]:
    def show(cost: Cost) -> str:
        value = cost.get(f"latency_{name}_ms")
        if value is None:
            return ABSENT
        low, high = (cost.get(f"latency_{name}_{end}_ms") for end in ("low", "high"))
        if low is None and high is None:
            return milliseconds(value)
        # A sample that is too small bounds a percentile from one side only.
        ends = (
            ("<" if low is None else milliseconds(low)),
            (">" if high is None else milliseconds(high)),
        )
        return f"{milliseconds(value)} [{ends[0]}, {ends[1]}]"

    return show


def _batch(cost: Cost) -> str:
    if cost.get("batch_latency_ms") is None:
        return ABSENT
    return f"{milliseconds(cost['batch_latency_ms'])} of {cost['batch_size']}"


def _load_lines(rows: Sequence[ResultRow]) -> list[_Line]:
    counts = {one["clients"] for row in rows for one in row.cost.get("load") or ()}

    def rate(clients: int) -> Callable[[Cost], str]:
        def show(cost: Cost) -> str:
            by_clients = {one["clients"]: one for one in cost.get("load") or ()}
            return _rate(by_clients.get(clients, {}).get("queries_per_second"))

        return show

    return [
        (f"queries/s, {clients} client{'s' * (clients > 1)}", rate(clients))
        for clients in sorted(counts)
    ]


_LINES: list[_Line] = [
    ("FLOPs of encoding a document", _figure("encode_flops_per_document", si)),
    ("FLOPs of the head, a document", _head_flops),
    ("FLOPs of fitting the head", _fit_flops),
    ("FLOPs of padding, corpus", lambda cost: si(cost.get("padding_flops"))),
    ("FLOPs of the corpus", _figure("corpus_flops", si)),
    ("FLOPs of encoding a query", _figure("encode_flops_per_query", si)),
    ("FLOPs of scoring a query", _figure("scoring_flops_per_query", si)),
    ("FLOPs of the corpus and a million queries", _in_all),
    ("documents/s", _figure("documents_per_second", _rate)),
    ("tokens/s", _figure("tokens_per_second", _whole)),
    ("MFU", _figure("mfu", ratio_text)),
    ("energy of encoding the corpus", _figure("encode_joules", _joules)),
    ("time of fitting the head", _figure("fit_seconds", duration)),
    ("recall against exact", _figure("recall_against_exact", ratio_text)),
    ("index in memory", _figure("index_bytes", bytes_text)),
    ("index on disk", _figure("index_disk_bytes", bytes_text)),
    ("peak memory", _figure("peak_host_bytes", bytes_text)),
    ("peak memory while encoding", _figure("peak_encode_host_bytes", bytes_text)),
    ("peak memory of the device", _figure("peak_device_bytes", bytes_text)),
    ("ms/query p50", _percentile("p50")),
    ("ms/query p95", _percentile("p95")),
    ("ms/query p99", _percentile("p99")),
    ("    tokenise, p50", _figure("latency_tokenise_ms", milliseconds)),
    ("    encode, p50", _figure("latency_encode_ms", milliseconds)),
    ("    search, p50", _figure("latency_search_ms", milliseconds)),
    ("ms of the first query", _figure("cold_latency_ms", milliseconds)),
    ("ms/query p50, cold caches", _figure("latency_cold_cache_p50_ms", milliseconds)),
    ("ms/query in batches", _batch),
    ("queries/s in batches", _figure("queries_per_second", _rate)),
    ("energy of a query", _figure("query_joules", _joules)),
]
