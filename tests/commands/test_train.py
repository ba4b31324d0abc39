"""`harness train` as a person runs it: output, cuts, kills, several processes, wrong input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from harness.cli import _main
from harness.training.causal import CausalObjective
from tests.training.small import PLAIN, SHAPE_GIVEN, sentences, write_pairs, write_texts

pytestmark = pytest.mark.usefixtures("one_thread")

TIMES = ("seconds", "tokens_per_second")
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
TWO += (Path(__file__).parent.parent / "training" / "launched.py",)
PRETRAIN = (
    *("train", "train=pretrain", "train.text=text.jsonl", *PLAIN, *SHAPE_GIVEN),
    *("train.max_length=16", "train.batch_tokens=32"),
)
CHAIN = {
    "causal": {
        **{"text": "text.jsonl", "vocabulary": 300, "layers": 2, "width": 16, "heads": 2},
        **{"inner_width": 24, "batch_tokens": 128, "max_length": 16, "epochs": 0.5},
    },
    "mntp": {"text": "text.jsonl", "batch_tokens": 128, "epochs": 0.5},
    "simcse": None,
    "supervised": {"pairs": "pairs.jsonl", "batch_size": 7, "epochs": 0.5},
}


@pytest.fixture
def harness(tmp_path, capfd, monkeypatch):
    """Run a command in this process beside two files of data: status and both outputs."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.chdir(tmp_path)
    write_texts(tmp_path / "text.jsonl", sentences(40))
    write_pairs(tmp_path / "pairs.jsonl", sentences(40))

    def run(*arguments):
        capfd.readouterr()
        status = _main([str(argument) for argument in arguments])
        return status, *capfd.readouterr()

    return run


def weights(folder):
    return load_file(Path(folder) / "model.safetensors")


def log_of(folder):
    lines = map(json.loads, (Path(folder) / "log.jsonl").read_text().splitlines())
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def assert_equal(one, other):
    for name, tensor in weights(one).items():
        assert torch.equal(tensor, weights(other)[name])
    assert log_of(one) == log_of(other)


def chain(**changes):
    """The reference embedder's stages with other settings: what a file of one's own would say."""
    given = []
    for name, settings in CHAIN.items():
        if settings is None:
            given.append(f"train.stages.{name}=null")
            continue
        plain = {"dtype": "float32", "save_dtype": "float32", "held_out": 0.1}
        wanted = plain | settings | changes
        given += [f"++train.stages.{name}.{key}={value}" for key, value in wanted.items()]
    return ("train", "train=pydoc_llama", *given, "device=cpu", "format=json")


