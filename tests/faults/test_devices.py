"""Runs whose workers, several devices' or the processor's, are disturbed: results, errors, ends."""

import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
import yaml
from safetensors.torch import load_file, save_file

from tests.embedding.worker_processes import workers_of
from tests.faults.runs import MODES, ROOT, finished, lasting, records, stored_texts
from tests.faults.test_interrupt import TOLD, is_whole, many, shards

__all__ = ["many"]  # a fixture

DEVICES = "backend.devices=[cpu,cpu]"


def are_gone(processes):
    """Whether they end, but for being waited for by whoever adopts those of a killed parent."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not any(
            each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes
        ):
            return True
        time.sleep(0.05)
    return False


def wait_for(condition, started):
    """Wait until something has happened in a run; workers take long to load on a busy machine."""
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline, started.said()
        time.sleep(0.001)


def without_devices(results):
    """What a results folder holds, but for the setting itself."""
    told = dict(results)
    for name, content in results.items():
        if name.endswith(".yaml"):
            config = yaml.safe_load(content)
            config["backend"].pop("devices")
            told[name] = yaml.safe_dump(config).encode()
    return told


@pytest.mark.parametrize("devices", ["[cuda:7]", "all", "[cpu,cuda]"])
def test_devices_that_are_not_there(zygote, command, tmp_path, devices):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there are GPUs")
    other = [*command, "backend.device=auto", f"backend.devices={devices}"]
    started = zygote.start(tmp_path, other)
    assert started.wait() == 2
    [line] = [line for line in started.said().splitlines() if line.startswith("harness: ")]
    assert "devices" in line
    assert "Traceback" not in started.said()


@pytest.mark.slow
@pytest.mark.parametrize("devices", ["[cpu,cpu]", "[cpu,cpu,cpu]"])
def test_results_do_not_depend_on_their_number(zygote, undisturbed, tmp_path, devices):
    zygote.finish(tmp_path, [*undisturbed.command, f"backend.devices={devices}"])
    assert without_devices(lasting(tmp_path)) == without_devices(undisturbed.results)
    assert stored_texts(tmp_path) == undisturbed.texts
    # Nothing is encoded anew on one device.
    said = zygote.finish(tmp_path, [*undisturbed.command, "retrieval=[dense]"])
    assert "0 results computed, 1 kept" in said


@pytest.mark.slow
def test_a_worker_that_is_killed(zygote, many, tmp_path):
    command = many(400)
    zygote.finish(tmp_path / "one", command)
    folder = tmp_path / "two"
    started = zygote.start(folder, [*command, DEVICES])
    wait_for(lambda: len(shards(folder)) >= 3, started)
    [killed, other] = workers_of(started.process)
    killed.kill()
    assert started.wait() == 0, started.said()
    assert without_devices(lasting(folder)) == without_devices(lasting(tmp_path / "one"))
    assert are_gone([killed, other])


@pytest.mark.slow
def test_workers_that_are_always_killed(zygote, undisturbed, tmp_path):
    started = zygote.start(tmp_path, [*undisturbed.command, DEVICES])
    killed = set()
    while psutil.Process(started.process).status() != psutil.STATUS_ZOMBIE:
        for worker in workers_of(started.process):
            worker.kill()
            killed.add(worker.pid)
    assert started.wait() == 2
    assert len(killed) >= 3
    assert "Traceback" not in started.said()
    [line] = [line for line in started.said().splitlines() if line.startswith("harness: ")]
    assert "a worker ended 3 times in a row, the last time on cpu" in line
    assert finished(tmp_path) == {}


@pytest.mark.slow
def test_nan(zygote, undisturbed, tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "nan")
    weights = load_file(folder / "model.safetensors")
    name = next(each for each in weights if each.endswith("layer.1.output.dense.bias"))
    weights[name][0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    command = [*undisturbed.command, f"model.path={folder}"]
    said = []
    for extra in ([], [DEVICES]):
        started = zygote.start(tmp_path / "run", [*command, *extra])
        assert started.wait() == 2
        said.append(started.said())
    assert "holds NaN or infinity; use backend.dtype=float32" in said[0]
    assert "holds NaN or infinity; use backend.dtype=float32" in said[1]
    assert "Traceback" not in said[1]


@pytest.mark.slow
def test_ctrl_c(zygote, many, tmp_path):
    """What is done is kept, nobody is left behind, and the same command goes on from there."""
    folder, command = tmp_path / "run", [*many(400), DEVICES]
    started = zygote.start(folder, command)
    wait_for(lambda: len(shards(folder)) >= 3, started)
    group = [psutil.Process(started.process), *workers_of(started.process)]
    assert len(group) == 3
    for each in group:  # as a terminal sends it to all
        os.kill(each.pid, signal.SIGINT)
    assert started.wait() == 130
    assert started.said().splitlines() == ["forty: dense", TOLD]
    assert are_gone(group)
    stored = stored_texts(folder)
    assert 3 <= stored < 400
    assert is_whole(folder)
    zygote.finish(folder, command)
    assert len(finished(folder)) == len(MODES)
    assert records(folder)[-1]["texts_encoded"] == stored_texts(folder) - stored


@pytest.mark.slow
@pytest.mark.parametrize("while_loading", [True, False])
def test_workers_end_with_a_run_that_is_killed(zygote, many, tmp_path, while_loading):
    folder, command = tmp_path / "run", [*many(400), DEVICES]
    started = zygote.start(folder, command)
    wait_for(lambda: len(workers_of(started.process)) == 2, started)
    if not while_loading:
        wait_for(lambda: len(shards(folder)) >= 3, started)
    left = workers_of(started.process)
    os.kill(started.process, signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL
    assert are_gone(left)


@pytest.mark.slow
def test_the_whole_program_leaves_no_process(command, tmp_path):
    """`python -m harness` from a shell waits for its workers: no zombie is left to a parent."""
    run = subprocess.Popen(
        [sys.executable, "-m", "harness", *command, DEVICES],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    seen = set()
    while not shards(tmp_path):
        assert run.poll() is None, run.stderr.read()
        seen |= set(workers_of(run.pid))
        time.sleep(0.01)
    _, err = run.communicate(timeout=600)
    assert run.returncode == 0, err
    assert len(seen) == 2
    assert not any(each.is_running() for each in seen)
    *modes, summary = err.splitlines()  # and nothing that workers would have to say
    assert sorted(modes) == [f"forty: {mode}" for mode in MODES]
    assert summary.startswith("4 results computed")
