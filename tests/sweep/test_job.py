"""A job tells its own record, and nobody outside of a sweep."""

import pytest

from harness.sweep import alone_if_first, is_searched, keep, offer, tell
from harness.sweep.job import Job
from harness.sweep.record import JobRecord, read_jobs


@pytest.fixture
def job(tmp_path):
    started = Job(JobRecord(number=3, overrides=["a=1"]), tmp_path / "sweep" / "3", searched=True)
    yield started
    started.end(0)


def test_what_a_job_tells_stands_in_its_record(job, tmp_path):
    (running,) = read_jobs(tmp_path)
    assert (running.status, running.seconds, running.unfinished) == ("running", 0.0, [])
    tell(["first", "second"])
    tell([])
    tell(["third"])
    keep([{"mode": "bm25"}])
    keep([{"mode": "dense"}])
    offer((0.5, 20.0))
    assert is_searched()
    job.end(2)
    (ended,) = read_jobs(tmp_path)
    assert (ended.number, ended.status, ended.exit_status) == (3, "failed", 2)
    assert ended.unfinished == ["first", "second", "third"]
    assert ended.rows == [{"mode": "bm25"}, {"mode": "dense"}]
    assert ended.seconds >= 0
    assert job.objectives == (0.5, 20.0)


def test_a_job_that_has_ended_hears_nothing(job, tmp_path):
    job.end(0)
    tell(["late"])
    keep([{}])
    assert not is_searched()
    (ended,) = read_jobs(tmp_path)
    assert (ended.status, ended.unfinished, ended.rows) == ("done", [], [])


def test_outside_of_a_sweep_nobody_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tell(["line"])
    keep([{}])
    offer((1.0,))
    with alone_if_first("need"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_jobs_of_a_sweep_meet_in_its_folder(job, tmp_path):
    with alone_if_first(None):
        pass
    assert not (tmp_path / "sweep" / "ahead").exists()
    with alone_if_first("need"):
        assert not (tmp_path / "sweep" / "ahead" / "need.met").exists()
    assert (tmp_path / "sweep" / "ahead" / "need.met").exists()
