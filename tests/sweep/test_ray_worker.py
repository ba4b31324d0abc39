"""Where jobs of a sweep run on a Ray cluster."""

from pathlib import Path

import pytest

from harness.sweep.ray_worker import enter


def test_a_worker_goes_where_the_sweep_was_started(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    monkeypatch.setenv("HARNESS_SWEEP_CWD", str(tmp_path))
    enter()
    assert Path.cwd().samefile(tmp_path)


def test_a_node_without_the_folder_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_SWEEP_CWD", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="none; start the sweep in a folder that all nodes"):
        enter()
