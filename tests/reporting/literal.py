"""Literal rows that the tests of reports share."""

from dataclasses import replace

from harness.evaluation.published import Comparison, PublishedScore
from harness.evaluation.rows import ResultRow
from harness.reporting.collect import Entry

HARDWARE = "Some CPU, 2 cores"
DENSE = Entry(
    ResultRow(
        model="org/model",
        task="T",
        subset="default",
        split="test",
        mode="dense",
        kind="dense",
        metric="ndcg_at_10",
        value=0.54462,
        ratio=1.0,
        experiment="dense-cosine-0123",
        dataset_revision="d34ecf1b9ba8c7b8",
        encoder="e",
        hardware=HARDWARE,
        commit="43df4342b425+",
        cost={
            "documents": 1500,
            "queries": 500,
            "query_flops": 311926929.4,
            "corpus_flops": 2524852841472.0,
            "latency_p50_ms": 7.2689945,
            "latency_p95_ms": 9.2249644,
            "index_bytes": 2304000,
            "documents_per_second": 105.355,
        },
    ),
    "cosine, mean pooling",
)


def entry(settings="", **given):
    return Entry(replace(DENSE.row, **given), settings)


BM25 = entry(
    "k1 = 1.5",
    model="baseline/bm25s",
    mode="bm25",
    kind="bm25",
    value=0.47,
    ratio=None,
    encoder="",
    cost={"documents": 1500, "queries": 500, "query_flops": 1300.0, "corpus_flops": 0.0},
)


def compared(mine, value, **given):
    """An entry beside a published score."""
    usual = {
        **{"model": "org/model", "revision": "r", "task": "T", "split": "test"},
        **{"subset": "default", "metric": "ndcg_at_10", "deviation": None},
    }
    theirs = PublishedScore(**{**usual, **given}, value=value)
    return replace(mine, comparison=Comparison(mine.row, theirs, 0.001))
