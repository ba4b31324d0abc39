"""Tasks that are the mean of others: their parts are run and kept, then combined."""

import json
from dataclasses import replace

import mteb
import pytest
from mteb.abstasks.aggregate_task_metadata import AggregateTaskMetadata
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from harness.config import TasksConfig
from harness.cost.record import combined_cost
from harness.evaluation.aggregates import parts_of
from harness.evaluation.digests import settle
from harness.evaluation.downloads import DataLoader, UnreachableDataError
from harness.evaluation.evaluators import RankingEvaluator, VectorEvaluator
from harness.evaluation.runner import Runner
from harness.evaluation.tasks.folder import local_task
from harness.evaluation.tasks.resolve import resolve_tasks
from harness.reporting.summary import means
from harness.reporting.table import print_comparison
from tests.evaluation.conftest import DOCUMENTS, QUERIES, write_folder
from tests.evaluation.every_type import FOLDERS
from tests.evaluation.every_type import write_folder as write_typed

MODES = ["dense", "aligned_sparse", "hybrid", "bm25"]


def aggregate(name, parts, *, main_score="ndcg_at_10"):
    metadata = AggregateTaskMetadata(
        name=name,
        description="The mean of others.",
        tasks=parts,
        main_score=main_score,
        type=parts[0].metadata.type,
        eval_splits=["test"],
        license="not specified",
    )
    return type("Both", (AbsTaskAggregate,), {"metadata": metadata})()


@pytest.fixture
def first(tmp_path):
    return write_folder(tmp_path / "first", queries=QUERIES[:2])


@pytest.fixture
def second(tmp_path):
    documents = [(i, "", "Nothing." if i == "moon" else text) for i, _, text in DOCUMENTS]
    return write_folder(tmp_path / "second", documents=documents, queries=QUERIES[2:])


@pytest.fixture
def run(run_config, tiny_bert, first, second, monkeypatch):
    """Runs `Both`, the mean of two folders, with a random model of 16 dimensions."""

    def run(*overrides, others=()):
        tasks = [aggregate("Both", [local_task(first), local_task(second)])]
        tasks += [local_task(folder) for folder in others]
        monkeypatch.setattr("harness.evaluation.runner.resolve_tasks", lambda *_, **__: tasks)
        tiny = ("model=local", f"model.path={tiny_bert}", "pooling=mean", "head=ridge")
        return Runner(run_config(*tiny, *overrides)).run()

    return run


def rows_of(outcome, task):
    return {row.mode: row for row in outcome.rows if row.task == task}


def stored(tmp_path):
    return sorted((tmp_path / "results").glob("*/*/experiments/*/Both.json"))


def test_every_mode_of_the_parts_is_averaged(run):
    outcome = run()
    assert outcome.failed == []
    assert (outcome.computed, outcome.kept) == (8, 0)
    both, first, second = (rows_of(outcome, name) for name in ("Both", "first", "second"))
    assert list(both) == list(first) == list(second) == MODES
    assert first["bm25"].value != second["bm25"].value
    for mode, row in both.items():
        assert row.value == pytest.approx((first[mode].value + second[mode].value) / 2, abs=1e-12)
        assert row.ratio == pytest.approx(row.value / both["dense"].value)
        assert (row.metric, row.main, row.task_type) == ("ndcg_at_10", True, "Retrieval")
        assert (row.split, row.subset, row.part_of) == ("test", "default", "")
        costs = [part[mode].cost for part in (first, second)]
        assert row.cost == combined_cost(costs)
        assert row.cost["documents"] == 12
        assert row.cost["queries"] == 4


def test_parts_are_marked_and_others_are_not(run, tmp_path):
    other = write_folder(tmp_path / "other")
    outcome = run("retrieval=[bm25]", others=[other])
    assert [(row.task, row.part_of) for row in outcome.rows] == [
        *(("first", "Both"), ("second", "Both"), ("other", ""), ("Both", ""))
    ]
    (mode,) = means(outcome.rows)
    values = {row.task: row.value for row in outcome.rows}
    assert mode.over_tasks.of == 2
    assert mode.over_tasks.value == pytest.approx((values["Both"] + values["other"]) / 2)


def test_a_part_that_is_named_itself_counts_itself(run, first):
    """It stands in tables and means beside the whole that it is a part of."""
    outcome = run("retrieval=[bm25]", others=[first])
    assert [(row.task, row.part_of) for row in outcome.rows] == [
        *(("first", ""), ("second", "Both"), ("Both", ""))
    ]


def test_parts_stay_out_of_the_printed_tables(run, capsys):
    print_comparison(run("retrieval=[bm25]").rows)
    titles = [line for line in capsys.readouterr().out.splitlines() if " on " in line][:-1]
    assert titles == ["local/tiny-bert on Both (test, default)"]


