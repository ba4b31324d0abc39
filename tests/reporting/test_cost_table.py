"""Cost figures as people read them, and break-even lines by hand."""

import io

from rich.console import Console

from harness.evaluation.rows import ResultRow
from harness.reporting.cost_table import break_even_lines, cost_table


def row(mode, kind=None, **cost):
    return ResultRow(
        model="org/model",
        task="T",
        subset="default",
        split="test",
        mode=mode,
        kind=kind or mode,
        metric="ndcg_at_10",
        value=0.5,
        cost=cost,
    )


def printed(rows):
    text = io.StringIO()
    Console(file=text, width=200).print(cost_table(rows))
    lines = [" ".join(line.split()) for line in text.getvalue().splitlines()]
    return [line for line in lines if line and "─" not in line]


DENSE = row("dense", corpus_flops=1e9, query_flops=2e6)
SPARSE = row("aligned_sparse", corpus_flops=1.5e9, query_flops=1e3)


def test_figures_that_no_mode_has_are_left_out():
    assert printed([DENSE, SPARSE]) == [
        "cost dense aligned_sparse",
        "FLOPs of the corpus 1.00 G 1.50 G",
        "FLOPs of the corpus and a million queries 2.00 T 2.50 G",
    ]


def test_percentiles_stand_with_the_bounds_that_the_sample_gives():
    both = row("dense", latency_p50_ms=2.0, latency_p50_low_ms=1.5, latency_p50_high_ms=2.5)
    below = row("bm25", latency_p50_ms=4.0, latency_p50_low_ms=3.0, latency_p50_high_ms=None)
    bare = row("hybrid", latency_p50_ms=7.0)
    assert printed([both, below, bare])[1] == ("ms/query p50 2.00 [1.50, 2.50] 4.00 [3.00, >] 7.00")


def test_batches_clients_memory_and_energy():
    load = [{"clients": 1, "queries_per_second": 9.0}, {"clients": 4, "queries_per_second": 31.26}]
    figures = {
        "batch_size": 64,
        "batch_latency_ms": 0.5,
        "queries_per_second": 2000.0,
        "query_joules": 0.031,
        "peak_encode_host_bytes": 3 << 30,
        "fit_flops": 2e9,
        "fit_choice_flops": 1e9,
        "load": load,
    }
    assert printed([row("dense", **figures), row("bm25")])[1:] == [
        "FLOPs of fitting the head 3.00 G -",
        "peak memory while encoding 3.00 GiB -",
        "ms/query in batches 0.50 of 64 -",
        "queries/s in batches 2,000.0 -",
        "energy of a query 0.03 J -",
        "queries/s, 1 client 9.0 -",
        "queries/s, 4 clients 31.3 -",
    ]


def test_break_even_by_hand():
    # 0.5e9 more, and 1,999,000 less a query: 250.125…, so 251.
    assert break_even_lines([DENSE, SPARSE]) == [
        "aligned_sparse: the 500 MFLOPs more of its index are paid back after 251 queries"
    ]


def test_one_query_is_no_plural():
    cheap = row("aligned_sparse", corpus_flops=1e9 + 1, query_flops=0.0)
    dense = row("dense", corpus_flops=1e9, query_flops=2e6)
    assert break_even_lines([dense, cheap])[0].endswith("are paid back after 1 query")


def test_a_mode_that_never_pays_says_so():
    dearer = row("hybrid", corpus_flops=1.5e9, query_flops=2e6)
    assert break_even_lines([DENSE, dearer]) == [
        "hybrid takes more FLOPs than dense at any number of queries"
    ]


def test_nothing_is_said_without_dense_without_figures_or_without_more_work():
    assert break_even_lines([SPARSE]) == []
    assert break_even_lines([DENSE, row("bm25", corpus_flops=None, query_flops=1.0)]) == []
    assert break_even_lines([DENSE, row("bm25", corpus_flops=0.0, query_flops=1.0)]) == []
