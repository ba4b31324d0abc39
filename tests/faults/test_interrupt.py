"""Ctrl-C as a real SIGINT: once, twice, while texts are encoded and while they are not."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.faults.runs import (
    MODES,
    REPORT,
    finished,
    lasting,
    records,
    stored_texts,
    write_collection,
)

TOLD = "harness: interrupted; what was finished is kept, the same command goes on"


def wait_for(condition, said):
    """Wait until something has happened in a run that is under way."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, said()
        time.sleep(0.001)


def shards(folder):
    return list(folder.glob("store/embeddings/*/shard-*.arrow"))


def is_whole(folder):
    return list(folder.rglob("*.tmp")) == []


@pytest.fixture
def many(command, tmp_path):
    """Gives a run over so many texts that it is still encoding when the signal comes."""

    def make(count):
        collection = write_collection(tmp_path / "collections" / "forty")
        lines = (collection / "corpus.jsonl").read_text()
        others = [
            lines.replace('"d', f'"{n}d').replace('"text": "', f'"text": "{n} ')
            for n in range(1, count // 40)
        ]
        (collection / "corpus.jsonl").write_text(lines + "".join(others))
        return [
            f"tasks.path={collection}" if part.startswith("tasks.path=") else part
            for part in command
        ]

    return make


def test_once_while_encoding(zygote, many, tmp_path):
    """The batch under way is kept with all before it; the same command goes on from there."""
    folder, command = tmp_path / "run", many(400)
    started = zygote.start(folder, command)
    wait_for(lambda: len(shards(folder)) >= 3, started.said)
    os.kill(started.process, signal.SIGINT)
    assert started.wait() == 130
    assert started.said().splitlines() == ["forty: dense", TOLD]
    stored = stored_texts(folder)
    assert 3 <= stored < 400
    assert finished(folder) == {}
    assert is_whole(folder)

    zygote.finish(folder, command)
    assert len(finished(folder)) == len(MODES)
    assert records(folder)[-1]["texts_encoded"] == stored_texts(folder) - stored


@pytest.mark.slow
def test_once_between_shards(zygote, many, tmp_path):
    """Batches that would have waited for their shard to be full are written all the same."""
    command = many(1600)
    for attempt in range(20):
        folder = tmp_path / f"run-{attempt}"
        started = zygote.start(folder, command, shard_each_batch=False)
        wait_for(lambda started=started: "forty: dense" in started.said(), started.said)
        time.sleep(0.2 * (attempt + 1))
        os.kill(started.process, signal.SIGINT)
        assert started.wait() == 130
        assert started.said().splitlines() == ["forty: dense", TOLD]
        if shards(folder):
            break
    assert len(shards(folder)) == 1
    assert 0 < stored_texts(folder) < 1600
    assert finished(folder) == {}


@pytest.mark.parametrize("gap", [pytest.param(0.0, marks=pytest.mark.slow), 0.002])
def test_twice(zygote, many, tmp_path, gap):
    folder, command = tmp_path / "run", many(400)
    started = zygote.start(folder, command)
    wait_for(lambda: len(shards(folder)) >= 3, started.said)
    began = time.monotonic()
    os.kill(started.process, signal.SIGINT)
    time.sleep(gap)
    os.kill(started.process, signal.SIGINT)
    assert started.wait() == 130
    assert time.monotonic() - began < 5
    assert started.said().splitlines() == ["forty: dense", TOLD]
    assert is_whole(folder)
    stored = stored_texts(folder)
    zygote.finish(folder, command)
    assert records(folder)[-1]["texts_encoded"] == stored_texts(folder) - stored


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["aligned_sparse", "hybrid", "bm25"])
def test_while_a_mode_is_evaluated(zygote, undisturbed, tmp_path, mode):
    folder = tmp_path / "run"
    started = zygote.start(folder, undisturbed.command)
    wait_for(lambda: f"forty: {mode}" in started.said(), started.said)
    os.kill(started.process, signal.SIGINT)
    assert started.wait() == 130
    assert started.said().splitlines()[-1] == TOLD
    assert is_whole(folder)
    done = len(finished(folder))
    zygote.finish(folder, undisturbed.command)
    record = records(folder)[-1]
    assert (record["kept"], record["computed"]) == (done, len(MODES) - done)
    assert lasting(folder) == undisturbed.results


@pytest.mark.slow
def test_while_a_report_is_written(zygote, undisturbed, tmp_path):
    folder = tmp_path / "run"
    zygote.finish(folder, undisturbed.command)
    started = zygote.start(folder, REPORT)
    wait_for((folder / "leaderboards").exists, started.said)
    os.kill(started.process, signal.SIGINT)
    assert started.wait() == 130
    assert started.said().splitlines() == [TOLD]
    assert is_whole(folder)
    assert lasting(folder) == undisturbed.results
    zygote.finish(folder, REPORT)
    assert (folder / "leaderboards" / "index.html").exists()


def test_the_whole_program(many, tmp_path):
    """`python -m harness` from a shell, with shards of their usual size."""
    run = subprocess.Popen(
        [sys.executable, "-m", "harness", *many(1600)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert run.stderr.readline() == "forty: dense\n"
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=120)
    assert (run.returncode, out, err) == (130, "", f"{TOLD}\n")
    assert finished(tmp_path) == {}
    assert is_whole(tmp_path)
