"""`harness status` as a user calls it, also while runs go on and after one was killed."""

import json
import os
import signal
import subprocess
import sys

import pytest

from harness.cli import _main
from tests.evaluation.conftest import write_folder


@pytest.fixture
def harness(tmp_path, capfd, monkeypatch):
    """A command in this process and a folder of its own: status, standard output and error."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.chdir(tmp_path)

    def harness(*arguments):
        capfd.readouterr()
        status = _main([*map(str, arguments)])
        return status, *capfd.readouterr()

    return harness


@pytest.fixture
def toy(harness, tmp_path):
    """BM25 on the toy collection."""
    folder = write_folder(tmp_path / "toy")

    def toy(*overrides):
        own = ("tasks=folder", f"tasks.path={folder}", "cost=off", "retrieval=[bm25]")
        return harness("run", *own, *overrides)

    return toy


def test_runs_are_listed_and_chosen(harness, toy):
    assert [toy()[0], toy("tasks.names=[SCIDOCS]")[0]] == [0, 1]
    status, out, err = harness("status", "format=json")
    first, second = map(json.loads, out.splitlines())
    assert (status, err) == (0, "2 runs: 1 done, 1 partial\n")
    assert (first["status"], first["computed"], first["tasks"]) == ("done", 1, {"toy": ["bm25"]})
    assert second["status"] == "partial"
    assert second["failed"][0].startswith("no data for SCIDOCS")
    _, out, err = harness("status", "last=1")
    assert "partial" in out
    assert " done " not in out
    assert err == "2 runs: 1 done, 1 partial, the last 1 shown; last=0 shows all\n"
    _, out, err = harness("status", "status=done", "format=json")
    assert (json.loads(out)["name"], err) == (first["name"], "1 run: 1 done\n")


def test_bad_input(harness, toy, tmp_path):
    status, out, err = harness("status")
    assert (status, out) == (2, "")
    assert err == "harness: results_dir=results is no folder; name one with results\n"
    toy()
    for wrong in ("status=fine", "last=-1", "format=xml", "results_dir="):
        status, out, err = harness("status", wrong)
        assert (status, out, err.count("\n")) == (2, "", 1)
    damaged = tmp_path / "results" / "runs" / "a.json"
    damaged.write_text("{")
    status, out, err = harness("status")
    assert status == 1
    assert "done" in out
    assert err.splitlines() == [
        "1 run: 1 done",
        "results/runs/a.json cannot be read as JSON; delete it",
    ]


RUN = """
import sys, time
from harness.evaluation.manifest import run_manifest
from harness.evaluation.runner import RunOutcome
from pathlib import Path
with run_manifest(Path(sys.argv[1]), {"model": "m", "experiments": {}}, RunOutcome()):
    print("begun", flush=True)
    time.sleep(600)
"""


def test_a_killed_run_is_told_from_a_running_one(harness, tmp_path):
    runs = [
        subprocess.Popen([sys.executable, "-c", RUN, "results"], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        assert [run.stdout.readline() for run in runs] == [b"begun\n"] * 2
        os.kill(runs[0].pid, signal.SIGKILL)
        runs[0].wait()
        _, out, err = harness("status", "format=json")
    finally:
        for run in runs:
            run.kill()
            run.wait()
    found = {one["pid"]: one["status"] for one in map(json.loads, out.splitlines())}
    assert found == {runs[0].pid: "killed", runs[1].pid: "running"}
    assert err == "2 runs: 1 running, 1 killed\n"
    assert harness("status")[2] == "2 runs: 2 killed\n"
