"""Snapshots of results as `harness run` lays them out, and of real runs."""

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.evaluation.metrics import per_query_metrics, per_query_table
from harness.evaluation.results import read_result
from harness.evaluation.rows import ResultRow
from harness.regression.current import run_snapshots, snapshot
from harness.regression.snapshot import PlaceFigures, Score, System

RUN = {"q1": {"a": 3.0, "b": 2.0, "c": 1.0}, "q2": {"c": 1.0}}
QRELS = {"q1": {"b": 1}, "q2": {"a": 1}}  # second of three, and not found
FOLDER = "org__model/r1/experiments/dense-1a2b3c"
EXPERIMENT = {
    "mode": "dense",
    "model": "org/model",
    "revision": "r1",
    "settings": {"version": 1, "encoder": {"document": {"weights": "aa11"}}},
    "folder": "dense-1a2b3c",
    "main_metric": "ndcg_at_10",
    "task_type": "Retrieval",
}
COST = {"query_flops": 7.5, "index_bytes": 9, "latency_p50_ms": 1.5, "peak_host_bytes": 3}


@pytest.fixture
def write(tmp_path):
    """Writes the result of a task with the places `test/default` and `test/other`."""

    def write(*, per_query=True, **changes):
        path = tmp_path / FOLDER / "toy.json"
        details = path.with_suffix("")
        details.mkdir(parents=True)
        scores = [
            {"main_score": 0.31546, "ndcg_at_10": 0.31546, "map_at_10": 0.25, "hf_subset": subset}
            for subset in ("default", "other")
        ]
        record = {"task_name": "toy", "dataset_revision": "data1", "scores": {"test": scores}}
        path.write_text(json.dumps(record))
        (details / "experiment.json").write_text(json.dumps(EXPERIMENT | changes))
        (details / "environment.json").write_text("{}")
        (details / "cost.json").write_text(json.dumps({"test/default": COST}))
        if per_query:
            table = per_query_table("test", "default", per_query_metrics(RUN, QRELS))
            pq.write_table(pa.concat_tables([table]), details / "per_query.parquet")
        return path

    return write


def test_scores_of_queries_and_counted_costs(write):
    found = snapshot(read_result(write()), [("test", "default")], metrics=["map_at_10", "none"])
    assert found.system == System("toy", "org/model", "dense")
    assert (found.data_revision, found.model_hash, found.main_metric) == (
        "data1",
        "aa11",
        "ndcg_at_10",
    )
    assert found.settings == EXPERIMENT["settings"]
    assert found.places == {
        "test/default": PlaceFigures(
            {
                "ndcg_at_10": Score(0.31546, {"q1": 0.63093, "q2": 0.0}),
                "map_at_10": Score(0.25, {"q1": 0.5, "q2": 0.0}),
            },
            {
                "query_flops": 7.5,
                "scoring_flops_per_query": None,
                "corpus_flops": None,
                "splade_flops": None,
                "index_bytes": 9,
            },
        )
    }


def test_a_mode_without_a_model_has_no_hash(write):
    stored = read_result(write(settings={"version": 1}))
    assert snapshot(stored, [("test", "default")]).model_hash is None


def test_a_task_without_values_of_queries(write):
    found = snapshot(read_result(write(per_query=False)), [("test", "default")])
    assert found.places["test/default"].scores == {"ndcg_at_10": Score(0.31546, {})}


def test_values_of_queries_that_cannot_be_read_are_refused(write, refusal):
    path = write()
    (path.with_suffix("") / "per_query.parquet").write_bytes(b"no parquet")
    message = refusal(lambda: snapshot(read_result(path), [("test", "default")]))
    assert f"delete {path}" in message


ROW = ResultRow(
    model="org/model",
    task="toy",
    subset="default",
    split="test",
    mode="dense",
    kind="dense",
    metric="ndcg_at_10",
    value=0.31546,
    experiment="dense-1a2b3c",
)


def test_a_run_s_rows_say_which_places_were_asked_for(write, tmp_path):
    path = write()
    more = replace(ROW, metric="map_at_10", main=False)
    (one,) = run_snapshots([ROW, more], tmp_path)
    assert one == snapshot(read_result(path), [("test", "default")])
    (both,) = run_snapshots([ROW, replace(ROW, subset="other")], tmp_path)
    assert list(both.places) == ["test/default", "test/other"]


def test_a_result_that_went_away_is_said(tmp_path, refusal):
    assert "went away" in refusal(lambda: run_snapshots([ROW], tmp_path))
