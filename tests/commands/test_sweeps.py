"""Whole sweeps: what their jobs tell, find and plan arrives, from whichever process it came."""

import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec

import pandas as pd
import pytest
import yaml

from harness.cli import _main
from harness.evaluation.downloads import DataLoader, UnreachableDataError
from tests.evaluation.conftest import write_folder

B7 = "retrieval.bm25.b=7.0 must lie between 0 and 1"
NO_DATA = (
    "no data for SCIDOCS (mteb/scidocs): set HF_ENDPOINT to a mirror, or HF_HOME to a cache that "
    "has them, or give folders with tasks=folder tasks.path=[DIR,…]; run all the same: toy"
)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files of its own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def settings(tmp_path):
    """A quick sweep of the toy collection."""
    folder = write_folder(tmp_path / "toy")
    return [
        *("run", "-m", "tasks=folder", f"tasks.path={folder}", "cost=off", "retrieval=[bm25]"),
        *(f"results_dir={tmp_path}/results", f"store_dir={tmp_path}/store"),
    ]


@pytest.fixture
def sweep(settings, tmp_path, capfd, monkeypatch):
    """Sweeps in this process: status and the lines of standard error."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.chdir(tmp_path)

    def sweep(*overrides):
        capfd.readouterr()
        status = _main([*settings, *overrides])
        captured = capfd.readouterr()
        assert "unfinished" not in captured.out
        sweep.output = captured.out
        return status, captured.err.splitlines()

    return sweep


def last_lines(lines):
    """The summary at the end, each job without the overrides that all have."""
    start = next(n for n, line in enumerate(lines) if line.startswith("harness: the sweep left"))
    title, *rest = lines[start:]
    assert all(line.startswith("  tasks=folder ") for line in rest)
    return title, [line.partition("/store ")[2] for line in rest]


def test_a_job_of_bad_input_is_named_at_the_end(sweep, temporary):
    status, lines = sweep("retrieval.bm25.b=7,0.75,0.5")
    assert status == 2
    assert last_lines(lines) == (
        "harness: the sweep left 1 unfinished:",
        [f"retrieval.bm25.b=7: {B7}"],
    )
    assert sum("1 results computed" in line for line in lines) == 2
    assert not list(temporary.glob("harness*"))


def test_a_job_with_an_unfinished_task_is_named_at_the_end(sweep, temporary, monkeypatch):
    def nowhere(self, task):
        if not task.data_loaded:
            raise UnreachableDataError(task.metadata.dataset["path"])

    monkeypatch.setattr(DataLoader, "load", nowhere)
    status, lines = sweep("tasks.names=[],[SCIDOCS]", "retrieval.bm25.k1=1,2")
    assert status == 1
    assert last_lines(lines) == (
        "harness: the sweep left 2 unfinished:",
        [f"tasks.names=[SCIDOCS] retrieval.bm25.k1={k1}: {NO_DATA}" for k1 in (1, 2)],
    )
    assert not list(temporary.glob("harness*"))


def test_a_score_that_is_not_reproduced_is_named_at_the_end(sweep, tmp_path, temporary):
    published = tmp_path / "published" / "mteb__baseline-bm25s" / "r1" / "toy.json"
    published.parent.mkdir(parents=True)
    place = {"hf_subset": "default", "main_score": 0.5, "ndcg_at_10": 0.5}
    published.write_text(json.dumps({"scores": {"test": [place]}}))
    status, lines = sweep(
        f"published={tmp_path}/published", "check_published=false,true", "retrieval.bm25.k1=1.5"
    )
    assert status == 1
    title, (line,) = last_lines(lines)
    assert title == "harness: the sweep left 1 unfinished:"
    assert " check_published=True retrieval.bm25.k1=1.5: sentence-transformers/" in line
    assert line.endswith("published is 0.5000 (revision r1), tolerance 0.0020")


def test_a_sweep_that_finishes_says_nothing_more(sweep, temporary, tmp_path):
    status, lines = sweep("retrieval.bm25.k1=1,2")
    assert status == 0
    assert not any("unfinished" in line for line in lines)
    (folder,) = (tmp_path / ".harness" / "sweeps").iterdir()
    assert lines[-1] == f"sweep: summary.png, summary.svg, summary.csv in {folder}"
    assert not list(temporary.glob("harness*"))


def test_an_unexpected_fault_is_named_at_the_end(sweep, temporary, monkeypatch):
    def fault(self):
        raise KeyError("bug")

    monkeypatch.setattr("harness.evaluation.runner.Runner.run", fault)
    status, lines = sweep("retrieval.bm25.k1=1,2")
    assert status == 1
    fault_line = "unexpected KeyError: 'bug' (debug=true shows where)"
    assert last_lines(lines)[1] == [f"retrieval.bm25.k1={k1}: {fault_line}" for k1 in (1, 2)]


def test_a_key_press_leaves_what_was_told(sweep, temporary, monkeypatch):
    calls = []

    def interrupt(self):
        calls.append(1)
        raise KeyError("bug") if len(calls) == 1 else KeyboardInterrupt

    monkeypatch.setattr("harness.evaluation.runner.Runner.run", interrupt)
    status, lines = sweep("retrieval.bm25.k1=1,2,3")
    assert status == 130
    assert "harness: the sweep left 1 unfinished:" in lines
    assert len(calls) == 2
    assert lines[-1] == "harness: interrupted; what was finished is kept, the same command goes on"
    assert not list(temporary.glob("harness*"))


def objects(output):
    return [json.loads(line) for line in output.splitlines()]


def sweep_folder(tmp_path):
    (folder,) = (tmp_path / ".harness" / "sweeps").iterdir()
    return folder


def test_the_table_at_the_end(sweep, tmp_path):
    """BM25 ranks the toy collection alike with any k1; b of 0 and 1 differ in nothing either."""
    status, lines = sweep("retrieval.bm25.k1=1,7", "retrieval.bm25.b=0.5,9")
    assert status == 2
    table = [" ".join(line.split()) for line in sweep.output.splitlines()]
    assert table[table.index("sweep on toy") :][4:-1] == [
        "0 k1=1 b=0.5 0.9033 3.00 3.00 - 728 B 0",
        "2 k1=7 b=0.5 0.9033 3.00 3.00 - 728 B 0",
    ]
    frame = pd.read_csv(sweep_folder(tmp_path) / "summary.csv")
    assert list(frame["settings"]) == ["k1=1 b=0.5", "k1=1 b=9", "k1=7 b=0.5", "k1=7 b=9"]
    assert list(frame["status"]) == ["done", "failed", "done", "failed"]
    assert frame["value"].round(4).tolist()[::2] == [0.9033, 0.9033]
    assert "1 of 4 jobs done, 0 running, 1 failed" in "".join(lines)


def test_json_rows_are_all_of_standard_output(sweep):
    status, _ = sweep("format=json", "retrieval.bm25.k1=1,2")
    assert status == 0
    assert [row["mode"] for row in objects(sweep.output)] == ["bm25", "bm25"]


def everything(tmp_path):
    return sorted(path for path in tmp_path.rglob("*"))


def test_a_plan_leaves_nothing_behind(sweep, temporary, tmp_path):
    before = everything(tmp_path)
    settings = ("retrieval.bm25.k1=1,2", "format=json", "sweep.plan=true")
    assert sweep(*settings)[0] == 0
    planned = objects(sweep.output)
    assert [(one["settings"], one["missing"]) for one in planned] == [
        *(("k1=1", ["bm25"]), ("k1=2", ["bm25"]))
    ]
    assert everything(tmp_path) == before
    assert sweep("retrieval.bm25.k1=2")[0] == 0
    before = everything(tmp_path)
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    status, lines = sweep(*settings, *launcher)
    assert status == 0
    planned = objects(sweep.output)
    assert [(one["stored"], one["missing"]) for one in planned] == [([], ["bm25"]), (["bm25"], [])]
    assert lines == [
        "2 jobs: 1 result to be computed, 1 stored; to be encoded 0 texts, 0 FLOPs, 0 s; "
        "searching and fitting heads are not in it"
    ]
    assert everything(tmp_path) == before


def test_a_plan_names_bad_jobs(sweep):
    status, lines = sweep("retrieval.bm25.b=7,0.5", "sweep.plan=true")
    assert status == 2
    assert last_lines(lines)[1] == [f"retrieval.bm25.b=7 sweep.plan=True: {B7}"]
    assert "0   b=0.5" in sweep.output


def test_one_run_can_be_planned(sweep, settings, tmp_path):
    before = everything(tmp_path)
    own = [setting for setting in settings if setting != "-m"]
    assert _main([*own, "sweep.plan=true"]) == 0
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["regress", "sweep.plan=true"],
            "sweep.plan=true lists what harness run would do; harness regress has no plan",
        ),
        (
            ["run", "-m", "hydra/sweeper=tradeoff", "sweep.plan=true"],
            "hydra/sweeper=tradeoff chooses its jobs by what earlier ones find: leave it or "
            "sweep.plan=true out",
        ),
        (
            ["run", "sweep.mode=splade"],
            "sweep.mode=splade is no mode of this run; name one of: dense, aligned_sparse, hybrid, "
            "bm25",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path, monkeypatch, capfd, arguments, line):
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.chdir(tmp_path)
    assert _main(arguments) == 2
    assert capfd.readouterr().err == f"harness: {line}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_launcher_that_is_not_installed(sweep):
    status, lines = sweep("hydra/launcher=nonsense")
    assert status == 2
    assert len(lines) == 1
    assert lines[0].endswith("joblib, submitit and Optuna come with pip install 'harness[sweep]'")


def needs(plugin):
    return pytest.mark.skipif(
        find_spec(f"hydra_plugins.{plugin}") is None,
        reason=f"{plugin}, of the extra `sweep`, is not installed",
    )


SEARCH = ("hydra/sweeper=tradeoff", "hydra.sweeper.n_trials=4")


@needs("hydra_optuna_sweeper")
def test_a_search_is_given_quality_and_scoring_flops(sweep, tiny_bert, tmp_path):
    tiny = ("model=local", f"model.path={tiny_bert}", "pooling=mean", "head=ridge")
    status, lines = sweep(
        *(*SEARCH, *tiny, "retrieval=[dense,aligned_sparse]", "sweep.mode=aligned_sparse"),
        "retrieval.aligned_sparse.doc_top_k=int(interval(1,64))",
    )
    assert status == 0, lines
    found = pd.read_csv(sweep_folder(tmp_path) / "summary.csv")
    own = found[found["mode"] == "aligned_sparse"]
    points = set(zip(own["value"], own["scoring_flops_per_query"], strict=True))
    better = {
        (value, flops)
        for value, flops in points
        if not any(v >= value and f <= flops and (v, f) != (value, flops) for v, f in points)
    }
    solutions = yaml.safe_load((sweep_folder(tmp_path) / "optimization_results.yaml").read_text())
    assert {tuple(one["values"]) for one in solutions["solutions"]} == better
    assert [line for line in lines if "4 of 4 jobs done" in line]
    assert own["job"].tolist() == [0, 1, 2, 3]


@needs("hydra_optuna_sweeper")
def test_a_trial_that_fails_does_not_stop_the_search(sweep):
    status, lines = sweep(*SEARCH, "retrieval.bm25.b=choice(7)", "retrieval.bm25.k1=interval(1,2)")
    assert status == 2
    start = lines.index("harness: the sweep left 4 unfinished:")
    assert all(line.endswith(f": {B7}") for line in lines[start + 1 :])
    assert not any("Failed experiment" in line for line in lines)


@needs("hydra_optuna_sweeper")
def test_a_search_must_know_the_mode(sweep, tmp_path):
    status, lines = sweep(*SEARCH, "retrieval=[dense,bm25]", "retrieval.bm25.k1=interval(1,2)")
    assert status == 2
    start = lines.index("harness: the sweep left 4 unfinished:")
    assert all("a search needs one mode to go by" in line for line in lines[start + 1 :])
    assert not (tmp_path / "results").exists()


@pytest.fixture
def apart(settings, tmp_path):
    """A sweep in a process of its own, its jobs in others: exit status and both outputs."""

    def apart(*overrides):
        environment = {name: value for name, value in os.environ.items() if name[:3] != "HF_"}
        environment |= {"HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "harness", *settings, *overrides],
            check=False,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
        )
        return done.returncode, done.stdout, done.stderr.splitlines()

    return apart


JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


@needs("hydra_joblib_launcher")
def test_jobs_in_other_processes_encode_once(apart, tiny_bert, tmp_path, temporary):
    """One of the four jobs fails; the others share what one of them has encoded."""
    tiny = ("model=local", f"model.path={tiny_bert}", "pooling=mean", "head=ridge")
    status, out, lines = apart(
        *(*JOBLIB, *tiny, "retrieval=[aligned_sparse]", "format=json"),
        "retrieval.aligned_sparse.doc_top_k=8,16,32,-1",
    )
    assert status == 2
    title, (line,) = last_lines(lines)
    assert title == "harness: the sweep left 1 unfinished:"
    assert "retrieval.aligned_sparse.doc_top_k=-1: retrieval.aligned_sparse.doc_top_k=" in line
    runs = [json.loads(path.read_text()) for path in (tmp_path / "results" / "runs").iterdir()]
    assert sorted(run["texts_encoded"] for run in runs) == [0, 0, 6]
    assert len(objects(out)) == 3
    assert sum(line.startswith("sweep: doc_top_k=") for line in lines) == 4
    assert not list(temporary.glob("harness*"))


@needs("hydra_joblib_launcher")
@pytest.mark.slow
def test_an_unfinished_task_of_another_process_is_named_at_the_end(apart):
    status, _, lines = apart(*JOBLIB, "tasks.names=[],[SCIDOCS]")
    assert status == 1
    assert last_lines(lines)[1] == [f"tasks.names=[SCIDOCS]: {NO_DATA}"]


@needs("hydra_submitit_launcher")
def test_jobs_that_are_submitted_are_seen_by_their_records(apart, tmp_path):
    status, out, lines = apart("hydra/launcher=submitit_local", "retrieval.bm25.b=7,0.5")
    assert status == 2
    assert last_lines(lines)[1] == [f"retrieval.bm25.b=7: {B7}"]
    ends = [line.partition(" in ")[0] for line in lines if line.startswith("sweep: b=")]
    assert ends == ["sweep: b=7: failed", "sweep: b=0.5: done"]
    assert "1   b=0.5            0.9033" in out
    assert (sweep_folder(tmp_path) / "summary.svg").exists()


@needs("hydra_submitit_launcher")
def test_slurm_settings_compose():
    from hydra import compose, initialize_config_dir

    from harness.cli import config_folder

    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        own = ["hydra/launcher=slurm", "hydra.launcher.partition=gpu"]
        hydra = compose("run", own, return_hydra_config=True).hydra
    assert hydra.launcher._target_.endswith(".SlurmLauncher")
    assert (hydra.launcher.partition, hydra.launcher.gpus_per_node) == ("gpu", 1)
