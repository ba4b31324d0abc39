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
    scoring_flops_per_query=30.0,
    query_flops=33.0,
    corpus_flops=3700.0,
    splade_flops=0.5,
    flops_closed_form_ratio=1.0,
    index_bytes=1000,
    latency_p50_ms=2.0,
    latency_p95_ms=3.0,
    latency_p99_ms=4.0,
    latency_tokenise_ms=0.5,
    latency_encode_ms=1.0,
    latency_search_ms=0.5,
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
    fit_seconds=1.5,
    peak_host_bytes=5000,
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
    scoring_flops_per_query=10.0,
    query_flops=21.0,
    corpus_flops=840.0,
    splade_flops=0.1,
    flops_closed_form_ratio=0.96,
    index_bytes=200,
    latency_p50_ms=6.0,
    latency_p95_ms=7.0,
    latency_p99_ms=8.0,
    latency_tokenise_ms=1.5,
    latency_encode_ms=3.0,
    latency_search_ms=1.5,
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
    fit_seconds=0.5,
    peak_host_bytes=6000,
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
    "scoring_flops_per_query": 15.0,
    "query_flops": 24.0,
    "corpus_flops": 4540.0,
    "splade_flops": 0.2,
    "flops_closed_form_ratio": 0.99,
    "index_bytes": 1200,
    "latency_p50_ms": 5.0,
    "latency_p95_ms": 6.0,
    "latency_p99_ms": 7.0,
    "latency_tokenise_ms": 1.25,
    "latency_encode_ms": 2.5,
    "latency_search_ms": 1.25,
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
    "fit_seconds": 2.0,
    "peak_host_bytes": 6000,
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
    assert combined_cost([asdict(LARGE)]) == pytest.approx(asdict(LARGE))


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
