"""A store at an address: S3 (moto's server), fsspec's memory, and a folder of another name."""

import importlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.cli import _main
from harness.embedding import remote
from harness.embedding.mapped_rows import Mapped
from harness.embedding.remote import RemoteFolder
from harness.embedding.shared_store import local_store, open_store
from harness.embedding.store import EmbeddingStore, text_keys
from harness.errors import BadInputError
from harness.process import this_process
from tests.evaluation.conftest import write_folder

SPACE = {"weights": "abc", "side": "query"}


@pytest.fixture(scope="module")
def server():
    """Where S3 is."""
    from moto.server import ThreadedMotoServer

    one = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    one.start()
    host, port = one.get_host_and_port()
    yield f"http://{host}:{port}"
    one.stop()


@pytest.fixture
def s3(server, monkeypatch, tmp_path):
    """An address in a new bucket."""
    import boto3
    from s3fs import S3FileSystem

    settings = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()  # one that knows other settings
    client = boto3.client("s3")
    bucket = f"bucket-{len(client.list_buckets()['Buckets'])}"
    client.create_bucket(Bucket=bucket)
    yield f"s3://{bucket}/some folder/é"
    S3FileSystem.clear_instance_cache()


@pytest.fixture(params=["s3", "memory", "file"])
def address(request, tmp_path):
    if request.param == "s3":
        return request.getfixturevalue("s3")
    if request.param == "file":
        return f"file://{tmp_path}/shared/store"
    return f"memory://{tmp_path}"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Goes to a machine, whose mirror no other one has."""

    def machine(name):
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        monkeypatch.chdir(place)
        return place

    return machine


def opened(address, space=SPACE):
    return open_store(address, space, label="org/model")


def numbered(*numbers):
    """Keys, vectors and token counts that follow from numbers."""
    keys = text_keys([f"text {number}" for number in numbers])
    vectors = np.array([[number, number / 7, -number] for number in numbers], np.float32)
    return keys, vectors.reshape(-1, 3), np.array(numbers, np.int64) + 1


def assert_has(store, *numbers):
    keys, vectors, tokens = numbered(*numbers)
    found, lengths = store.read(store.find(keys))
    np.testing.assert_array_equal(found, vectors)
    np.testing.assert_array_equal(lengths, tokens)


def file_system(address):
    from fsspec.core import url_to_fs

    fs, path = url_to_fs(address)
    fs.invalidate_cache()
    return fs, path


def there(address, suffix=""):
    """Paths of the address's files."""
    fs, path = file_system(address)
    return sorted(name for name in fs.find(path) if name.endswith(suffix))


def damage(address, suffix):
    (path,) = there(address, suffix)
    fs, _ = file_system(address)
    data = fs.cat_file(path)
    fs.pipe_file(path, data[:-1] + bytes([data[-1] ^ 0xFF]))


def refused(action, *mentioned):
    with pytest.raises(BadInputError) as error:
        action()
    message = str(error.value)
    assert "\n" not in message
    for part in mentioned:
        assert str(part) in message, message
    return message


