"""Runs as a table, as JSON lines, and counted."""

import json

import pytest

from harness.evaluation.run_status import RunStatus
from harness.reporting.runs import counts_line, print_runs, run_lines


def run(name, status="done", **given):
    usual = {
        **{"started": "2026-11-27T17:00:00+00:00", "seconds": 75.0, "model": "org/model"},
        **{"tasks": {"T": ["dense", "bm25"], "U": ["dense"]}, "computed": 3, "kept": 1},
        **{"texts_encoded": 1500, "texts_read": 4, "host": "machine", "pid": 7},
    }
    return RunStatus(name=name, status=status, **(usual | given))


def printed(capsys, *runs):
    print_runs(runs)
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_table(capsys):
    runs = [run("a"), run("b", "unknown", seconds=None, tasks={"A": ["dense"]})]
    header, _, *lines = printed(capsys, *runs)
    assert header == "started status model tasks modes computed kept encoded time"
    assert lines == [
        "2026-11-27 17:00:00 done model T, U dense, bm25 3 1 1,500 1 min 15 s",
        "2026-11-27 17:00:00 unknown model A dense 3 1 1,500 -",
        "b unknown: process 7 on machine",
    ]


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        ("done", []),
        ("partial", ["a partial: T: bug\\x1b", "a partial: U: bug"]),
        ("failed", ["a failed: T: bug\\x1b", "a failed: U: bug"]),
        ("running", ["a running: process 7 on machine"]),
        ("killed", ["a killed: its process is gone; the same command computes what is missing"]),
    ],
)
def test_what_is_said_below(capsys, status, lines):
    assert printed(capsys, run("a", status, failed=["T: bug\x1b", "U: bug"]))[3:] == lines


def test_many_tasks_are_counted(capsys):
    lines = printed(capsys, run("a", tasks={task: ["dense"] for task in "ABCDE"}))
    assert "A, B, C and 2 more" in " ".join(line for line in lines[2:])


def test_json(capsys):
    run_lines([run("a", failed=["Ü"]), run("b", seconds=None)])
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["name"], first["failed"], first["tasks"]["U"]) == ("a", ["Ü"], ["dense"])
    assert second["seconds"] is None


def test_counts():
    runs = [run("a"), run("b"), run("c", "killed"), run("d", "partial")]
    assert counts_line(runs) == "4 runs: 2 done, 1 partial, 1 killed"
    assert counts_line(runs[:1]) == "1 run: 1 done"
    assert counts_line([]) == "0 runs"
