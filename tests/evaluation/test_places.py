"""A task of several subsets: every one has its own scores, rankings and cost; none is lost."""

import json
from pathlib import Path

import mteb
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from mteb.mocks.mock_tasks.bitext_mining import MockMultilingualParallelBitextMiningTask

from harness.evaluation.places import covers, places_of, widen
from harness.evaluation.results import StoredResult
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


def test_cost_belongs_to_its_own_corpus(run_config, tiny_bert, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "harness.evaluation.runner.resolve_tasks", lambda *_, **__: [several_places()]
    )
    tiny = ("model=local", f"model.path={tiny_bert}", "pooling=mean", "head=ridge")
    outcome = Runner(run_config(*tiny, "cost.latency_queries=1")).run()
    found = {(row.subset, row.mode): row for row in outcome.rows}
    assert len(found) == 8
    for subset, size in SUBSETS.items():
        dense, sparse = found[subset, "dense"].cost, found[subset, "aligned_sparse"].cost
        assert dense["documents"] == size
        assert dense["scoring_flops_per_query"] == 2 * 16 * size
        assert dense["index_bytes"] == 4 * 16 * size
        assert sparse["documents"] == size
        assert found[subset, "bm25"].ratio == (
            found[subset, "bm25"].value / found[subset, "dense"].value
        )
    fits = {subset: found[subset, "aligned_sparse"].cost["fit_flops"] for subset in SUBSETS}
    assert fits["large"] > fits["small"] > 0
    (path,) = (tmp_path / "results").glob("*/*/experiments/dense-*/Several/cost.json")
    assert set(json.loads(path.read_text())) == {"test/small", "test/large"}


# Restricting a task to some of its places.


@pytest.fixture
def run(run_config, tiny_bert, monkeypatch):
    """Runs a task of several places, restricted before it starts, and what it was asked to rank."""

    def run(restrict, *overrides, make=several_places):
        task = make()
        restrict(task)
        monkeypatch.setattr("harness.evaluation.runner.resolve_tasks", lambda *_, **__: [task])
        tiny = ("model=local", f"model.path={tiny_bert}", "pooling=mean", "head=ridge")
        return Runner(run_config(*tiny, "retrieval=[dense,bm25]", *overrides)).run()

    return run


def to(*subsets):
    def restrict(task):
        task.hf_subsets = list(subsets)

    return restrict


def stored(tmp_path, mode, task="Several"):
    """Subset to score of a mode's result, and the subsets of what lies beside it."""
    (path,) = (tmp_path / "results").glob(f"*/*/experiments/{mode}-*/{task}.json")
    scores = json.loads(path.read_text())["scores"]
    found = {
        (split, place["hf_subset"]): place["main_score"]
        for split, places in scores.items()
        for place in places
    }
    beside = path.with_suffix("")
    places = {tuple(place.split("/")) for place in json.loads((beside / "cost.json").read_text())}
    for file in beside.glob("*.parquet"):
        table = pq.read_table(file)
        columns = (table["split"].to_pylist(), table["subset"].to_pylist())
        assert set(zip(*columns, strict=True)) == places, file
    return found, places


def shown(outcome):
    return [(row.subset, row.mode) for row in outcome.rows]


def test_a_result_never_loses_a_subset(run, tmp_path):
    first = run(to("small"))
    assert shown(first) == [("small", "dense"), ("small", "bm25")]
    assert (first.computed, first.kept) == (2, 0)
    second = run(to("large"))
    assert shown(second) == [("large", "dense"), ("large", "bm25")]
    assert (second.computed, second.kept) == (2, 0)
    for mode in ("dense", "bm25"):
        scores, places = stored(tmp_path, mode)
        assert set(scores) == places == {("test", "small"), ("test", "large")}
        for outcome in (first, second):
            (row,) = (row for row in outcome.rows if row.mode == mode)
            assert scores["test", row.subset] == row.value
    assert not list((tmp_path / "results").rglob("superseded"))


@pytest.mark.parametrize("asked", [["small"], ["large"], ["small", "large"]])
def test_what_is_covered_is_not_computed_again(run, tmp_path, asked):
    whole = run(to("small", "large"))
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("*/*/*/*/*")}
    outcome = run(to(*asked))
    assert (outcome.computed, outcome.kept) == (0, 2)
    assert shown(outcome) == [(subset, mode) for mode in ("dense", "bm25") for subset in asked]
    values = {(row.subset, row.mode): row.value for row in whole.rows}
    assert all(row.value == values[row.subset, row.mode] for row in outcome.rows)
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_all_subsets_after_one_keep_its_score(run, tmp_path):
    first = run(to("large"))
    outcome = run(to("small", "large"))
    assert shown(outcome) == [(s, mode) for mode in ("dense", "bm25") for s in ("small", "large")]
    again = {(row.subset, row.mode): row.value for row in outcome.rows}
    assert {(row.subset, row.mode): row.value for row in first.rows}.items() <= again.items()
    assert list(stored(tmp_path, "dense")[0]) == [("test", "small"), ("test", "large")]


def test_a_mode_that_is_new_does_not_take_from_one_that_was_there(run, tmp_path):
    run(to("small"), "retrieval=[dense]")
    outcome = run(to("large"))
    assert shown(outcome) == [("large", "dense"), ("large", "bm25")]
    assert stored(tmp_path, "dense")[1] == {("test", "small"), ("test", "large")}
    assert {("test", "large")} <= stored(tmp_path, "bm25")[1]


def two_splits():
    task = several_places()
    task.metadata = task.metadata.model_copy(update={"eval_splits": ["dev", "test"]})
    for data in task.dataset.values():
        data["dev"] = {**data["test"], "relevant_docs": {"q0": {"d2": 1}}}
    return task


