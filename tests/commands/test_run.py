"""`harness run` as a user calls it: unreachable data, listings, published scores."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.cli import _main
from harness.evaluation.runner import Runner
from tests.evaluation.conftest import write_folder
from tests.evaluation.every_type import FOLDERS
from tests.evaluation.every_type import write_folder as write_typed

REMEDY = (
    "set HF_ENDPOINT to a mirror, or HF_HOME to a cache that has them, or give folders with "
    "tasks=folder tasks.path=[DIR,…]"
)


@pytest.fixture
def run(tmp_path, capfd, monkeypatch):
    """`harness run` in this process and a folder of its own: status, standard output and error."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capfd.readouterr()
        status = _main(["run", *map(str, arguments)])
        return status, *capfd.readouterr()

    return run


@pytest.fixture
def toy(run, tmp_path):
    """BM25 on the toy collection, whose nDCG@10 is 0.9033."""
    folder = write_folder(tmp_path / "toy")

    def toy(*overrides):
        return run(
            "tasks=folder", f"tasks.path={folder}", "cost=off", "retrieval=[bm25]", *overrides
        )

    return toy


def said(error):
    """The lines of standard error, runs of blanks as one."""
    return [" ".join(line.split()) for line in error.splitlines()]


def objects(output):
    return [json.loads(line) for line in output.splitlines()]


# Data that cannot be had.


def test_three_tasks_of_which_one_is_unreachable(tmp_path):
    """The whole program in a process of its own: no hub, and a cache that is empty."""
    folders = [write_folder(tmp_path / name) for name in ("one", "two")]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name[:3] != "HF_"}
    environment |= {"HF_HOME": str(tmp_path / "hub"), "HF_ENDPOINT": f"http://127.0.0.1:{port}"}
    began = time.monotonic()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "harness", "run", "tasks=folder", "tasks.names=[SCIDOCS]"),
            *(f"tasks.path=[{folders[0]},{folders[1]}]", "cost=off", "retrieval=[bm25]"),
            "format=json",
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 1, done.stderr
    assert time.monotonic() - began < 60
    rows = objects(done.stdout)
    assert [(row["task"], row["value"]) for row in rows] == [
        ("one", rows[0]["value"]),
        ("two", rows[0]["value"]),
    ]
    assert done.stderr.splitlines() == [
        "one: bm25",
        "two: bm25",
        "2 results computed, 0 kept; 0 texts encoded, 0 read from the store",
        f"not finished: no data for SCIDOCS (mteb/scidocs): {REMEDY}; run all the same: one, two",
    ]


# The listing.


@pytest.mark.parametrize("flag", ["--info", "info=true"])
def test_a_folder_is_listed_and_nothing_is_run(toy, tmp_path, monkeypatch, flag):
    monkeypatch.setattr(Runner, "run", lambda self: pytest.fail("a task was run"))
    monkeypatch.setattr("harness.evaluation.forecast._SECONDS", 0.0)
    status, out, err = toy(flag)
    assert (status, err) == (0, "")
    title, _, kind, task, *_ = (" ".join(line.split()) for line in out.splitlines() if line.strip())
    assert title == "type, task split documents queries characters FLOPs time"
    assert kind.startswith("Retrieval 1 task 6 4 446 ")
    assert task.startswith("toy test 6 4 446 ")
    note = " ".join(out.split())
    assert "sentence-transformers/all-MiniLM-L6-v2 on " in note
    assert "GFLOP/s, measured on a sample; 4.5 characters a token, texts cut at 256 tokens" in note
    assert {path.name for path in tmp_path.iterdir()} == {"toy"}