def test_the_result_is_in_mteb_s_layout(run, tmp_path):
    outcome = run()
    cache = mteb.ResultCache(tmp_path)
    paths = stored(tmp_path)
    assert len(paths) == 4
    for path in paths:
        name, revision = path.relative_to(tmp_path / "results").parts[:2]
        experiment = json.loads((path.parent / "Both" / "experiment.json").read_text())
        result = cache.load_task_result(
            *("Both", name, revision), raise_if_not_found=True, experiment_name=path.parent.name
        )
        assert result.get_score() == rows_of(outcome, "Both")[experiment["mode"]].value
        assert (experiment["main_metric"], experiment["task_type"]) == ("ndcg_at_10", "Retrieval")
        beside = {file.name for file in (path.parent / "Both").iterdir()}
        assert beside == {
            *("config.yaml", "cost.json", "digests.json", "environment.json", "experiment.json")
        }


def test_the_second_run_keeps_it(run, tmp_path):
    before = run()
    times = {path: path.stat().st_mtime_ns for path in stored(tmp_path)}
    again = run()
    assert (again.computed, again.kept) == (0, 8)
    assert {path: path.stat().st_mtime_ns for path in stored(tmp_path)} == times
    assert all(row.kept for row in again.rows)
    unmarked = [
        replace(row, kept=False, encoded_now=row.cost["texts_encoded"]) for row in again.rows
    ]
    assert unmarked == before.rows


def test_another_part_makes_another_whole(run, second, tmp_path):
    """Parts are known by their content, and so is what they make; the first is found again."""
    before = rows_of(run("retrieval=[bm25]"), "Both")["bm25"]
    corpus = second / "corpus.jsonl"
    text = corpus.read_text()
    corpus.write_text(text.replace("Nothing.", "The moon circles the earth."))
    outcome = run("retrieval=[bm25]")
    assert (outcome.computed, outcome.kept) == (1, 1)
    after = rows_of(outcome, "Both")["bm25"]
    parts = [rows_of(outcome, name)["bm25"] for name in ("first", "second")]
    assert after.value > before.value
    assert after.value == pytest.approx(sum(part.value for part in parts) / 2)
    assert [row.kept for row in (*parts, after)] == [True, False, False]
    assert after.experiment != before.experiment
    found = {
        path.parent.name: json.loads(path.read_text())["scores"]["test"][0]["main_score"]
        for path in stored(tmp_path)
    }
    assert found == {row.experiment: row.value for row in (before, after)}
    corpus.write_text(text)
    again = rows_of(run("retrieval=[bm25]"), "Both")["bm25"]
    assert (again.kept, again.experiment) == (True, before.experiment)


def test_it_is_combined_again_when_a_part_of_the_same_name_changes(run, tmp_path):
    """A part that was computed anew, as one that was deleted, is read again."""
    run("retrieval=[bm25]")
    (part,) = (tmp_path / "results").glob("*/*/experiments/*/second.json")
    result = json.loads(part.read_text())
    result["scores"]["test"][0]["main_score"] = 0.125
    part.write_text(text := json.dumps(result))
    settle(part.with_suffix(""), {"result": text})
    outcome = run("retrieval=[bm25]")
    first, both = (rows_of(outcome, name)["bm25"] for name in ("first", "Both"))
    assert both.value == pytest.approx((first.value + 0.125) / 2)
    assert (outcome.computed, both.kept) == (0, False)
    assert rows_of(run("retrieval=[bm25]"), "Both")["bm25"].kept


def test_it_is_combined_again_when_the_parts_have_their_latency(run):
    assert rows_of(run("retrieval=[bm25]"), "Both")["bm25"].cost["latency_p50_ms"] is None
    timed = ("retrieval=[bm25]", "cost=light", "cost.latency_queries=2")
    outcome = run(*timed)
    parts = [rows_of(outcome, name)["bm25"].cost["latency_p50_ms"] for name in ("first", "second")]
    found = rows_of(outcome, "Both")["bm25"]
    assert found.cost["latency_p50_ms"] == pytest.approx(sum(parts) / 2)
    assert not found.kept
    assert rows_of(run(*timed), "Both")["bm25"].kept