def apart(*arguments, cwd, also=None):
    """A process of its own, and what it wrote."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | (also or {})
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_output(harness, tmp_path):
    status, out, _ = harness(*PRETRAIN, "train.epochs=0.2", "output=made")
    assert status == 0
    headings, row = (out.splitlines()[n].split() for n in (1, 3))
    assert headings == [
        "stage",
        "steps",
        "trained",
        "tokens",
        "tokens/s",
        "loss",
        "held",
        "out",
        "time",
    ]
    record = json.loads((tmp_path / "made" / "training.json").read_text())
    assert row[:2] == ["made", str(record["steps"])]
    assert f"{record['loss']:.4f}" in row
    assert out.splitlines()[-1] == "written to made"
    status, out, err = harness(*PRETRAIN, "train.epochs=0.2", "output=made", "format=json")
    assert status == 0
    assert [json.loads(line) for line in out.splitlines()] == [record]
    assert "made: kept" in err


def test_other_settings_in_the_same_output(harness):
    assert harness(*PRETRAIN, "train.epochs=0.1", "output=made")[0] == 0
    status, out, err = harness(*PRETRAIN, "train.epochs=0.2", "output=made")
    assert (status, out) == (2, "")
    assert "choose another output" in err


def test_a_killed_command_goes_on(harness, tmp_path):
    command = (*PRETRAIN, "train.epochs=2", "train.checkpoint_seconds=0", "train.held_out=0.2")
    process = apart("-m", "harness", *command, "output=cut", cwd=tmp_path)
    log = tmp_path / "cut" / "log.jsonl"  # written after each checkpoint
    try:
        while process.poll() is None and not (log.is_file() and log.read_text()):
            time.sleep(0.005)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "cut" / "training.json").exists()
    status, _, err = harness(*command, "output=cut")
    assert status == 0
    assert "cut: goes on after step" in err
    assert not (tmp_path / "cut" / ".checkpoint").exists()
    assert harness(*command, "output=whole")[0] == 0
    assert_equal("cut", "whole")


def test_ctrl_c_keeps_a_checkpoint(harness, tmp_path, monkeypatch):
    command = (*PRETRAIN, "train.epochs=0.5")
    backward = CausalObjective.backward

    def pressed(self, decoder, worker, step):
        if step == 2:
            signal.raise_signal(signal.SIGINT)
        return backward(self, decoder, worker, step)

    with monkeypatch.context() as patched:
        patched.setattr(CausalObjective, "backward", pressed)
        status, out, err = harness(*command, "output=cut")
    assert (status, out) == (130, "")
    assert err.splitlines()[-1].startswith("harness: interrupted")
    assert [file.name for file in (tmp_path / "cut" / ".checkpoint").iterdir()] == [
        "state.safetensors"
    ]
    with safe_open("cut/.checkpoint/state.safetensors", framework="pt") as state:
        made = state.metadata()
    assert (made["dtype"], made["processes"]) == ("float32", "1")
    status, _, err = harness(*command, "output=cut", "train.seed=1")
    assert status == 2
    assert "is of other settings or data" in err
    status, _, err = harness(*command, "output=cut")
    assert status == 0
    assert "goes on after step 3" in err
    assert harness(*command, "output=whole")[0] == 0
    assert_equal("cut", "whole")


def test_two_processes_make_what_one_makes(harness, tmp_path):
    stages = chain(optimiser="adamw")  # Muon's bfloat16 would make more of the sums' last bits
    process = apart(
        *TWO,
        *(*stages, "output=two"),
        cwd=tmp_path,
    )
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    records = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert [(one["name"], one["processes"]) for one in records] == [
        ("causal", 2),
        ("mntp", 2),
        ("supervised", 2),
    ]
    status, out, _ = harness(*stages, "output=one")
    assert status == 0
    for record, line in zip(records, out.splitlines(), strict=True):
        alone, folder = json.loads(line), record["name"]
        assert alone["tokens"] == record["tokens"]
        assert alone["loss"] == pytest.approx(record["loss"], rel=1e-5)
        assert alone["validation"] == pytest.approx(record["validation"], rel=1e-4)
        for name, tensor in weights(f"one/{folder}").items():
            found = weights(f"two/{folder}")[name]
            torch.testing.assert_close(found, tensor, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("e5_mistral", "read with pooling=eos and trained with mean: training has no such pooling"),
        ("sgpt_msmarco", "pooling=weighted_mean and trained with mean: train.pooling chooses"),
    ],
)
def test_an_embedder_is_told_what_its_training_leaves_out(harness, model, says):
    given = ("train=contrastive", "train.pairs=pairs.jsonl", f"model={model}", "model.path=none")
    status, _, err = harness("train", *given, *PLAIN)
    assert status == 2
    said = " ".join(err.split())
    assert says in said
    assert "instructions are left out" in said


@pytest.mark.parametrize(
    "setting", ["pooling=last_token", "instruction=e5", "head=ridge", "pooling.kind=cls"]
)
def test_settings_of_runs_are_refused(harness, setting):
    status, out, err = harness(*PRETRAIN, setting)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"harness: {setting.partition('=')[0]}: ")
    assert line.endswith("; leave it out")


@pytest.mark.slow
@pytest.mark.parametrize("rank", ["0", "1"])
def test_ctrl_c_in_one_of_two_processes_keeps_a_checkpoint(harness, tmp_path, rank):
    process = apart(
        *(*TWO, *PRETRAIN, "train.epochs=0.5", "output=cut"),
        cwd=tmp_path,
        also={"INTERRUPTED": rank},
    )
    _, err = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "harness: interrupted; what was finished is kept" in err
    state = tmp_path / "cut" / ".checkpoint" / "state.safetensors"
    with safe_open(state, framework="pt") as tensors:
        made = tensors.metadata()
    assert (made["steps"], made["processes"]) == ("3", "2")
    status, _, err = harness(*PRETRAIN, "train.epochs=0.5", "output=cut")
    assert status == 2
    assert "was made by 2 processes in float32" in err


def test_a_loss_that_is_not_finite(harness, tmp_path):
    status, out, err = harness(*PRETRAIN, "train.learning_rate=1e30", "output=made")
    assert (status, out) == (1, "")
    (line,) = [line for line in err.splitlines() if line.startswith("harness: ")]
    assert "is not finite; lower train.learning_rate" in line
    assert {file.name for file in (tmp_path / "made").iterdir()} <= {".lock"}


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ('{"query": "a", "positive": "b"}\n{"query": "a"}\n', 'line 2 has no "positive"'),
        ('{"query": "a", "positive": " "}\n', 'line 1: "positive" must be a text that is not'),
        ('{"query": "a", "positive": "b"\n', "line 1"),
        ("", "holds no pairs"),
    ],
)
def test_wrong_pairs(harness, tmp_path, stories, pairs, says):
    (tmp_path / "pairs.jsonl").write_text(pairs)
    command = (
        "train=contrastive",
        "train.pairs=pairs.jsonl",
        "model=local",
        f"model.path={stories}",
    )
    status, out, err = harness("train", *command, "output=made", *PLAIN)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert says in line.replace("line 2: has", "line 2 has")
    assert not (tmp_path / "made").exists()
