"""Several processes in the same folders at once; one of them may be killed."""

import os
import signal
import time

import pytest

from tests.faults.runs import MODES, REPORT, finished, lasting, stored_texts


def test_two_runs_of_one_configuration(zygote, undisturbed, tmp_path):
    """Both finish, whoever wrote which result, and what is left is what one alone leaves."""
    folder = tmp_path / "run"
    both = [zygote.start(folder, undisturbed.command) for _ in range(2)]
    for started in both:
        assert started.wait() == 0, started.said()
        assert "results computed" in started.said()
    assert lasting(folder) == undisturbed.results
    assert stored_texts(folder) == undisturbed.texts
    assert "0 results computed, 4 kept" in zygote.finish(folder, undisturbed.command)


@pytest.mark.slow
def test_one_of_two_runs_is_killed(zygote, undisturbed, tmp_path):
    for share in (0.2, 0.4):
        folder = tmp_path / f"run-{share}"
        first, second = (zygote.start(folder, undisturbed.command) for _ in range(2))
        time.sleep(share * undisturbed.seconds)
        os.kill(first.process, signal.SIGKILL)
        assert first.wait() in (-signal.SIGKILL, 0)
        assert second.wait() == 0, second.said()
        assert len(finished(folder)) == len(MODES)
        assert lasting(folder) == undisturbed.results


@pytest.mark.slow
def test_reports_beside_a_run(zygote, undisturbed, tmp_path):
    """A report reads whole results only, and two reports leave one page."""
    folder = tmp_path / "run"
    zygote.finish(folder, [*undisturbed.command, "retrieval=[dense,bm25]"])
    run = zygote.start(folder, undisturbed.command)
    reports = [zygote.start(folder, REPORT) for _ in range(2)]
    for started in (*reports, run):
        assert started.wait() == 0, started.said()
    assert "leaderboard of 4 results" in zygote.finish(folder, REPORT)
    assert list((folder / "leaderboards").rglob("*.tmp")) == []