def test_without_a_part_there_is_none(run, second, tmp_path, monkeypatch):
    evaluate = RankingEvaluator.evaluate

    def stop(self, mode, meta):
        if self._task.metadata.name == "second" and mode == "hybrid":
            raise KeyError("bug")
        return evaluate(self, mode, meta)

    monkeypatch.setattr(RankingEvaluator, "evaluate", stop)
    outcome = run()
    assert outcome.failed == [
        "second: unexpected KeyError: 'bug' (debug=true shows where)",
        "Both: finished of its 2 parts are hybrid 1, bm25 1",
    ]
    assert list(rows_of(outcome, "Both")) == ["dense", "aligned_sparse"]
    assert list(rows_of(outcome, "first")) == MODES
    assert len(stored(tmp_path)) == 2
    monkeypatch.undo()
    again = run()
    assert again.failed == []
    assert (again.computed, again.kept) == (2, 6)
    assert [(mode, row.kept) for mode, row in rows_of(again, "Both").items()] == [
        *(("dense", True), ("aligned_sparse", True), ("hybrid", False), ("bm25", False))
    ]


def test_a_fault_in_combining_keeps_all_other_rows(run, tmp_path, monkeypatch):
    other = write_folder(tmp_path / "other")

    def broken(self, results):
        raise ValueError("Missing main score")

    monkeypatch.setattr(AbsTaskAggregate, "combine_task_results", broken)
    outcome = run("retrieval=[bm25]", others=[other])
    assert [row.task for row in outcome.rows] == ["first", "second", "other"]
    assert outcome.failed == [
        "Both: unexpected ValueError: Missing main score (debug=true shows where)"
    ]


def test_parts_that_rank_nothing(run_config, tiny_bert, tmp_path, monkeypatch):
    """Modes that only rank have no row, of the parts as of the whole."""
    folders = [write_typed(tmp_path / name, FOLDERS["sts"]) for name in ("one", "two")]
    parts = [local_task(folder) for folder in folders]
    task = aggregate("Both", parts, main_score="cosine_spearman")
    monkeypatch.setattr("harness.evaluation.runner.resolve_tasks", lambda *_, **__: [task])
    evaluated = []
    evaluate = VectorEvaluator.evaluate
    monkeypatch.setattr(
        VectorEvaluator,
        "evaluate",
        lambda self, mode, meta: evaluated.append(mode) or evaluate(self, mode, meta),
    )
    tiny = ("model=local", f"model.path={tiny_bert}", "pooling=mean", "head=ridge")
    outcome = Runner(run_config(*tiny)).run()
    assert outcome.failed == []
    assert evaluated == ["dense", "aligned_sparse"] * 2
    assert list(rows_of(outcome, "Both")) == ["dense", "aligned_sparse"]
    one, both = rows_of(outcome, "one"), rows_of(outcome, "Both")
    assert both["dense"].value == one["dense"].value  # the same lines twice


def test_a_part_that_is_named_too_runs_once(first, second, tmp_path):
    parts = [local_task(first), local_task(second)]
    both = aggregate("Both", parts)
    assert parts_of([parts[0], both, parts[1]]) == parts
    assert parts_of([both, local_task(first)]) == parts


def test_cqadupstack_is_its_twelve_forums(tmp_path):
    tasks = resolve_tasks(
        TasksConfig(names=["CQADupstackRetrieval", "SCIDOCS"]), cache_dir=tmp_path
    )
    assert [task.metadata.name for task in parts_of(tasks)] == [
        *("CQADupstackAndroidRetrieval", "CQADupstackEnglishRetrieval"),
        *("CQADupstackGamingRetrieval", "CQADupstackGisRetrieval"),
        *("CQADupstackMathematicaRetrieval", "CQADupstackPhysicsRetrieval"),
        *("CQADupstackProgrammersRetrieval", "CQADupstackStatsRetrieval"),
        *("CQADupstackTexRetrieval", "CQADupstackUnixRetrieval"),
        *("CQADupstackWebmastersRetrieval", "CQADupstackWordpressRetrieval", "SCIDOCS"),
    ]


def test_all_modes_apply_to_cqadupstack(run_config, tmp_path, monkeypatch):
    """Every retrieval mode has an experiment of the whole, as of its parts."""

    def nowhere(self, task):
        raise UnreachableDataError(task.metadata.dataset["path"])

    monkeypatch.setattr(DataLoader, "load", nowhere)
    outcome = Runner(run_config("tasks.path=null", "tasks.names=[CQADupstackRetrieval]")).run()
    assert outcome.rows == []
    missing, whole = outcome.failed
    assert missing.startswith("no data for CQADupstackAndroidRetrieval (mteb/CQADupstackAndroid")
    assert " and 7 more: " in missing
    assert whole == (
        "CQADupstackRetrieval: finished of its 12 parts are dense 0, aligned_sparse 0, hybrid 0, "
        "bm25 0"
    )
    (manifest,) = (tmp_path / "results" / "runs").glob("*.json")
    asked = json.loads(manifest.read_text())["experiments"]
    assert len(asked) == 13
    assert all(list(modes) == MODES for modes in asked.values())
