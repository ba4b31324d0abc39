"""What a job found, a row each mode, and what a search goes by; by hand."""

from types import SimpleNamespace

from harness.reporting.sweep_rows import job_rows, objectives, searched_mode
from tests.reporting.literal import BM25, DENSE, entry


def rows(*entries):
    return [one.row for one in entries]


def test_one_task():
    dense, bm25 = job_rows(rows(DENSE, BM25))
    assert dense == {
        **{"mode": "dense", "kind": "dense", "metric": "nDCG@10", "tasks": ["T"]},
        **{"value": 0.54462, "query_flops": 311926929.4, "scoring_flops_per_query": None},
        **{"latency_p50_ms": 7.2689945, "corpus_flops": 2524852841472.0, "index_bytes": 2304000.0},
        "texts_encoded": 0,
    }
    assert (bm25["mode"], bm25["value"], bm25["latency_p50_ms"]) == ("bm25", 0.47, None)


def test_several_tasks_are_means_and_sums():
    own = [
        entry(task="A", value=0.5, encoded_now=3, cost={"query_flops": 10.0, "index_bytes": 100}),
        entry(task="B", value=0.75, encoded_now=4, cost={"query_flops": 30.0, "index_bytes": 50}),
    ]
    (row,) = job_rows(rows(*own))
    assert (row["tasks"], row["value"]) == (["A", "B"], 0.625)
    assert (row["query_flops"], row["index_bytes"], row["texts_encoded"]) == (20.0, 150.0, 7)


def test_other_metrics_are_left_out_and_different_main_ones_are_named_so():
    own = [
        entry(task="A", metric="ndcg_at_10", value=0.5),
        entry(task="A", metric="recall_at_100", value=0.9, main=False),
        entry(task="B", metric="cosine_spearman", value=0.7),
    ]
    (row,) = job_rows(rows(*own))
    assert (row["metric"], row["value"]) == ("main score", 0.6)


def test_what_one_task_lacks_all_lack():
    own = [
        entry(task="A", cost={"query_flops": 10.0}),
        entry(task="B", cost={"query_flops": None}),
        entry(task="B", mode="other", value=0.1),
    ]
    row, other = job_rows(rows(*own))
    assert row["query_flops"] is None
    assert (other["tasks"], other["value"]) == (["A", "B"], None)


def test_no_number_is_none():
    assert job_rows(rows(entry(value=float("nan"))))[0]["value"] is None


def test_a_whole_stands_for_its_parts():
    parts = [entry(task=name, value=0.5, part_of="Whole") for name in "AB"]
    whole = entry(task="Whole", value=0.75, cost={"query_flops": 8.0})
    (row,) = job_rows(rows(*parts, whole))
    assert (row["tasks"], row["value"], row["query_flops"]) == (["Whole"], 0.75, 8.0)


def run(*modes, mode=None):
    return SimpleNamespace(retrieval=dict.fromkeys(modes), sweep=SimpleNamespace(mode=mode))


def test_the_mode_that_a_search_goes_by(refusal):
    assert searched_mode(run("bm25")) == "bm25"
    assert searched_mode(run("dense", "bm25", mode="dense")) == "dense"
    assert refusal(lambda: searched_mode(run("dense", "bm25"))) == (
        "a search needs one mode to go by and this run has dense, bm25; add sweep.mode=NAME, or "
        "run one mode only"
    )


def test_objectives(refusal):
    found = [
        {"mode": "a", "value": 0.5, "scoring_flops_per_query": 20},
        {"mode": "b", "value": None, "scoring_flops_per_query": 20},
        {"mode": "c", "value": 0.5, "scoring_flops_per_query": None},
    ]
    assert objectives(found, "a") == (0.5, 20.0)
    assert refusal(lambda: objectives(found, "b")).startswith("b has no score on all tasks")
    assert refusal(lambda: objectives(found, "c")).startswith("c has no scoring FLOPs on all")
    assert refusal(lambda: objectives(found, "d")).startswith("d has no score")
