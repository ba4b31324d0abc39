"""Files that pytest-benchmark reads, and when a latency alarms."""

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from harness.cost.hardware import GitCommit
from harness.regression.check import Verdict
from harness.regression.times import (
    TimedMode,
    TimeRule,
    compare_times,
    read_times,
    times_path,
    write_times,
)
from tests.regression.conftest import snapshot

HARDWARE = {"cpu": "Some CPU @ 2 GHz", "cores": 2, "threads": 2, "cpu_flags": ["avx2"], "gpus": []}
FAST = tuple(0.010 + 0.0001 * (n % 5) for n in range(100))  # median 10.2 ms


def timed(seconds=FAST, **changes):
    return TimedMode(snapshot(**changes), "test/default", tuple(seconds))


def scaled(factor):
    return timed(factor * value for value in FAST)


def write(path, *modes):
    write_times(
        path,
        modes,
        hardware=HARDWARE,
        commit=GitCommit("abc", dirty=False),
        now=datetime(2026, 1, 2, tzinfo=UTC),
    )
    return read_times(path)


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [
        (1.0, Verdict.EQUAL),
        (0.5, Verdict.BETTER),
        (1.19, Verdict.WITHIN),
        (1.21, Verdict.REGRESSION),
        (3.0, Verdict.REGRESSION),
    ],
)
def test_a_rise_beyond_the_threshold_alarms(tmp_path, factor, verdict):
    baseline = write(tmp_path / "times.json", timed())
    (check,), skipped = compare_times(baseline, [scaled(factor)], TimeRule())
    assert (check.verdict, check.kind, check.figure) == (verdict, "time", "latency")
    assert check.baseline == pytest.approx(0.0102)
    assert check.value == pytest.approx(0.0102 * factor)
    assert check.allowed == 0.2
    assert skipped == []


def test_noise_raises_the_threshold():
    """Medians of 10 with an error of 10 % each: √2·10 %, three of which are 42 %."""
    stats = {"median": 10.0, "rounds": 1, "iqr": 1.349 / (3.141592653589793 / 2) ** 0.5}
    rule = TimeRule(threshold=0.2, spread=3.0)
    assert rule.allowed(stats, stats) == pytest.approx(3 * 0.1 * 2**0.5)
    assert rule.judge(stats, stats | {"median": 13.0}) is Verdict.WITHIN
    assert rule.judge(stats, stats | {"median": 15.0}) is Verdict.REGRESSION
    assert TimeRule(threshold=0.6).allowed(stats, stats) == 0.6


def test_what_is_unlike_or_unknown_is_said_and_skipped(tmp_path):
    baseline = write(tmp_path / "times.json", timed())
    new, other = timed(mode="new"), timed(data_revision="data2", model_hash="bb22")
    assert compare_times(baseline, [new, other], TimeRule()) == (
        [],
        [
            "toy/test/default/org/model/new: no latency in the baseline of this hardware",
            "toy/test/default/org/model/dense: latency not compared, other data_revision and "
            "model_hash",
        ],
    )


def test_benchmarks_of_other_runs_stay_in_the_file(tmp_path):
    path = tmp_path / "times.json"
    first = write(path, timed(mode="bm25"), timed())
    write_times(
        path,
        [scaled(2.0)],
        hardware=HARDWARE,
        commit=None,
        now=datetime(2026, 1, 2, tzinfo=UTC),
        others=first.values(),
    )
    again = read_times(path)
    assert list(again) == ["toy/test/default/org/model/bm25", "toy/test/default/org/model/dense"]
    medians = [one["stats"]["median"] for one in again.values()]
    assert medians == pytest.approx([0.0102, 0.0204])


def test_each_hardware_has_a_file_of_its_own(tmp_path):
    path = times_path(tmp_path, HARDWARE)
    assert path.parent == tmp_path
    assert path.name.startswith("times-Some-CPU-2-GHz-2-cores-")
    assert times_path(tmp_path, {**HARDWARE, "memory_bytes": 5, "os": "other"}) == path
    others = [{"cores": 4}, {"threads": 1}, {"gpus": ["H100"]}, {"cpu": "x"}, {"cpu_flags": []}]
    assert len({times_path(tmp_path, HARDWARE | other) for other in others} | {path}) == 6


def test_the_file_is_one_of_pytest_benchmark_s(tmp_path):
    """Its own command compares two of them, and finds the medians."""
    for name, mode in (("before", timed()), ("after", scaled(2.0))):
        write(tmp_path / f"{name}.json", mode)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest_benchmark", "compare", "before.json", "after.json"),
            *("--columns=median,rounds", "--csv=out.csv", "--group-by=fullname"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "toy[dense]" in done.stdout
    header, *rows = (tmp_path / "out.csv").read_text().splitlines()
    assert header.endswith("median,rounds")
    assert sorted(round(float(row.split(",")[-2]), 4) for row in rows) == [0.0102, 0.0204]
    assert {row.split(",")[-1] for row in rows} == {"100"}


def test_files_that_pytest_benchmark_saves_are_read(tmp_path):
    """Statistics without raw data, and more fields than ours."""
    path = tmp_path / "0001_x.json"
    stats = {"median": 1.0, "iqr": 0.1, "rounds": 5, "mean": 1.0, "ops": 1.0}
    path.write_text(json.dumps({"benchmarks": [{"fullname": "a", "stats": stats}], "version": "4"}))
    assert read_times(path)["a"]["stats"]["median"] == 1.0


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"benchmarks": 3}',
        '{"benchmarks": [3]}',
        '{"benchmarks": [{"fullname": "a", "stats": {"median": 1, "iqr": 0}}]}',
        '{"benchmarks": [{"fullname": "a", "stats": {"median": "1", "iqr": 0, "rounds": 1}}]}',
        '{"benchmarks": [{"fullname": "a", "stats": {"median": 1, "iqr": 0, "rounds": 0}}]}',
        '{"benchmarks": [{"fullname": "a", "stats": {"median": NaN, "iqr": 0, "rounds": 1}}]}',
    ],
)
def test_what_is_no_benchmark_file_is_refused(tmp_path, refusal, content):
    path = tmp_path / "times.json"
    path.write_text(content)
    assert str(path) in refusal(lambda: read_times(path))
