"""Results on disk: written last and whole, read or refused, kept when others take their place."""

import json
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mteb.results import TaskResult

from harness.evaluation import results
from harness.evaluation.evaluators import Evaluated, Ranked
from harness.evaluation.experiment import Experiment
from harness.evaluation.metrics import per_query_metrics
from harness.evaluation.results import (
    _keep_superseded,
    details_folder,
    read_result,
    result_path,
    without_nan,
    write_result,
)
from harness.evaluation.tasks.folder import local_task
from harness.retrieval.ranking import Ranking, to_run
from tests.evaluation.conftest import write_folder

EXPERIMENT = Experiment("bm25", "org/model", "abc", {"mode": {"kind": "bm25"}}, "bm25-0123456789ab")


def test_superseded_results_of_names_with_dots_stay_apart(tmp_path):
    for name in ("my.first", "my.second"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"dataset_revision": "old"}))
        (tmp_path / name).mkdir()
        (tmp_path / name / "cost.json").write_text(name)
        _keep_superseded(tmp_path / f"{name}.json", "new")
    kept = tmp_path / "superseded"
    for name in ("my.first", "my.second"):
        assert json.loads((kept / f"{name}-old.json").read_text()) == {"dataset_revision": "old"}
        assert (kept / f"{name}-old" / "cost.json").read_text() == name
        assert not (tmp_path / f"{name}.json").exists()


def test_a_result_of_the_same_data_stays(tmp_path):
    path = tmp_path / "task.json"
    path.write_text(json.dumps({"dataset_revision": "same"}))
    _keep_superseded(path, "same")
    assert path.exists()
    assert not (tmp_path / "superseded").exists()


def texts(*ids):
    made = type("Texts", (), {})()
    made.ids = made.texts = list(ids)
    return made


def ranked():
    """Two queries over three documents; the second one finds a single document."""
    qrels = {"q1": {"a": 1}, "q2": {"c": 2, "b": 0}}
    ranking = Ranking(
        documents=np.array([[0, 2], [1, -1]], np.int32),
        scores=np.array([[2.0, 1.0], [0.5, 0.0]], np.float32),
    )
    metrics = per_query_metrics(
        to_run(ranking, ["q1", "q2"], ["a", "b", "c"]),
        qrels,
        ignore_identical_ids=False,
        skip_first_result=False,
    )
    return Ranked(texts("a", "b", "c"), texts("q1", "q2"), ranking, qrels, metrics)


@pytest.fixture
def write(tmp_path):
    """Writes a result of the toy collection with some scores."""
    task = local_task(write_folder(tmp_path / "toy"))
    path = result_path(tmp_path / "results", EXPERIMENT, "toy")

    def write(score, *, rankings=None):
        scores = {"test": {"default": {"main_score": score, "ndcg_at_10": score}}}
        result = TaskResult.from_task_results(task, scores, evaluation_time=1.0)
        return write_result(
            path,
            Evaluated(result, {"test/default": {"documents": 6}}, rankings or {}),
            experiment=EXPERIMENT,
            main_metric="ndcg_at_10",
            task_type="Retrieval",
            meta={"name": "org/model"},
            config="format: table\n",
            environment={"hardware": {"cpu": "CPU", "cores": 2}},
        )

    return write


def test_what_is_written_is_read(write, tmp_path):
    stored = write(0.5)
    folder = tmp_path / "results" / "org__model" / "abc" / "experiments" / "bm25-0123456789ab"
    assert stored.path == folder / "toy.json"
    assert stored == read_result(stored.path)
    assert stored.result["scores"]["test"][0]["main_score"] == 0.5
    assert stored.experiment == {
        "mode": "bm25",
        "model": "org/model",
        "revision": "abc",
        "settings": {"mode": {"kind": "bm25"}},
        "folder": "bm25-0123456789ab",
        "main_metric": "ndcg_at_10",
        "task_type": "Retrieval",
    }
    assert stored.cost == {"test/default": {"documents": 6}}
    assert stored.environment == {"hardware": {"cpu": "CPU", "cores": 2}}
    assert TaskResult.from_disk(stored.path).get_score() == 0.5
    assert {path.name for path in folder.iterdir()} == {"toy.json", "toy", "model_meta.json"}
    assert {path.name for path in (folder / "toy").iterdir()} == {
        *("config.yaml", "cost.json", "digests.json", "environment.json", "experiment.json")
    }


def test_no_number_is_null(write):
    stored = write(math.nan)
    assert stored.result["scores"]["test"][0]["main_score"] is None
    assert "NaN" not in stored.path.read_text()


