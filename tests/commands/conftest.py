"""Whole sweeps of a toy collection, in this process and in others."""

import os
import subprocess
import sys
import tempfile

import pytest

from harness.cli import _main
from tests.evaluation.conftest import write_folder


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files of its own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def sweep_settings(tmp_path):
    """A quick sweep of the toy collection."""
    folder = write_folder(tmp_path / "toy")
    return [
        *("run", "-m", "tasks=folder", f"tasks.path={folder}", "cost=off", "retrieval=[bm25]"),
        *(f"results_dir={tmp_path}/results", f"store_dir={tmp_path}/store"),
    ]


@pytest.fixture
def sweep(sweep_settings, tmp_path, capfd, monkeypatch):
    """Sweeps in this process: status and the lines of standard error."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.chdir(tmp_path)

    def sweep(*overrides):
        capfd.readouterr()
        status = _main([*sweep_settings, *overrides])
        captured = capfd.readouterr()
        assert "unfinished" not in captured.out
        sweep.output = captured.out
        return status, captured.err.splitlines()

    return sweep


@pytest.fixture
def apart(sweep_settings, tmp_path):
    """A sweep in a process of its own, its jobs in others: exit status and both outputs."""

    def apart(*overrides):
        environment = {name: value for name, value in os.environ.items() if name[:3] != "HF_"}
        environment |= {"HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "harness", *sweep_settings, *overrides],
            check=False,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
        )
        return done.returncode, done.stdout, done.stderr.splitlines()

    return apart
