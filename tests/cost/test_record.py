"""How the figures of several corpora become one."""

from dataclasses import asdict, fields

import pytest

from harness.cost.record import CostRecord, combined_cost

LARGE = CostRecord(
    documents=300,
    queries=10,
    encode_flops_per_document=8.0,
    encode_flops_per_query=2.0,
    head_flops_per_document=4.0,
    head_flops_per_query=1.0,
    fit_flops=100.0,
    fit_choice_flops=50.0,
    padding_flops=700.0,
    scoring_flops_per_query=30.0,
    query_flops=33.0,
    corpus_flops=3700.0,
    splade_flops=0.5,
    flops_closed_form_ratio=1.0,
    recall_against_exact=0.9,
    index_bytes=1000,
    index_disk_bytes=1100,
    latency_p50_ms=2.0,
    latency_p50_low_ms=1.75,
    latency_p50_high_ms=2.5,
    latency_p95_ms=3.0,
    latency_p95_low_ms=2.75,
    latency_p95_high_ms=4.5,
    latency_p99_ms=4.0,
    latency_p99_low_ms=3.75,
    latency_p99_high_ms=8.0,
    latency_tokenise_ms=0.5,
    latency_encode_ms=1.0,
    latency_search_ms=0.5,
    cold_latency_ms=20.0,
    latency_cold_cache_p50_ms=3.0,
    batch_size=10,
    batch_latency_ms=0.5,
    queries_per_second=2000.0,
    load=[{"clients": 4, "queries_per_second": 900.0, "p50_ms": 4, "p95_ms": 6, "p99_ms": 9}],
    texts=310,
    texts_encoded=300,
    texts_read=5,
    encode_seconds=7.5,
    documents_per_second=40.0,
    tokens_per_second=400.0,
    padding_share=0.2,
    encode_flops_per_second=320.0,
    matmul_peak=1000.0,
    mfu=0.32,
    encode_joules=150.0,
    query_joules=0.02,
    fit_seconds=1.5,
    peak_host_bytes=5000,
    peak_encode_host_bytes=4800,
    peak_device_bytes=70,
)
SMALL = CostRecord(
    documents=100,
    queries=30,
    encode_flops_per_document=4.0,
    encode_flops_per_query=6.0,
    head_flops_per_document=4.0,
    head_flops_per_query=5.0,
    fit_flops=40.0,
    fit_choice_flops=20.0,
    padding_flops=300.0,
    scoring_flops_per_query=10.0,
    query_flops=21.0,
    corpus_flops=840.0,
    splade_flops=0.1,
    flops_closed_form_ratio=0.96,
    recall_against_exact=0.7,
    index_bytes=200,
    index_disk_bytes=250,
    latency_p50_ms=6.0,
    latency_p50_low_ms=5.75,
    latency_p50_high_ms=6.5,
    latency_p95_ms=7.0,
    latency_p95_low_ms=6.75,
    latency_p95_high_ms=8.5,
    latency_p99_ms=8.0,
    latency_p99_low_ms=7.75,
    latency_p99_high_ms=16.0,
    latency_tokenise_ms=1.5,
    latency_encode_ms=3.0,
    latency_search_ms=1.5,
    cold_latency_ms=60.0,
    latency_cold_cache_p50_ms=7.0,
    batch_size=30,
    batch_latency_ms=0.1,
    queries_per_second=1000.0,
    load=[{"clients": 4, "queries_per_second": 500.0, "p50_ms": 8, "p95_ms": 9, "p99_ms": 9}],
    texts=130,
    texts_encoded=100,
    texts_read=30,
    encode_seconds=1.25,
    documents_per_second=80.0,
    tokens_per_second=800.0,
    padding_share=0.4,
    encode_flops_per_second=640.0,
    matmul_peak=2000.0,
    mfu=0.64,
    encode_joules=50.0,
    query_joules=0.06,
    fit_seconds=0.5,
    peak_host_bytes=6000,
    peak_encode_host_bytes=4900,
    peak_device_bytes=60,
)
# Of documents three quarters are LARGE's, of queries one; of 8.75 s of encoding 7.5.
TOGETHER = {
    "documents": 400,
    "queries": 40,
    "encode_flops_per_document": 7.0,
    "encode_flops_per_query": 5.0,
    "head_flops_per_document": 4.0,
    "head_flops_per_query": 4.0,
    "fit_flops": 140.0,
    "fit_choice_flops": 70.0,
    "padding_flops": 1000.0,
    "scoring_flops_per_query": 15.0,
    "query_flops": 24.0,
    "corpus_flops": 4540.0,
    "splade_flops": 0.2,
    "flops_closed_form_ratio": 0.99,
    "recall_against_exact": 0.75,
    "index_bytes": 1200,
    "index_disk_bytes": 1350,
    "latency_p50_ms": 5.0,
    "latency_p50_low_ms": 4.75,
    "latency_p50_high_ms": 5.5,
    "latency_p95_ms": 6.0,
    "latency_p95_low_ms": 5.75,
    "latency_p95_high_ms": 7.5,
    "latency_p99_ms": 7.0,
    "latency_p99_low_ms": 6.75,
    "latency_p99_high_ms": 14.0,
    "latency_tokenise_ms": 1.25,
    "latency_encode_ms": 2.5,
    "latency_search_ms": 1.25,
    "cold_latency_ms": 50.0,
    "latency_cold_cache_p50_ms": 6.0,
    "batch_size": 30,
    "batch_latency_ms": 0.2,
    "queries_per_second": 40 / 0.035,  # 10 in 5 ms, then 30 in 30 ms
    "load": None,
    "texts": 440,
    "texts_encoded": 400,
    "texts_read": 35,
    "encode_seconds": 8.75,
    "documents_per_second": 400 / 8.75,
    "tokens_per_second": 4000 / 8.75,
    "padding_share": 2 / 8.75,
    "encode_flops_per_second": 3200 / 8.75,
    "matmul_peak": 10000 / 8.75,
    "mfu": 3.2 / 8.75,
    "encode_joules": 200.0,
    "query_joules": 0.05,
    "fit_seconds": 2.0,
    "peak_host_bytes": 6000,
    "peak_encode_host_bytes": 4900,
    "peak_device_bytes": 70,
}