def test_rankings_values_and_judgements_lie_beside(write):
    place = ("test", "default")
    folder = details_folder(write(0.5, rankings={place: ranked()}).path)
    tables = {path.name: pq.read_table(path).to_pylist() for path in folder.glob("*.parquet")}
    ranked_files = {"rankings.parquet", "per_query.parquet", "qrels.parquet"}
    assert set(tables) == {*ranked_files, "texts.parquet"}
    assert [tuple(row.values())[2:] for row in tables["rankings.parquet"]] == [
        *(("q1", 1, "a", 2.0), ("q1", 2, "c", 1.0), ("q2", 1, "b", 0.5))
    ]
    for rows in tables.values():
        assert {(row["split"], row["subset"]) for row in rows} == {place}
    for name in ranked_files:
        assert {row["query_id"] for row in tables[name]} == {"q1", "q2"}
    assert {row["id"] for row in tables["texts.parquet"]} == {"q1", "q2", "a", "b", "c"}


def test_explanations_lie_beside_where_there_are_some(write):
    places = {}
    for split in ("test", "dev"):
        table = pa.table({"split": [split], "subset": ["default"], "query_id": ["q1"]})
        places[split, "default"] = replace(ranked(), explanations=table)
    places["test", "other"] = ranked()
    folder = details_folder(write(0.5, rankings=places).path)
    rows = pq.read_table(folder / "explanations.parquet").to_pylist()
    assert [row["split"] for row in rows] == ["dev", "test"]


def test_a_result_appears_last(write, tmp_path, monkeypatch):
    """What stops the writing of the result itself leaves none, whatever lies beside."""
    path = result_path(tmp_path / "results", EXPERIMENT, "toy")
    assert read_result(path) is None
    write_text = results.write_text

    def full(target, text):
        if target == path:
            raise OSError(28, "No space left on device")
        write_text(target, text)

    with monkeypatch.context() as patch:
        patch.setattr(results, "write_text", full)
        with pytest.raises(OSError, match="No space left"):
            write(0.5, rankings={("test", "default"): ranked()})
    assert (details_folder(path) / "rankings.parquet").exists()
    assert read_result(path) is None
    assert write(0.25) == read_result(path)


DAMAGE = {
    "no scores": (lambda result: result.pop("scores"), "is no mteb result"),
    "scores of no split": (lambda result: result.update(scores=[1]), "is no mteb result"),
    "places that are none": (lambda result: result.update(scores={"test": 3}), "is no mteb result"),
    "a place without a score": (
        lambda result: result.update(scores={"test": [{"hf_subset": "default"}]}),
        "is no mteb result",
    ),
    "no revision": (lambda result: result.pop("dataset_revision"), "is no mteb result"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_result_is_named(write, refusal, damage):
    change, says = DAMAGE[damage]
    path = write(0.5).path
    result = json.loads(path.read_text())
    change(result)
    path.write_text(json.dumps(result))
    assert refusal(lambda: read_result(path)) == (
        f"{path} {says}; delete it and it will be computed again"
    )


@pytest.mark.parametrize("name", ["experiment", "environment", "cost"])
@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_damage_beside_a_result_names_the_result(write, refusal, name, text):
    path = write(0.5).path
    beside = details_folder(path) / f"{name}.json"
    beside.unlink() if text is None else beside.write_text(text)
    message = refusal(lambda: read_result(path))
    assert message.startswith(str(beside))
    assert message.endswith(f"; delete {path} and it will be computed again")


def test_a_cost_that_is_no_record(write, refusal):
    path = write(0.5).path
    (details_folder(path) / "cost.json").write_text('{"test/default": 5}')
    assert refusal(lambda: read_result(path)) == (
        f"{path} has no cost record; delete it and it will be computed again"
    )


def test_names_from_outside_stay_in_the_folder(tmp_path):
    experiment = Experiment("m", "../../org/a b", "../r", {}, "folder-0")
    path = result_path(tmp_path, experiment, "../task/x")
    assert path.parts[: len(tmp_path.parts)] == tmp_path.parts
    assert path.relative_to(tmp_path).parts == (
        *("%2E.__..__org__a_b", "%2E.%2Fr", "experiments", "folder-0", "%2E.%2Ftask%2Fx.json"),
    )


def test_without_nan():
    value = {"a": [math.nan, 1.5, {"b": -math.inf}], "c": "NaN", "d": 7, "e": None, "f": True}
    assert without_nan(value) == {
        "a": [None, 1.5, {"b": None}],
        "c": "NaN",
        "d": 7,
        "e": None,
        "f": True,
    }
