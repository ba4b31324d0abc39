"""Runs on a real Ray cluster of two nodes: whatever dies, the results are those of one process."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.embedding.ray_cluster import nodes
from tests.faults.runs import ROOT, lasting, records, run_command, stored_texts, write_collection

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

SOME = 40  # texts in the store, of more than three hundred
AWS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def on_cluster(command, address, *overrides):
    """The command with two workers; a block holds two or three texts."""
    return [
        *(*command, "backend=ray", f"backend.address={address}", "backend.workers=2"),
        *("backend.cpus_per_worker=1", "backend.block_tokens=128", *overrides),
    ]


def results(folder):
    """What lasts of the results, without the configuration that each was made with.

    Nor the bytes of the store, which has more shards or fewer: each takes some bytes of its own.
    """
    found = lasting(folder)
    configured = {name for name in found if name.endswith("config.yaml")}
    assert configured
    for name in (name for name in found if name.endswith("cost.json")):
        record = json.loads(found[name])
        for part in (record, *record.values()):
            if isinstance(part, dict):
                part.pop("index_disk_bytes", None)
        found[name] = json.dumps(record).encode()
    return {name: content for name, content in found.items() if name not in configured}


def some_are_stored(folder, started):
    """Wait until a run is half-way."""
    until = time.monotonic() + 300
    while stored_texts(folder) < SOME:
        assert time.monotonic() < until, started.said()
        time.sleep(0.02)


def _run(folder, command):
    """A run with this process's environment, in which the zygote was not started."""
    single = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    return subprocess.run(
        [sys.executable, "-m", "harness", *command],
        cwd=folder,
        env=os.environ | single | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory, tiny_bert):
    """A run in one process of more texts than the other tests have, so that it lasts."""
    collection = write_collection(tmp_path_factory.mktemp("collections") / "many", documents=300)
    return run_command(collection, tiny_bert)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, zygote, plain):
    """A run in one process: its working directory."""
    folder = tmp_path_factory.mktemp("alone")
    zygote.finish(folder, plain)
    return folder


@pytest.fixture
def cluster(tmp_path):
    """Two nodes: the cluster, and the one that can be taken away."""
    with nodes(2, tmp_path) as (made, others):
        yield made, *others


def test_two_workers_and_then_a_killed_driver(zygote, plain, alone, cluster, tmp_path):
    address = cluster[0].address
    on_two = on_cluster(plain, address)
    zygote.finish(tmp_path / "two", on_two)
    assert results(tmp_path / "two") == results(alone)
    assert records(tmp_path / "two")[-1]["texts_encoded"] == stored_texts(alone)
    assert stored_texts(tmp_path / "two") == stored_texts(alone)

    killed = tmp_path / "killed"
    started = zygote.start(killed, on_two)
    some_are_stored(killed, started)
    os.kill(started.process, signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL
    stored, before = -1, stored_texts(killed)
    while stored != before:  # workers that outlive it for a moment
        time.sleep(5)
        stored, before = before, stored_texts(killed)
    assert SOME <= stored < stored_texts(alone)
    zygote.finish(killed, on_two)
    assert records(killed)[-1]["texts_encoded"] == stored_texts(alone) - stored
    assert results(killed) == results(alone)


def test_a_node_killed_half_way(zygote, plain, alone, cluster, tmp_path):
    made, other = cluster
    folder = tmp_path / "run"
    started = zygote.start(folder, on_cluster(plain, made.address))
    some_are_stored(folder, started)
    assert stored_texts(folder) < stored_texts(alone)
    made.remove_node(other, allow_graceful=False)
    assert started.wait() == 0, started.said()
    assert results(folder) == results(alone)
    assert records(folder)[-1]["texts_encoded"] == stored_texts(alone)
    assert stored_texts(folder) == stored_texts(alone)


def test_a_model_that_gives_nan_ends_with_one_line(zygote, plain, cluster, tiny_bert, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny_bert.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights = load_file(tiny_bert / "model.safetensors")
    name = next(name for name in weights if name.endswith("word_embeddings.weight"))
    weights[name] = weights[name] * np.float32(np.nan)
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    told = on_cluster(plain, cluster[0].address, f"model.path={broken}", "head=mlm")
    told = [each for each in told if each not in (f"model.path={tiny_bert}", "head=ridge")]
    started = zygote.start(tmp_path / "run", told)
    assert started.wait() == 2, started.said()
    said = started.said()
    assert "Traceback" not in said
    last = said.strip().splitlines()[-1]
    assert last.startswith("harness: the embedding of text ")
    assert last.endswith("check the weights of local/broken")


def test_a_store_on_s3_that_workers_write(plain, alone, tmp_path, monkeypatch):
    boto3 = pytest.importorskip("boto3")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {**AWS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="bucket")
    folder = tmp_path / "run"
    folder.mkdir()
    try:
        with nodes(2, tmp_path) as (made, _):
            told = on_cluster(plain, made.address, "store_dir=s3://bucket/store")
            told.remove("store_dir=store")
            done = _run(folder, told)
        listed = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket="bucket")
        sent = [each["Key"] for page in listed for each in page["Contents"]]
    finally:
        server.stop()
    assert done.returncode == 0, done.stderr
    assert results(folder) == results(alone)
    assert sum(key.endswith(".arrow") for key in sent) > SOME
    assert records(folder)[-1]["texts_encoded"] == stored_texts(alone)
