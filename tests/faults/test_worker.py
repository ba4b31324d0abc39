"""A worker of a sweep that dies: the sweep ends with status 1, and the same command goes on."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.faults.runs import ROOT


def results(folder):
    return {
        path: path.stat().st_mtime_ns
        for path in folder.glob("results/*/*/experiments/*/forty.json")
    }


def workers(process):
    """The processes that a launcher's jobs run in."""
    found = psutil.Process(process.pid).children(recursive=True)
    return [one for one in found if "loky.backend.popen" in " ".join(one.cmdline())]


@pytest.mark.slow
def test_a_killed_worker(undisturbed, tmp_path):
    command = [
        *(sys.executable, "-m", "harness", *undisturbed.command, "-m", "pooling=mean,cls"),
        *("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "retrieval=[bm25,dense]"),
    ]

    def start():
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )

    sweep = start()
    deadline = time.monotonic() + 120
    while not results(tmp_path):
        assert sweep.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed = workers(sweep)
    for worker in killed:
        os.kill(worker.pid, signal.SIGKILL)
    _, err = sweep.communicate(timeout=240)
    assert killed
    assert sweep.returncode == 1, err
    assert "Traceback" not in err
    told = [line for line in err.splitlines() if line.startswith("harness: ")]
    assert "TerminatedWorkerError" in " ".join(told) or "unfinished" in " ".join(told), err
    before = results(tmp_path)
    assert 1 <= len(before) < 3

    again = start()
    _, err = again.communicate(timeout=240)
    assert again.returncode == 0, err
    after = results(tmp_path)
    assert len(after) == 3
    assert {path: after[path] for path in before} == before
