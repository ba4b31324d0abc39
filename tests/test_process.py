"""Whether the process of a record still runs."""

import json
import os
import subprocess
import sys

import pytest

from harness import process
from harness.process import is_alive, seconds_since, this_process

TELL = "import json; from harness.process import this_process; print(json.dumps(this_process()))"


@pytest.fixture
def child():
    """A process that has told who it is and waits for its end of input."""
    code = f"{TELL}; import sys; sys.stdout.flush(); sys.stdin.read()"
    started = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield started, json.loads(started.stdout.readline())
    started.kill()
    started.wait()


def test_this_process_is_alive():
    record = json.loads(json.dumps(this_process()))
    assert record["pid"] == os.getpid()
    assert is_alive(record) is True
    assert 0 <= seconds_since(record) < 60


def test_a_killed_process_is_not(child):
    started, record = child
    assert record["pid"] == started.pid
    assert is_alive(record) is True
    started.kill()
    started.wait()
    assert is_alive(record) is False


def test_a_dead_process_that_nobody_has_waited_for_is_not_alive(child):
    started, record = child
    os.kill(started.pid, 9)
    os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table
    assert is_alive(record) is False


@pytest.mark.parametrize(
    ("other", "alive"),
    [
        ({"started": -1.0}, False),  # its number was given again
        ({"boot": "another start"}, False),
        ({"host": "another machine"}, None),
        ({"pids": "pid:[1]"}, None),  # a container's
        ({"host": "another machine", "boot": "its own"}, None),
    ],
)
def test_a_number_alone_does_not_count(other, alive):
    assert is_alive({**this_process(), **other}) is alive


def test_setting_the_clock_changes_nothing(monkeypatch):
    record = this_process()
    monkeypatch.setattr(process.time, "time", lambda: 0.0)
    assert is_alive(record) is True
    monkeypatch.setattr(process, "_clock", lambda: record["clock"] + 7.5)
    assert seconds_since(record) == 7.5


@pytest.mark.parametrize("other", [{"boot": "another start"}, {"host": "another machine"}])
def test_the_time_since_another_start_is_unknown(other):
    assert seconds_since({**this_process(), **other}) is None
