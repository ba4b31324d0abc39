"""A task of several subsets: every one has its own scores, rankings and cost."""

import json

from datasets import Dataset

from harness.evaluation.runner import Runner
from harness.evaluation.tasks.local import Collection, retrieval_task

SUBSETS = {"small": 4, "large": 9}


def rows(size):
    return [
        {"id": f"d{i}", "title": "", "text": f"number {i} of {size} apples"} for i in range(size)
    ]


def several_places():
    collection = Collection([("d0", "", "x")], [("q0", "x")], {"q0": {"d0": 1}})
    task = retrieval_task(collection, name="Several", description="Two subsets.")
    task.metadata = task.metadata.model_copy(
        update={"eval_langs": {subset: ["eng-Latn"] for subset in SUBSETS}}
    )
    task.hf_subsets = list(SUBSETS)
    task.dataset = {
        subset: {
            "test": {
                "corpus": Dataset.from_list(rows(size)),
                "queries": Dataset.from_list([{"id": "q0", "text": "number 1 apples"}]),
                "relevant_docs": {"q0": {"d1": 1}},
                "top_ranked": None,
            }
        }
        for subset, size in SUBSETS.items()
    }
    return task


def test_cost_belongs_to_its_own_corpus(run_config, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "harness.evaluation.runner.resolve_tasks", lambda *_, **__: [several_places()]
    )
    outcome = Runner(run_config("cost=light", "cost.latency_queries=1")).run()
    found = {(row.subset, row.mode): row for row in outcome.rows}
    assert len(found) == 8
    for subset, size in SUBSETS.items():
        dense, sparse = found[subset, "dense"].cost, found[subset, "aligned_sparse"].cost
        assert dense["documents"] == size
        assert dense["scoring_flops_per_query"] == 2 * 384 * size
        assert dense["index_bytes"] == 4 * 384 * size
        assert sparse["documents"] == size
        assert found[subset, "bm25"].ratio == (
            found[subset, "bm25"].value / found[subset, "dense"].value
        )
    fits = {subset: found[subset, "aligned_sparse"].cost["fit_flops"] for subset in SUBSETS}
    assert fits["large"] > fits["small"] > 0
    (path,) = (tmp_path / "results").glob("*/*/experiments/dense-*/Several/cost.json")
    assert set(json.loads(path.read_text())) == {"test/small", "test/large"}
