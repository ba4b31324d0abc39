"""Whole sweeps: what their jobs tell, find and plan arrives, from whichever process it came."""

import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec

import pytest

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


@pytest.mark.skipif(
    find_spec("hydra_plugins.hydra_joblib_launcher") is None,
    reason="hydra-joblib-launcher, of the extra `sweep`, is not installed",
)
@pytest.mark.parametrize(
    ("overrides", "status", "left"),
    [
        (
            ["retrieval.bm25.b=7,8"],
            2,
            [f"retrieval.bm25.b=7: {B7}", f"retrieval.bm25.b=8: {B7.replace('7', '8')}"],
        ),
        pytest.param(
            ["tasks.names=[],[SCIDOCS]"],
            1,
            [f"tasks.names=[SCIDOCS]: {NO_DATA}"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_jobs_in_other_processes_are_named_at_the_end(
    settings, tmp_path, temporary, overrides, status, left
):
    """A sweep in a process of its own, its jobs in others; lines and status arrive."""
    environment = {name: value for name, value in os.environ.items() if name[:3] != "HF_"}
    environment |= {"HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    processes = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    done = subprocess.run(
        [sys.executable, "-m", "harness", *settings, *processes, *overrides],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == status, done.stderr
    assert sorted(last_lines(done.stderr.splitlines())[1]) == left
    assert not list(temporary.glob("harness*"))
