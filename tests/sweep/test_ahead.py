"""Of processes with the same need one goes ahead, and the others go together."""

import json
import subprocess
import sys
import threading

import pytest

from harness.sweep.ahead import first_ahead

WORKER = """
import json, sys, time
from pathlib import Path
from harness.sweep.ahead import first_ahead
folder, need, fails = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "fails"
with first_ahead(folder, need):
    began = time.monotonic()
    time.sleep(0.3)
    print(json.dumps([began, time.monotonic()]), flush=True)
    if fails:
        raise SystemExit(1)
"""


def work(folder, *jobs):
    """When each of several processes began and ended, in the order of their beginning."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder), need, how],
            stdout=subprocess.PIPE,
            text=True,
        )
        for need, how in jobs
    ]
    return sorted(json.loads(process.communicate()[0]) for process in processes)


def test_the_first_one_has_ended_before_any_other_begins(tmp_path):
    first, *others = work(tmp_path, *[("need", "works")] * 4)
    assert all(first[1] <= began for began, _ in others)


def test_where_the_first_one_fails_the_next_goes_ahead(tmp_path):
    times = work(tmp_path, *[("need", "fails")] * 3)
    assert times[0][1] <= times[1][0]
    assert times[1][1] <= times[2][0]
    assert not (tmp_path / "need.met").exists()


def test_the_others_do_not_wait_for_each_other(tmp_path):
    """Two that found the need met are inside at once."""
    with first_ahead(tmp_path, "need"):
        pass
    inside = threading.Barrier(2, timeout=30)

    def enter():
        with first_ahead(tmp_path, "need"):
            inside.wait()

    threads = [threading.Thread(target=enter) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not inside.broken


def test_a_failure_passes_through(tmp_path):
    def fail():
        with first_ahead(tmp_path, "need"):
            raise KeyError("bug")

    with pytest.raises(KeyError, match="bug"):
        fail()
    with first_ahead(tmp_path, "other"):
        assert not (tmp_path / "need.met").exists()