class TestAnyAddress:
    def test_another_machine_reads_what_one_has_written(self, address, machine):
        machine("a")
        store = opened(address)
        store.add(*numbered(0, 1, 2))
        store.add(*numbered(3))
        machine("b")
        other = opened(address)
        keys, *_ = numbered(0, 50)
        assert (other.find(keys) < 0).tolist() == [False, True]
        assert_has(other, 3, 0, 2, 1)
        names = [path.rpartition("/")[2] for path in there(address)]
        assert sum(name.startswith("shard-") for name in names) == len(names) - 1 == 4
        (description,) = there(address, "space.json")
        fs, _ = file_system(address)
        assert json.loads(fs.cat_file(description)) == {"label": "org/model", **SPACE}

    def test_what_others_add_is_seen_by_refreshing(self, address, machine):
        machine("a")
        store = opened(address)
        machine("b")
        opened(address).add(*numbered(5))
        machine("a")
        store.refresh()
        assert_has(store, 5)

    def test_vectors_are_fetched_when_they_are_read_and_mapped(self, address, machine):
        machine("a")
        for number in range(3):
            opened(address).add(*numbered(number))
        machine("b")
        store = opened(address)
        assert len(list(store.folder.glob("*.arrow"))) == 3
        assert not list(store.folder.glob("*.safetensors"))
        assert_has(store, 1)
        assert len(list(store.folder.glob("*.safetensors"))) == 1
        (mapped,) = store._verified.values()
        assert isinstance(mapped.entries, Mapped)
        assert not list(store.folder.glob(".*"))  # no temporary file

    def test_the_mirror_is_read_without_the_address(self, address, machine):
        machine("a")
        opened(address).add(*numbered(1, 2))
        assert_has(EmbeddingStore(local_store(address) / "embeddings", SPACE, label=""), 1, 2)

    def test_spaces_and_ends_of_addresses(self, address, machine):
        machine("a")
        opened(address).add(*numbered(1))
        machine("b")
        assert opened(address, {"weights": "other"}).find(numbered(1)[0]).tolist() == [-1]
        assert_has(opened(f"{address}/"), 1)
        assert local_store(f"{address}/") == local_store(address)

    @pytest.mark.parametrize("suffix", ["arrow", "safetensors"])
    def test_damage_is_refused_until_it_is_deleted(self, address, machine, suffix):
        machine("a")
        opened(address).add(*numbered(1))
        damage(address, suffix)
        machine("b")
        message = refused(lambda: assert_has(opened(address), 1), "damaged: delete", "again")
        (path,) = there(address, suffix)
        assert path.rpartition("/")[2] in message
        fs, _ = file_system(address)
        for path in there(address, ".arrow") + there(address, ".safetensors"):
            fs.rm(path)
        store = opened(address)
        assert store.find(numbered(1)[0]).tolist() == [-1]
        store.add(*numbered(1))
        machine("c")
        assert_has(opened(address), 1)

    def test_a_shard_without_index_does_not_exist(self, address, machine):
        machine("a")
        opened(address).add(*numbered(1))
        fs, _ = file_system(address)
        fs.rm(there(address, ".arrow")[0])
        for name in ("a", "b"):  # nor where the mirror has it: who deletes it there means it
            machine(name)
            assert opened(address).find(numbered(1)[0]).tolist() == [-1]

    def test_an_index_whose_vectors_are_gone(self, address, machine):
        machine("a")
        opened(address).add(*numbered(1))
        fs, _ = file_system(address)
        fs.rm(there(address, ".safetensors")[0])
        machine("b")
        refused(lambda: assert_has(opened(address), 1), "cannot be read")


WRITER = """
import os, sys
sys.path[:0] = {path!r}
from harness.embedding.remote import RemoteFolder
from tests.embedding.test_remote import numbered, opened
puts, put = [], RemoteFolder.put
def put_or_die(self, *arguments):
    puts.append(arguments)
    if len(puts) == {die_at}:
        os.kill(os.getpid(), 9)
    put(self, *arguments)
RemoteFolder.put = put_or_die
store = opened({address!r})
print("ready", flush=True)
sys.stdin.readline()
for number in {numbers!r}:
    store.add(*numbered(number))
"""


def writer(address, place, *numbers, die_at=0):
    root = str(Path(__file__).parents[2])
    program = WRITER.format(path=[root], address=address, numbers=numbers, die_at=die_at)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=place,
        env=os.environ.copy(),
    )
    assert process.stdout.readline() == "ready\n"
    return process


def finish(*processes):
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
    return [process.returncode for process in processes]


