"""Jobs' records: written, read, named and told."""

import json

import pytest

from harness.process import this_process
from harness.sweep.record import (
    RECORD,
    JobRecord,
    clear_jobs,
    read_jobs,
    settings_of,
    unfinished_lines,
)


def record(number=0, overrides=(), **fields):
    return JobRecord(number=number, overrides=list(overrides), **fields)


def test_records_are_read_as_written_by_number(tmp_path):
    written = [
        record(10, ["a=1"], status="done", seconds=1.5, rows=[{"value": 0.5, "mode": "Ü"}]),
        record(9, ["a=2"], status="failed", exit_status=2, unfinished=["bad\nline"]),
    ]
    for one in written:
        one.write(tmp_path / str(one.number))
    assert read_jobs(tmp_path) == written[::-1]
    (tmp_path / "ahead").mkdir()
    clear_jobs(tmp_path)
    assert read_jobs(tmp_path) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10", "9"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"number": 1}', '{"other": 1}'])
def test_what_is_no_record_is_passed_over(tmp_path, text):
    record(1, status="done").write(tmp_path / "1")
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / RECORD).write_text(text)
    assert [job.number for job in read_jobs(tmp_path)] == [1]


def test_a_job_whose_process_is_gone_was_killed(tmp_path):
    alive = this_process()
    processes = [alive, {**alive, "started": -1.0}, {**alive, "host": "another"}]
    for number, process in enumerate(processes):
        record(number, process=process).write(tmp_path / str(number))
    jobs = read_jobs(tmp_path)
    assert [job.status for job in jobs] == ["running", "killed", "running"]
    assert [job.exit_status for job in jobs] == [0, 1, 0]
    assert unfinished_lines(jobs) == ["defaults: its process was killed"]
    assert json.loads((tmp_path / "1" / RECORD).read_text())["status"] == "running"


def test_unfinished_lines_name_the_job():
    jobs = [
        record(0, ["a=1", "b=2"], status="failed", unfinished=["first\nline", "second"]),
        record(1, ["a=1"], status="done"),
        record(2, status="killed", unfinished=["Ü"]),
    ]
    assert unfinished_lines(jobs) == ["a=1 b=2: first\nline", "a=1 b=2: second", "defaults: Ü"]


@pytest.mark.parametrize(
    ("overrides", "swept", "settings"),
    [
        ([["x=1", "m.k=8"], ["x=1", "m.k=16"]], [], ["k=8", "k=16"]),
        ([["x=1", "m.k=8"]], [], ["x=1 k=8"]),
        ([["x=1", "m.k=8"]], ["m.k"], ["k=8"]),
        ([["m.k=8", "n.k=1"], ["m.k=9", "n.k=2"]], [], ["m.k=8 n.k=1", "m.k=9 n.k=2"]),
        ([["+m.k=a=b"], []], [], ["k=a=b", "defaults"]),
        ([["x=1"], ["x=1"]], [], ["defaults", "defaults"]),
        ([["x=1"], ["x=1"]], ["x"], ["x=1", "x=1"]),
        ([], [], []),
    ],
)
def test_settings_in_few_words(overrides, swept, settings):
    jobs = [record(number, own) for number, own in enumerate(overrides)]
    assert settings_of(jobs, swept=swept) == settings