def test_a_result_never_loses_a_split(run, tmp_path):
    def only(split):
        return lambda task: task.filter_eval_splits([split])

    first = run(only("test"), make=two_splits)
    assert {(row.split, row.subset) for row in first.rows} == {("test", s) for s in SUBSETS}
    second = run(only("dev"), make=two_splits)
    assert {(row.split, row.subset) for row in second.rows} == {("dev", s) for s in SUBSETS}
    assert second.computed == 2
    scores, places = stored(tmp_path, "dense")
    assert set(scores) == places == {(split, s) for split in ("dev", "test") for s in SUBSETS}
    third = run(only("test"), make=two_splits)
    assert (third.computed, third.kept) == (0, 2)
    unkept = [(row.split, row.subset, row.mode, row.value) for row in first.rows]
    assert [(row.split, row.subset, row.mode, row.value) for row in third.rows] == unkept


def test_data_of_another_revision_take_nothing_over(run, tmp_path):
    """What was scored on other data is kept beside, and is not mixed with the new."""

    def other_data():
        task = several_places()
        task.metadata = task.metadata.model_copy(
            update={"dataset": {"path": "org/several", "revision": "second"}}
        )
        return task

    def first_data():
        task = other_data()
        task.metadata.dataset["revision"] = "first"
        return task

    def public(task):
        to("small")(task)
        task.unload_data = lambda: None

    run(public, "retrieval=[bm25]", make=first_data)
    outcome = run(to("large"), "retrieval=[bm25]", make=other_data)
    assert shown(outcome) == [("large", "bm25")]
    assert stored(tmp_path, "bm25")[1] == {("test", "large")}
    (kept,) = (tmp_path / "results").rglob("superseded/Several-first.json")
    assert [place["hf_subset"] for place in json.loads(kept.read_text())["scores"]["test"]] == [
        "small"
    ]


def test_places_that_share_a_random_state_have_results_of_their_own(run, tmp_path):
    """Of a task that ranks nothing, some of its places are another experiment than all of them."""
    there, back = "eng_Latn-fra_Latn", "fra_Latn-eng_Latn"
    parallel = MockMultilingualParallelBitextMiningTask
    assert places_of(parallel()) == {("test", there), ("test", back)}
    first = run(to(there), make=parallel)
    assert shown(first) == [(there, "dense")]
    second = run(to(back), make=parallel)
    assert (second.computed, shown(second)) == (1, [(back, "dense")])
    both = run(to(there, back), make=parallel)
    assert (both.computed, shown(both)) == (1, [(there, "dense"), (back, "dense")])
    found = {}
    name = "MockMultilingualParallelBitextMiningTask.json"
    for path in (tmp_path / "results").glob(f"*/*/experiments/dense-*/{name}"):
        experiment = json.loads((path.with_suffix("") / "experiment.json").read_text())
        places = json.loads(path.read_text())["scores"]["test"]
        asked = experiment["settings"].get("places")
        found[json.dumps(asked)] = {place["hf_subset"] for place in places}
    assert found == {
        json.dumps([["test", there]]): {there},
        json.dumps([["test", back]]): {back},
        "null": {there, back},
    }
    for asked, before in ((there, first), (back, second)):
        again = run(to(asked), make=parallel)
        assert (again.computed, again.kept, shown(again)) == (0, 1, [(asked, "dense")])
        assert again.rows[0].value == before.rows[0].value


# The functions themselves.


def result_of(**subsets):
    """A stored result of splits and their subsets."""
    scores = {
        split: [{"hf_subset": subset, "main_score": 0.5} for subset in named]
        for split, named in subsets.items()
    }
    result = {"scores": scores, "dataset_revision": "r", "task_name": "Several"}
    return StoredResult(path=Path("x"), result=result, experiment={}, environment={}, cost={})


def test_covers():
    task = several_places()
    assert covers(result_of(test=["small", "large"]), task)
    assert covers(result_of(test=["large", "small", "more"], dev=["small"]), task)
    assert not covers(result_of(test=["small"]), task)
    assert not covers(result_of(test=["small"], dev=["large"]), task)
    assert not covers(result_of(), task)
    task.hf_subsets = ["small"]
    assert covers(result_of(test=["small"]), task)


def test_widen_keeps_the_order_of_the_metadata():
    task = several_places()
    task.hf_subsets = ["large"]
    widen(task, None)
    assert task.hf_subsets == ["large"]
    widen(task, result_of(test=["small"]))
    assert task.hf_subsets == ["small", "large"]
    assert list(task.eval_splits) == ["test"]


def test_widen_leaves_out_what_the_task_does_not_have():
    """A subset or split of a result that mteb's task no longer lists cannot be evaluated."""
    task = several_places()
    task.hf_subsets = ["large"]
    widen(task, result_of(test=["gone"], train=["large"]))
    assert task.hf_subsets == ["large"]
    assert list(task.eval_splits) == ["test"]


@pytest.mark.parametrize("name", ["SCIDOCS", "STS17", "MassiveIntentClassification", "BUCC.v2"])
def test_places_of_public_tasks(name):
    task = mteb.get_task(name)
    subsets = task.metadata.hf_subsets
    expected = {(split, subset) for split in task.metadata.eval_splits for subset in subsets}
    assert places_of(task) == expected
    assert expected


def test_an_aggregate_has_the_places_that_mteb_gives_it():
    task = mteb.get_task("CQADupstackRetrieval")
    assert places_of(task) == set()
    assert covers(result_of(test=["default"]), task)
