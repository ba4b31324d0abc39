from dataclasses import replace
from pathlib import Path

import pytest

from harness.evaluation.results import StoredResult
from harness.evaluation.rows import ResultRow, result_rows, with_ratios


def row(mode, value, **more):
    return ResultRow(
        **{
            "model": "m",
            "task": "t",
            "subset": "default",
            "split": "test",
            "mode": mode,
            "kind": mode,
            "metric": "ndcg_at_10",
            "value": value,
            **more,
        }
    )


def ratios(rows):
    return [r.ratio for r in with_ratios(rows)]


def test_ratio_to_dense():
    assert ratios([row("bm25", 0.3), row("dense", 0.6), row("hybrid", 0.9)]) == [0.5, 1.0, 1.5]


def test_no_ratio_without_dense_or_value():
    assert ratios([row("bm25", 0.3)]) == [None]
    assert ratios([row("dense", None), row("bm25", 0.3)]) == [None, None]
    assert ratios([row("dense", 0.0), row("bm25", 0.3)]) == [None, None]


def test_no_ratio_to_a_negative_correlation():
    assert ratios([row("dense", -0.5), row("sparse", -0.25)]) == [None, None]
    assert ratios([row("dense", 0.5), row("sparse", -0.25)]) == [1.0, -0.5]


@pytest.mark.parametrize("name", ["model", "task", "subset", "split", "metric", "encoder"])
def test_ratio_only_within_the_same_cell(name):
    assert ratios([row("dense", 0.6), row("bm25", 0.3, **{name: "other"})]) == [1.0, None]


def test_the_mode_called_dense_is_the_reference():
    rows = [row("dense_dot", 0.5, kind="dense"), row("dense", 0.8), row("bm25", 0.4)]
    assert ratios(rows) == [0.625, 1.0, 0.5]
    assert ratios([row("dense_dot", 0.5, kind="dense"), row("bm25", 0.4)]) == [1.0, 0.8]


def test_flat_puts_cost_figures_beside_the_others():
    flat = row("dense", 0.5, cost={"index_bytes": 12}).flat()
    assert flat["index_bytes"] == 12
    assert flat["mode"] == "dense"
    assert "cost" not in flat


def stored(scores):
    return StoredResult(
        path=None,
        result={"task_name": "t", "dataset_revision": "r", "scores": scores},
        experiment={"mode": "dense", "folder": "f", "settings": {"mode": {"kind": "dense"}}},
        environment={
            "hardware": {"cpu": "CPU", "cores": 2, "gpus": ["GPU"]},
            "commit": {"commit": "0123456789abcdef", "dirty": True},
        },
        cost={"test/en": {"texts_encoded": 7}},
    )


def test_result_rows():
    scores = {"test": [{"hf_subset": "en", "ndcg_at_10": 0.5, "map_at_10": None}]}
    rows = result_rows(
        stored(scores),
        metrics=("ndcg_at_10", "map_at_10", "ndcg_at_10"),
        model="m",
        encoder="e",
        kept=False,
    )
    assert [(r.metric, r.value, r.main) for r in rows] == [
        ("ndcg_at_10", 0.5, True),
        ("map_at_10", None, False),
    ]
    assert rows[0].hardware == "CPU, 2 cores; GPU"
    assert rows[0].commit == "0123456789ab+"
    assert rows[0].encoded_now == 7


def test_kept_rows_encoded_nothing_now():
    scores = {"test": [{"hf_subset": "en", "ndcg_at_10": 0.5}]}
    (kept,) = result_rows(
        stored(scores), metrics=("ndcg_at_10",), model="m", encoder="e", kept=True
    )
    assert kept.encoded_now == 0
    assert kept.cost["texts_encoded"] == 7


def test_a_metric_that_the_type_of_task_does_not_have_gives_no_row():
    scores = {"test": [{"hf_subset": "en", "accuracy": 0.5, "f1": 0.25}]}
    rows = result_rows(
        stored(scores),
        metrics=("accuracy", "ndcg_at_10", "f1", "recall_at_100"),
        model="m",
        encoder="e",
        kept=False,
    )
    assert [(r.metric, r.value, r.main) for r in rows] == [
        ("accuracy", 0.5, True),
        ("f1", 0.25, False),
    ]


def test_a_metric_of_one_place_alone_gives_that_row():
    scores = {
        "test": [
            {"hf_subset": "en", "accuracy": 0.5},
            {"hf_subset": "de", "accuracy": 0.75, "f1": 0.25},
        ]
    }
    rows = result_rows(
        stored(scores), metrics=("accuracy", "f1"), model="m", encoder="e", kept=False
    )
    assert [(r.subset, r.metric) for r in rows] == [
        *(("en", "accuracy"), ("de", "accuracy"), ("de", "f1"))
    ]


def test_a_result_without_its_main_metric_is_refused(refusal):
    scores = {"test": [{"hf_subset": "en", "accuracy": 0.5}]}
    broken = replace(stored(scores), path=Path("results/t.json"))
    message = refusal(
        lambda: result_rows(broken, metrics=("ndcg_at_10",), model="m", encoder="e", kept=False)
    )
    assert message == (
        "results/t.json holds no ndcg_at_10, the main metric of t; delete it and it will be "
        "computed again"
    )


def test_the_type_of_the_task_is_told_where_the_result_tells_it():
    scores = {"test": [{"hf_subset": "en", "accuracy": 0.5}]}
    old = stored(scores)
    new = replace(old, experiment=old.experiment | {"task_type": "Classification"})
    for one, kind in ((old, ""), (new, "Classification")):
        (found,) = result_rows(one, metrics=("accuracy",), model="m", encoder="e", kept=False)
        assert (found.task_type, found.part_of) == (kind, "")
