"""The overview of a sweep: counts, time left, and a line for each job's end."""

import io

import pytest
from rich.console import Console

from harness.process import this_process
from harness.sweep import overview
from harness.sweep.overview import Overview, overview_line, seconds_left
from harness.sweep.record import JobRecord


def jobs(*states):
    return [
        JobRecord(number=n, overrides=[f"a={n}"], status=status, seconds=seconds)
        for n, (status, seconds) in enumerate(states)
    ]


@pytest.mark.parametrize(
    ("states", "total", "left"),
    [
        ([], 3, None),
        ([("running", 0)], 3, None),
        ([("failed", 9)], 3, None),
        ([("done", 60)], 4, 180),
        ([("done", 60), ("done", 2)], 10, 16),  # the longest has encoded for both
        ([("done", 60), ("done", 9), ("done", 2), ("done", 4)], 10, 24),  # the median of the rest
        ([("done", 6), ("running", 0), ("running", 0)], 9, 24),  # 8 left, two at once
        ([("done", 6), ("failed", 1), ("killed", 1), ("running", 0)], 4, 6),
        ([("done", 6), ("done", 6)], 2, 0),
        ([("done", 6)], None, None),
    ],
)
def test_time_left(states, total, left):
    assert seconds_left(jobs(*states), total) == left


@pytest.mark.parametrize(
    ("states", "total", "line"),
    [
        ([], 3, "0 of 3 jobs done, 0 running"),
        ([("done", 90), ("running", 0)], 3, "1 of 3 jobs done, 1 running, about 0:03:00 left"),
        (
            [("done", 1), ("failed", 1), ("killed", 1)],
            4,
            "1 of 4 jobs done, 0 running, 2 failed, about 0:00:01 left",
        ),
        ([("done", 1)], None, "1 jobs done, 0 running"),
        ([("done", 1)], 1, "1 of 1 jobs done, 0 running"),
    ],
)
def test_line(states, total, line):
    assert overview_line(jobs(*states), total) == line


def write(folder, *states):
    for job in jobs(*states):
        job.process = this_process()
        job.write(folder / str(job.number))


def test_each_end_is_told_once(tmp_path, capfd):
    watched = Overview(tmp_path, 3, swept=["a"], bar=True)
    write(tmp_path, ("done", 2), ("running", 0))
    watched.look()
    watched.look()
    write(tmp_path, ("done", 2), ("failed", 0.25), ("running", 0))
    watched.stop()
    assert capfd.readouterr().err.splitlines() == [
        "sweep: a=0: done in 2.0 s; 1 of 3 jobs done, 1 running, about 0:00:04 left",
        "sweep: a=1: failed in 0.2 s; 1 of 3 jobs done, 1 running, 1 failed, about 0:00:02 left",
    ]


def test_nobody_has_to_ask(tmp_path, capfd):
    """Jobs of other processes are seen by their records."""
    watched = Overview(tmp_path, 1, swept=[], bar=False)
    write(tmp_path, ("done", 2))
    for _ in range(200):
        if err := capfd.readouterr().err:
            break
        watched._stop.wait(0.05)
    assert err == "sweep: a=0: done in 2.0 s; 1 of 1 jobs done, 0 running\n"
    watched.stop()


def test_a_bar_on_a_terminal(tmp_path, monkeypatch):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(overview, "error_console", lambda: console)
    watched = Overview(tmp_path, 2, swept=[], bar=True)
    write(tmp_path, ("done", 2), ("running", 0))
    watched.look()
    with watched.hidden():
        before = len(screen.getvalue())
        screen.write("a job's table\n")
    watched.stop()
    assert "sweep: 1 of 2 jobs done, 1 running, about 0:00:02 left" in screen.getvalue()
    assert "\x1b[2K" in screen.getvalue()[:before]  # it was taken away before the table
    assert "in 2.0 s" not in screen.getvalue()