RATES = {
    "encode_seconds",
    *("documents_per_second", "tokens_per_second", "padding_share"),
    *("encode_flops_per_second", "matmul_peak", "mfu"),
}


def test_every_figure_of_two_parts():
    found = combined_cost([asdict(LARGE), asdict(SMALL)])
    assert list(found) == [field.name for field in fields(CostRecord)]
    assert found == pytest.approx(TOGETHER)


def test_one_part_stays_as_it_is():
    assert combined_cost([asdict(LARGE)]) == asdict(LARGE)
    kept = {"documents": 3, "queries": 2}
    assert {k: v for k, v in combined_cost([kept]).items() if v is not None} == kept


@pytest.mark.parametrize("name", [f.name for f in fields(CostRecord) if "| None" in str(f.type)])
def test_a_figure_that_a_part_lacks_is_unknown_of_the_whole(name):
    for lacking in (
        asdict(SMALL) | {name: None},
        {k: v for k, v in asdict(SMALL).items() if k != name},
    ):
        found = combined_cost([asdict(LARGE), lacking])
        assert found[name] is None
        # Without a part's time its share of every rate is unknown.
        unknown = RATES if name == "encode_seconds" else {name}
        rest = {key: value for key, value in TOGETHER.items() if key not in unknown}
        assert {key: found[key] for key in rest} == pytest.approx(rest)


def test_a_mean_over_no_queries_is_unknown():
    parts = [asdict(part) | {"queries": 0} for part in (LARGE, SMALL)]
    found = combined_cost(parts)
    assert found["queries"] == 0
    assert found["scoring_flops_per_query"] is None
    assert found["latency_p50_ms"] is None
    assert found["encode_flops_per_document"] == 7.0


def test_a_record_holds_only_what_was_measured():
    record = CostRecord(documents=3, queries=0, index_bytes=7, peak_host_bytes=9)
    known = {name: value for name, value in asdict(record).items() if value is not None}
    zero = ("head_flops_per_document", "head_flops_per_query", "fit_flops")
    assert known == {
        **{"documents": 3, "queries": 0, "index_bytes": 7, "peak_host_bytes": 9},
        **dict.fromkeys(zero, 0.0),
        **{"texts": 0, "texts_encoded": 0, "texts_read": 0},
    }
