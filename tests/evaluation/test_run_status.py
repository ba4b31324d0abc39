"""How runs stand, by their records."""

import json

import pytest

from harness.errors import BadInputError
from harness.evaluation.manifest import run_manifest
from harness.evaluation.run_status import run_statuses
from harness.evaluation.runner import RunOutcome
from harness.process import this_process

ASKED = {"model": "org/model", "experiments": {"T": {"dense": "dense-01", "bm25": "bm25-02"}}}


@pytest.fixture
def write(tmp_path):
    """Writes a record and gives its status."""

    def write(name="1", **fields):
        record = {
            **{"status": "done", "started": "2026-11-27T17:00:00+00:00", "seconds": 2.5},
            **{"process": this_process(), **ASKED, "texts_encoded": 10, "texts_read": 4},
            **{"computed": 2, "kept": 1, "failed": []},
        } | fields
        (tmp_path / "runs").mkdir(exist_ok=True)
        (tmp_path / "runs" / f"{name}.json").write_text(json.dumps(record))
        return run_statuses(tmp_path)[0][-1]

    return write


@pytest.mark.parametrize("status", ["done", "partial", "failed"])
def test_a_run_that_has_ended(write, status):
    found = write("one", status=status, failed=["T: bug"])
    assert (found.name, found.status, found.seconds) == ("one", status, 2.5)
    assert found.tasks == {"T": ["dense", "bm25"]}
    assert (found.computed, found.kept, found.texts_encoded, found.texts_read) == (2, 1, 10, 4)
    assert found.failed == ["T: bug"]
    assert found.host == this_process()["host"]


@pytest.mark.parametrize(
    ("process", "status"),
    [
        ({}, "running"),
        ({"started": -1.0}, "killed"),
        ({"boot": "another start"}, "killed"),
        ({"host": "another machine"}, "unknown"),
    ],
)
def test_a_run_that_has_not_ended(write, process, status):
    found = write(status="running", process=this_process() | process)
    assert found.status == status
    assert (found.seconds is None) == (status != "running")


def test_a_record_of_before_processes_were_kept(write):
    found = write(status="running", process=None)
    assert (found.status, found.seconds, found.host, found.pid) == ("unknown", None, "", None)


def test_time_so_far_is_the_machines_own(write):
    process = this_process()
    found = write(status="running", process={**process, "clock": process["clock"] - 100.0})
    assert 100 <= found.seconds < 160


def test_in_the_order_of_their_names(write, tmp_path):
    for name in ("b", "c", "a"):
        write(name)
    assert [run.name for run in run_statuses(tmp_path)[0]] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"status": "done"}', '{"status": "running", "seconds": "x"}']
)
def test_a_damaged_record_is_a_line(write, tmp_path, text):
    write("a")
    (tmp_path / "runs" / "b.json").write_text(text)
    runs, (fault,) = run_statuses(tmp_path)
    assert [run.name for run in runs] == ["a"]
    assert fault.startswith(f"{tmp_path}/runs/b.json ")
    assert fault.endswith("delete it")


def test_a_status_that_there_is_not(write, tmp_path):
    with pytest.raises(IndexError):  # it is no run
        write(status="splendid")
    assert len(run_statuses(tmp_path)[1]) == 1


def test_a_folder_without_runs(tmp_path, refusal):
    assert run_statuses(tmp_path) == ([], [])
    assert refusal(lambda: run_statuses(tmp_path / "no")).endswith("name one with results")


def test_a_run_writes_what_is_read(tmp_path):
    outcome = RunOutcome()
    with run_manifest(tmp_path, ASKED, outcome):
        ((running,), _) = run_statuses(tmp_path)
        outcome.computed, outcome.failed = 3, ["T: bug"]
    ((ended,), _) = run_statuses(tmp_path)
    assert (running.status, running.computed, running.name) == ("running", 0, ended.name)
    assert (ended.status, ended.computed, ended.failed) == ("partial", 3, ["T: bug"])


def test_runs_of_one_second_are_in_their_order(tmp_path):
    for number in range(8):
        with run_manifest(tmp_path, {"model": str(number), "experiments": {}}, RunOutcome()):
            pass
    assert [run.model for run in run_statuses(tmp_path)[0]] == [str(number) for number in range(8)]


def test_a_run_that_ends_with_an_error_has_failed(tmp_path):
    def fail():
        with run_manifest(tmp_path, ASKED, RunOutcome()):
            raise KeyError("bug")

    with pytest.raises(KeyError):
        fail()
    ((ended,), _) = run_statuses(tmp_path)
    assert ended.status == "failed"


def test_bad_input_leaves_no_run_behind(tmp_path):
    def refuse():
        with run_manifest(tmp_path / "results", ASKED, RunOutcome()):
            raise BadInputError("bad")

    with pytest.raises(BadInputError):
        refuse()
    assert list(tmp_path.iterdir()) == []