class TestSeveralProcesses:
    @pytest.mark.parametrize("die_at", [1, 3])  # of the description, the vectors, the index
    def test_who_is_killed_before_sending_loses_nothing(self, s3, machine, die_at):
        here = machine("a")
        assert finish(writer(s3, here, 7, 8, die_at=die_at)) == [-9]
        assert not there(s3, ".arrow")
        machine("b")
        assert opened(s3).find(numbered(7)[0]).tolist() == [-1]
        machine("a")
        assert_has(opened(s3), 7)
        machine("b")
        assert_has(opened(s3), 7)
        machine("a")
        assert not list(opened(s3).folder.glob("*.unsent"))

    def test_who_is_killed_while_writing_leaves_nothing(self, s3, machine):
        machine("a")
        store = opened(s3)
        store.add(*numbered(1))
        writers = {
            "dead": this_process() | {"started": 0},
            "busy": this_process(),
            "unknown": this_process() | {"host": "another"},
        }
        for name, process in writers.items():
            (store.folder / f"shard-{name}.unsent").write_text(json.dumps(process))
        (store.folder / "shard-dead.safetensors").write_bytes(b"half")
        assert_has(opened(s3), 1)
        marks = sorted(mark.stem for mark in store.folder.glob("*.unsent"))
        assert marks == ["shard-busy", "shard-unknown"]
        assert len(there(s3, ".safetensors")) == 1

    def test_processes_of_one_machine_and_another_add_at_once(self, s3, machine):
        a, b = machine("a"), machine("b")
        writers = [
            writer(s3, a, *range(4)),
            writer(s3, a, *range(2, 6)),
            writer(s3, b, *range(4, 8)),
        ]
        assert finish(*writers) == [0, 0, 0]
        for name in ("a", "c"):
            machine(name)
            assert_has(opened(s3), *range(8))
        assert len(there(s3, ".arrow")) == 12  # each shard is sent


class TestRefusals:
    @pytest.mark.parametrize("store_dir", ["s3://", "s3:///", "memory://"])
    def test_an_address_without_a_place(self, store_dir):
        refused(lambda: opened(store_dir), "names no place", "s3://BUCKET/FOLDER")

    def test_an_unknown_scheme(self):
        refused(lambda: local_store("foo://bucket"), "foo://bucket", "s3://BUCKET/FOLDER")

    def test_a_password_is_not_repeated(self):
        message = refused(lambda: opened("sftp://me:secret@host/x"), "sftp://…@host", "fsspec")
        assert "secret" not in message

    @pytest.mark.parametrize(
        ("store_dir", "module", "package"),
        [("s3://bucket", "s3fs", "'harness[s3]'"), ("gs://bucket", "gcsfs", "gcsfs")],
    )
    def test_a_package_that_is_missing(self, monkeypatch, store_dir, module, package):
        loaded = importlib.import_module("fsspec.registry")._registry
        monkeypatch.delitem(loaded, store_dir.partition(":")[0], raising=False)
        monkeypatch.setitem(sys.modules, module, None)
        refused(lambda: local_store(store_dir), store_dir, f"pip install {package}")

    def test_a_bucket_that_is_missing(self, s3):
        refused(lambda: opened("s3://no-bucket/x"), "s3://no-bucket is not there", "store_dir")

    def test_no_credentials(self, s3, monkeypatch):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        refused(lambda: opened(s3), "credentials", "AWS_PROFILE")

    def test_a_service_that_does_not_answer(self, s3, monkeypatch):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setattr(remote, "_WAITS", (0.01,))
        refused(lambda: opened(s3), s3, "after 2 tries", str(port), "the same command")

    def test_a_moment_without_network_is_waited_for(self, tmp_path, machine, monkeypatch):
        from fsspec.implementations.memory import MemoryFileSystem

        failures = [ConnectionError("gone"), TimeoutError("slow")]

        def put_file(self, *arguments, original=MemoryFileSystem.put_file, **options):
            if failures:
                raise failures.pop()
            return original(self, *arguments, **options)

        monkeypatch.setattr(MemoryFileSystem, "put_file", put_file)
        monkeypatch.setattr(remote, "_WAITS", (0.01, 0.01))
        machine("a")
        opened(f"memory://{tmp_path}").add(*numbered(1))
        assert not failures
        machine("b")
        assert_has(opened(f"memory://{tmp_path}"), 1)

    def test_what_cannot_be_sent_is_kept(self, s3, machine, monkeypatch):
        import boto3

        machine("a")
        store = opened(s3)
        client = boto3.client("s3")
        bucket = s3.split("/")[2]
        client.delete_bucket(Bucket=bucket)
        refused(lambda: store.add(*numbered(1)), "cannot be written", bucket, "make it")
        client.create_bucket(Bucket=bucket)
        store.add(*numbered(2))
        machine("b")
        assert_has(opened(s3), 1, 2)

    def test_a_full_disk_is_no_matter_of_the_network(self, tmp_path, monkeypatch):
        from fsspec.implementations.memory import MemoryFileSystem

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(MemoryFileSystem, "get_file", full)
        RemoteFolder(f"memory://{tmp_path}").put(Path(__file__), "x")
        with pytest.raises(OSError, match="No space left"):
            RemoteFolder(f"memory://{tmp_path}").fetch({"x": tmp_path / "x"})