def test_a_folder_is_listed_as_json(toy, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.evaluation.forecast._SECONDS", 0.0)
    status, out, err = toy("--info", "format=json")
    assert status == 0
    (note,) = err.splitlines()
    assert "measured on a sample" in note
    (task,) = objects(out)
    estimates = {name: task.pop(name) for name in ("tokens", "encode_flops", "seconds")}
    assert task == {
        "task": "toy",
        "type": "Retrieval",
        "splits": ["test"],
        "subsets": ["default"],
        "documents": 6,
        "queries": 4,
        "characters": 446,
    }
    assert estimates["tokens"] == pytest.approx(446 / 4.5, abs=1)
    # Six layers of 12·384² weights: two FLOPs each and token, and little for attention.
    assert estimates["encode_flops"] == pytest.approx(446 / 4.5 * 24 * 6 * 384**2, rel=0.02)
    assert 0 < estimates["seconds"] < 600
    assert {path.name for path in tmp_path.iterdir()} == {"toy"}


LLM2VEC = {
    "SciFact": (5183, 300),
    "ArguAna": (8674, 1406),
    "NFCorpus": (3633, 323),
    "StackOverflowDupQuestions": None,
    "SciDocsRR": None,
    "BiorxivClusteringS2S": (75000, 0),
    "MedrxivClusteringS2S": (37500, 0),
    "TwentyNewsgroupsClustering": (59545, 0),
    "SprintDuplicateQuestions": (202000, 0),
    "Banking77Classification": None,
    "EmotionClassification": None,
    "MassiveIntentClassification": None,
    "STS17": (500, 0),
    "SICK-R": (19854, 0),
    "STSBenchmark": (2758, 0),
}


def test_a_group_is_listed_without_a_model(run, tmp_path):
    """Fifteen public tasks and a model that no cache has: sizes, no costs, and why."""
    arguments = ("tasks=llm2vec15", "model=hf", "model.name=no/such-model", "info=true")
    status, out, err = run(*arguments)
    assert status == 0
    assert err == "left out: 1 split by tasks.eval_splits; 15 of 15 tasks kept\n"
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "SciFact test 5,183 300 7.80 M – –" in lines
    assert "STS17 test: en-en 500 0 21.7 k – –" in lines
    assert "STS 3 tasks 23,112 0 1.09 M – –" in lines
    assert any(line.startswith("all 15 tasks ") for line in lines)
    note = " ".join(out.split())
    assert "no FLOPs and no time: model.name: 'no/such-model' is neither in" in note
    assert list(tmp_path.iterdir()) == []

    status, out, _ = run(*arguments, "format=json")
    assert status == 0
    listed = {task["task"]: task for task in objects(out)}
    assert list(listed) == list(LLM2VEC)
    for name, sizes in LLM2VEC.items():
        task = listed[name]
        assert (task["encode_flops"], task["seconds"]) == (None, None)
        assert task["tokens"] > 0
        assert sizes in (None, (task["documents"], task["queries"]))
    assert listed["MassiveIntentClassification"]["subsets"] == ["en"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("what", "shows"), [("all", "Installed Hydra Plugins"), ("searchpath", "Config search path")]
)
def test_hydra_s_own_info_stays_reachable(tmp_path, what, shows):
    """In a process of its own: Hydra leaves its logging changed."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", "--info", what],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert shows in done.stdout + done.stderr
    assert "type, task" not in done.stdout


def test_a_listing_of_tasks_that_are_not_there_is_refused(run):
    status, out, err = run("tasks.names=[NoSuchTask]", "--info")
    assert (status, out) == (2, "")
    assert "NoSuchTask" in err


# Metrics.


def test_an_unknown_metric_is_refused_before_anything(toy, tmp_path):
    status, out, err = toy("metrics=[recall_at_100,exactness]")
    assert (status, out) == (2, "")
    assert err.startswith("harness: metrics: 'exactness' is unknown; write NAME_at_K with NAME of ")
    assert len(err.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"toy"}


def test_metrics_of_several_types(run, tmp_path):
    write_folder(tmp_path / "toy")
    write_typed(tmp_path / "sts", FOLDERS["sts"])
    status, out, _ = run(
        *("tasks=folder", "tasks.path=[toy,sts]", "cost=off", "retrieval=[dense]", "format=json"),
        "metrics=[recall_at_100,cosine_pearson]",
    )
    assert status == 0
    rows = [(row["task"], row["metric"], row["main"]) for row in objects(out)]
    assert rows == [
        *(("toy", "ndcg_at_10", True), ("toy", "recall_at_100", False)),
        *(("sts", "cosine_spearman", True), ("sts", "cosine_pearson", False)),
    ]


def test_means_stand_below_the_tables_of_several_tasks(run, tmp_path):
    for name in ("one", "two"):
        write_folder(tmp_path / name)
    settings = ("tasks=folder", "cost=off", "retrieval=[bm25]")
    _, out, _ = run(*settings, "tasks.path=[one,two]")
    assert "Means of the main scores" in out
    assert said(out)[-2:] == ["mean of 2 tasks 0.9033", ""]
    _, out, _ = run(*settings, "tasks.path=[one]")
    assert "Means" not in out


# Published scores.


def publish(folder, value, *, task="toy", model="mteb/baseline-bm25s", revision="r1", **given):
    """One official result file with one place."""
    path = Path(folder) / model.replace("/", "__") / revision / f"{task}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    place = {"hf_subset": "default", "languages": ["eng-Latn"], "main_score": value}
    scores = {"test": [place | {"ndcg_at_10": value} | given]}
    path.write_text(json.dumps({"task_name": task, "mteb_version": "2.1.0", "scores": scores}))
    return path


def test_a_published_score_that_is_reproduced(toy, tmp_path):
    publish("published", 0.9040)
    status, out, err = toy("published=published", "check_published=true")
    assert status == 0
    lines = said(out)
    assert "published scores of mteb/baseline-bm25s" in lines
    assert "toy test/default bm25 nDCG@10 0.9033 0.9040 -0.0007 r1" in lines
    assert "1 of 1 published scores reproduced" in said(err)


def test_a_difference_beyond_the_tolerance_fails_and_keeps_the_results(toy, tmp_path):
    publish("published", 0.85)
    status, out, err = toy("published=published", "check_published=true")
    assert status == 1
    assert "toy test/default bm25 nDCG@10 0.9033 0.8500 +0.0533 r1" in said(out)
    assert said(err)[1:] == [
        "not reproduced: sentence-transformers/all-MiniLM-L6-v2 on toy (test, default), bm25: "
        "ndcg_at_10 is 0.9033, published is 0.8500 (revision r1), tolerance 0.0020",
        "0 of 1 published scores reproduced",
        "1 results computed, 0 kept; 0 texts encoded, 0 read from the store",
    ]
    assert len(list((tmp_path / "results").glob("*/*/experiments/*/toy.json"))) == 1
    status, _, err = toy("published=published", "check_published=true", "published_tolerance=0.06")
    assert status == 0
    assert "0 results computed, 1 kept; 0 texts encoded, 0 read from the store" in said(err)


def test_a_difference_is_only_shown_where_nothing_is_checked(toy):
    publish("published", 0.85)
    status, out, err = toy("published=published")
    assert status == 0
    assert "+0.0533" in out
    assert "reproduced" not in err


def test_no_published_score_reproduces_nothing(toy):
    publish("published", 0.9, task="OtherTask")
    status, out, err = toy("published=published", "check_published=true")
    assert status == 1
    assert "published scores of" not in out
    assert "not reproduced: check_published: none of these results has a published score" in said(
        err
    )
    assert "published scores reproduced" not in err
    assert toy("published=published")[0] == 0


def test_our_name_for_an_official_task(toy):
    publish("published", 0.9033, task="OtherTask")
    status, out, _ = toy(
        *("published=published", "check_published=true", "published_names={toy: OtherTask}"),
    )
    assert status == 0
    assert "= OtherTask" in out


def test_dense_is_compared_with_its_own_model(run, tmp_path, tiny_bert):
    write_folder(tmp_path / "toy")
    settings = (
        *("tasks=folder", "tasks.path=toy", "cost=off", "model=local", f"model.path={tiny_bert}"),
        *("format=json", "head=ridge"),
    )
    rows = {row["mode"]: row for row in objects(run(*settings)[1])}
    publish("published", rows["dense"]["value"], model="local/tiny-bert")
    publish("published", rows["bm25"]["value"] - 0.5)
    status, out, err = run(*settings, "published=published", "check_published=true")
    assert status == 1
    beside = {row["mode"]: row.get("difference") for row in objects(out)}
    assert beside == {
        "dense": 0.0,
        "aligned_sparse": None,
        "hybrid": None,
        "bm25": pytest.approx(0.5),
    }
    assert "1 of 2 published scores reproduced" in said(err)
    assert sum(line.startswith("not reproduced: ") for line in err.splitlines()) == 1


def test_json_stays_pure_where_scores_differ(toy):
    publish("published", 0.85)
    status, out, err = toy("published=published", "check_published=true", "format=json")
    assert status == 1
    (row,) = objects(out)
    assert (row["published"], row["published_revision"]) == (0.85, "r1")
    assert row["difference"] == pytest.approx(row["value"] - 0.85)
    assert "not reproduced: " in err


def test_a_published_file_that_cannot_be_read_is_told(toy):
    path = publish("published", 0.9)
    path.write_text("{")
    status, _, err = toy("published=published")
    assert status == 0
    assert (
        "published score left out: published/mteb__baseline-bm25s/r1/toy.json cannot be read as "
        "JSON; fetch it again"
    ) in said(err)
    assert toy("published=published", "check_published=true")[0] == 1


REFUSED = {
    "a check without a folder": (
        ["check_published=true"],
        "check_published=true needs published=DIR, a folder of official mteb results",
    ),
    "names without a folder": (
        ["published_names={toy: Other}"],
        "published_names needs published=DIR, a folder of official mteb results",
    ),
    "an empty folder's name": (
        ["published=' '"],
        "published is empty; give a folder of official mteb results, or null for none",
    ),
    "a folder that is not there": (
        ["published=nowhere"],
        "published=nowhere cannot be read (No such file or directory); name a folder of official "
        "mteb results, with MODEL/REVISION/TASK.json in it or under results/",
    ),
    "a file": (
        ["published=toy/corpus.jsonl"],
        "published=toy/corpus.jsonl cannot be read (Not a directory); name a folder of official "
        "mteb results, with MODEL/REVISION/TASK.json in it or under results/",
    ),
    "a tolerance below 0": (
        ["published=toy", "published_tolerance=-1"],
        "published_tolerance=-1.0 must be at least 0",
    ),
    "a name of nothing": (
        ["published=toy", "published_names={toy: ''}"],
        "published_names.toy='' names no task; write Task or Task/subset",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused_before_anything(toy, tmp_path, monkeypatch, case):
    overrides, says = REFUSED[case]
    monkeypatch.setattr(Runner, "run", lambda self: pytest.fail("a task was run"))
    status, out, err = toy(*overrides)
    assert (status, out, err) == (2, "", f"harness: {says}\n")
    assert {path.name for path in tmp_path.iterdir()} == {"toy"}
