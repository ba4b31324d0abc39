"""Everything that a user can give, given wrong: one line that tells it, status 2, nothing written.

The cases of `test_cli.py` are of `harness run` and its settings, those of `evaluation/tasks` and
`embedding` of the readers alone; this table is of the rest, through the command line.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

from harness.cli import _main
from tests.bad_inputs import (
    BASELINES,
    FOLDERS,
    INDEXED,
    MODELS,
    NEW,
    REGRESS,
    RESULTS,
    RUN,
    SETTINGS,
    TRAINING,
)
from tests.evaluation.conftest import write_folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, tiny_bert):
    """A folder with a model, a collection, its results and their baselines."""
    root = tmp_path_factory.mktemp("prepared")
    shutil.copytree(tiny_bert, root / "model")
    write_folder(root / "toy")
    before = Path.cwd()
    argv = sys.argv
    sys.argv = ["harness"]
    os.chdir(root)
    try:
        assert _main(RUN) == 0
        assert _main([*REGRESS, "update=true"]) == 0
    finally:
        os.chdir(before)
        sys.argv = argv
    return root


@pytest.fixture
def refused(prepared, tmp_path, monkeypatch, capfd):
    """Runs a command in a copy of the prepared folder: the one line that it is refused with."""
    root = tmp_path / "here"
    shutil.copytree(prepared, root)
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["harness"])

    def run(command, prepare=None):
        if prepare is not None:
            prepare()
        before = content(root)
        capfd.readouterr()
        status = _main(command)
        out, err = capfd.readouterr()
        assert (status, out) == (2, ""), err
        lines = [line for line in err.splitlines() if line.startswith("harness: ")]
        assert len(lines) == 1, err
        assert "Traceback" not in err
        assert "unexpected" not in lines[0]
        assert content(root) == before
        return lines[0]

    return run


def content(root):
    """All files but locks and records of runs, which tell of refusals once anything is finished."""
    return {
        path: path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.parent.name != "runs" and path.name != ".lock"
    }


@pytest.mark.parametrize("fault", MODELS)
def test_model_folders(refused, fault):
    prepare, says = MODELS[fault]
    assert says in refused([*NEW, "retrieval=[dense]"], prepare)


def test_an_index_of_weights_that_leaves_the_folder(refused):
    def prepare():
        INDEXED[0]()
        Path("model/model.safetensors").unlink()

    assert INDEXED[1] in refused(NEW, prepare)


@pytest.mark.parametrize("fault", FOLDERS)
def test_task_folders(refused, fault):
    prepare, says = FOLDERS[fault]
    assert says in refused(NEW, prepare)


@pytest.mark.parametrize("fault", RESULTS)
def test_result_files(refused, fault):
    prepare, says = RESULTS[fault]
    assert says in refused(RUN, prepare)


@pytest.mark.parametrize("fault", BASELINES)
def test_baselines(refused, fault):
    prepare, says = BASELINES[fault]
    assert says in refused(REGRESS, prepare)


@pytest.mark.parametrize("fault", TRAINING)
def test_training(refused, fault):
    prepare, command, says = TRAINING[fault]
    assert says in refused(command, prepare)


@pytest.mark.parametrize(("command", "says"), SETTINGS, ids=[" ".join(c) for c, _ in SETTINGS])
def test_settings(refused, command, says):
    assert says in refused(command)


def test_the_table_is_long():
    assert len(MODELS) + len(FOLDERS) + len(RESULTS) + len(BASELINES) + len(SETTINGS) >= 100