@pytest.fixture
def harness(tmp_path, capfd, monkeypatch, machine, tiny_bert):
    """`harness run` of a tiny model on a toy collection, on a machine: status, output, error."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    toy = write_folder(tmp_path / "toy")
    settings = [
        *("tasks=folder", f"tasks.path={toy}", "cost=off", "format=json", "backend.device=cpu"),
        *("model=local", f"model.path={tiny_bert}", "pooling=mean", "head=ridge"),
        "retrieval=[dense,aligned_sparse]",
    ]

    def harness(name, *overrides):
        machine(name)
        capfd.readouterr()
        status = _main(["run", *settings, *overrides])
        return status, *capfd.readouterr()

    return harness


def encoded(place):
    """How many texts each run of a machine has encoded."""
    runs = sorted((place / "results" / "runs").iterdir())
    return [json.loads(run.read_text())["texts_encoded"] for run in runs]


def fits(place):
    """Files of fitted heads by name; the seconds that each fit took are in them."""
    return {path.name: path.read_bytes() for path in place.rglob("heads/ridge-*.safetensors")}


def scores(output):
    return [
        {name: row[name] for name in ("task", "mode", "metric", "value")}
        for row in map(json.loads, output.splitlines())
    ]


def test_machines_encode_once_and_score_alike(harness, s3, tmp_path):
    results = {}
    for name, store_dir in (("a", s3), ("b", s3), ("alone", "store")):
        status, results[name], error = harness(name, f"store_dir='{store_dir}'")
        assert status == 0, error
    assert scores(results["a"]) == scores(results["b"]) == scores(results["alone"])
    assert [row["mode"] for row in scores(results["a"])] == ["dense", "aligned_sparse"]
    texts = encoded(tmp_path / "alone")
    assert texts[0] > 0
    assert encoded(tmp_path / "a") == texts
    assert encoded(tmp_path / "b") == [0]
    assert fits(tmp_path / "b") == fits(tmp_path / "a") != fits(tmp_path / "alone")
    assert not list(tmp_path.glob("*/s3:*"))  # no address has become a path
    before = there(s3)
    status, output, error = harness("plan", f"store_dir='{s3}'", "sweep.plan=true")
    assert status == 0, error
    assert [row["texts"] for row in map(json.loads, output.splitlines())] == [0]
    assert there(s3) == before


def test_a_damaged_head_is_refused(harness, tmp_path):
    address = f"memory://{tmp_path}/heads too"
    status, _, error = harness("a", f"store_dir='{address}'")
    assert status == 0, error
    fs, _ = file_system(address)
    (path,) = [path for path in there(address) if "/heads/" in path]
    fs.pipe_file(path, fs.cat_file(path)[:-1] + b"x")
    status, _, error = harness("b", f"store_dir='{address}'")
    assert status == 2
    assert f"{path.rpartition('/')[2]} is damaged: delete it" in error
    fs.rm(path)
    status, _, error = harness("b", f"store_dir='{address}'")
    assert status == 0, error
    assert [name for name in there(address) if "/heads/" in name] == [path]


@pytest.mark.parametrize("place", ["s3://no-bucket/x", "gs://bucket/x", "s3://"])
def test_a_run_says_what_is_wrong_in_one_line(harness, s3, tmp_path, place):
    status, output, error = harness("a", f"store_dir={place}")
    assert (status, output) == (2, "")
    lines = [line for line in error.splitlines() if line.startswith("harness: ")]
    assert len(lines) == 1, error
    assert "Traceback" not in error
    assert not list((tmp_path / "a").glob("results/*/*/experiments/*/*.json"))
