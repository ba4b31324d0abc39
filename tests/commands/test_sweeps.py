"""Whole sweeps in this process: what their jobs tell, find and plan."""

import json
import sys

import pandas as pd
import pytest

from harness.cli import _main
from harness.evaluation.downloads import DataLoader, UnreachableDataError
from harness.evaluation.plan import _copied
from tests.commands.sweeping import B7, NO_DATA, everything, last_lines, objects, sweep_folder


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


def test_a_plan_leaves_nothing_behind(sweep, temporary, tmp_path):
    before = everything(tmp_path)
    settings = ("retrieval.bm25.k1=1,2", "format=json", "sweep.plan=true")
    assert sweep(*settings)[0] == 0
    planned = objects(sweep.output)
    assert [(one["settings"], one["missing"]) for one in planned] == [
        *(("k1=1", ["bm25"]), ("k1=2", ["bm25"]))
    ]
    _copied.cache_clear()  # as the end of the process does
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
    _copied.cache_clear()
    assert everything(tmp_path) == before


def test_a_plan_names_bad_jobs(sweep):
    status, lines = sweep("retrieval.bm25.b=7,0.5", "sweep.plan=true")
    assert status == 2
    assert last_lines(lines)[1] == [f"retrieval.bm25.b=7 sweep.plan=True: {B7}"]
    assert "0   b=0.5" in sweep.output


def test_one_run_can_be_planned(sweep, sweep_settings, tmp_path):
    before = everything(tmp_path)
    own = [setting for setting in sweep_settings if setting != "-m"]
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
