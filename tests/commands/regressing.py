"""What tests of `harness regress` share: a command in this process, one on a toy collection."""

import json
import sys
from pathlib import Path

import pytest

from harness.cli import _main
from tests.evaluation.conftest import write_folder

BASELINE = Path("kept/toy/baseline__bm25s/bm25.json")


@pytest.fixture
def command(tmp_path, capfd, monkeypatch):
    """A command in this process and a folder of its own: status, standard output and error."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capfd.readouterr()
        status = _main([str(argument) for argument in arguments])
        return status, *capfd.readouterr()

    return run


@pytest.fixture
def toy(command, tmp_path):
    """`harness regress` with BM25 on the toy collection, whose nDCG@10 is 0.9033."""
    folder = write_folder(tmp_path / "toy")

    def toy(*overrides):
        return command(
            *("regress", "tasks=folder", f"tasks.path={folder}", "cost=off", "retrieval=[bm25]"),
            *("baselines_dir=kept", *overrides),
        )

    return toy


def said(error):
    """The lines of standard error, runs of blanks as one."""
    return [" ".join(line.split()) for line in error.splitlines()]


def objects(output):
    return [json.loads(line) for line in output.splitlines()]


def edited(path, change):
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def refused(outcome, *says):
    status, out, err = outcome
    assert (status, out) == (2, "")
    lines = [line for line in err.splitlines() if line.startswith("harness: ")]
    assert len(lines) == 1, err
    for part in says:
        assert part in lines[0]
