"""The embedding store: what is written is what is read, by any process, or an error."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.embedding import store as store_module
from harness.embedding.formats import FORMATS, decode, encode
from harness.embedding.store import EmbeddingStore, space_hash, text_keys
from harness.errors import BadInputError

SPACE = {"weights": "abc", "side": "query"}


def opened(folder, space=SPACE, label="org/model"):
    return EmbeddingStore(folder, space, label=label)


def numbered(*numbers):
    """Keys, vectors and token counts that follow from numbers."""
    keys = text_keys([f"text {number}" for number in numbers])
    vectors = np.array([[number, number / 7, -number] for number in numbers], np.float32)
    return keys, vectors.reshape(-1, 3), np.array(numbers, np.int64) + 1


@pytest.fixture
def filled(tmp_path):
    store = opened(tmp_path)
    store.add(*numbered(0, 1, 2, 3))
    return store


def shard(store, suffix):
    (file,) = store.folder.glob(f"shard-*.{suffix}")
    return file


def refused(action, *mentioned):
    with pytest.raises(BadInputError) as error:
        action()
    message = str(error.value)
    assert "\n" not in message
    for part in mentioned:
        assert str(part) in message


class TestKeys:
    def test_are_blake2b_of_utf8(self):
        import hashlib

        expected = hashlib.blake2b("é".encode(), digest_size=16).digest()
        assert text_keys(["é", "e\u0301"])[0] == expected
        assert len({*text_keys(["", " ", "é", "e\u0301", "\ud800"])}) == 5

    def test_space_hash_ignores_order_only(self):
        assert space_hash({"a": 1, "b": [2]}) == space_hash({"b": [2], "a": 1})
        assert space_hash({"a": 1}) != space_hash({"a": "1"})
        assert space_hash({"a": 1}) != space_hash({"a": 1, "b": None})
        assert len(space_hash({})) == 16


class TestRoundTrip:
    @given(st.lists(st.lists(st.integers(0, 99), max_size=8, unique=True), max_size=5), st.data())
    @settings(max_examples=25)
    def test_any_shards_any_order(self, tmp_path_factory, parts, data):
        folder = tmp_path_factory.mktemp("store")
        store = opened(folder)
        for part in parts:
            store.add(*numbered(*part))
        known = sorted({number for part in parts for number in part})
        asked = data.draw(st.lists(st.sampled_from(known), max_size=12)) if known else []
        for reader in (store, opened(folder)):
            keys, vectors, tokens = numbered(*asked)
            found, lengths = reader.read(reader.find(keys))
            np.testing.assert_array_equal(lengths, tokens)
            assert found.dtype == np.float32
            if asked:
                np.testing.assert_array_equal(found, vectors)
            unknown, _, _ = numbered(100, 101)
            assert reader.find(unknown).tolist() == [-1, -1]

    def test_nothing(self, tmp_path):
        store = opened(tmp_path)
        vectors, tokens = store.read(store.find([]))
        assert vectors.shape[0] == len(tokens) == 0
        assert not store.folder.exists()

    def test_low_and_high_precision_inputs_are_stored_as_float32(self, tmp_path):
        store = opened(tmp_path)
        store.add(text_keys(["a", "b"]), np.arange(8.0).reshape(2, 4)[:, ::2], np.array([1, 2]))
        vectors, _ = store.read(store.find(text_keys(["b", "a"])))
        assert vectors.dtype == np.float32
        assert vectors.tolist() == [[4, 6], [0, 2]]

    def test_a_place_of_minus_one_has_no_vector(self, filled):
        with pytest.raises(ValueError, match="not in the store"):
            filled.read(filled.find(numbered(1, 50)[0]))

    def test_a_text_written_twice_is_read_from_the_first_shard(self, tmp_path):
        first, second = opened(tmp_path), opened(tmp_path)
        keys, vectors, tokens = numbered(5)
        first.add(keys, vectors, tokens)
        second.add(keys, vectors + 1, tokens)
        np.testing.assert_array_equal(first.read(first.find(keys))[0], vectors)

    def test_places_stay_valid_when_others_add(self, filled, tmp_path):
        keys, vectors, _ = numbered(2, 0)
        places = filled.find(keys)
        for number in range(10, 20):
            opened(tmp_path).add(*numbered(number))
        filled.refresh()
        np.testing.assert_array_equal(filled.read(places)[0], vectors)
        assert (filled.find(numbered(*range(10, 20))[0]) >= 0).all()

    def test_vectors_are_memory_mapped(self, filled, tmp_path, monkeypatch):
        mapped = []
        original = store_module._map_vectors

        def remember(path):
            mapped.append(original(path))
            return mapped[-1]

        monkeypatch.setattr(store_module, "_map_vectors", remember)
        reader = opened(tmp_path)
        keys, vectors, _ = numbered(3, 1)
        for _ in range(2):
            np.testing.assert_array_equal(reader.read(reader.find(keys))[0], vectors)
        (vectors_on_disk,) = mapped  # checked and mapped once
        vectors_on_disk.entries.array[:] = 7  # reaches no file
        np.testing.assert_array_equal(opened(tmp_path).read(reader.find(keys))[0], vectors)


class TestBytesOnDisk:
    def test_a_shards_files_are_shared_out_over_its_rows(self, filled):
        files = [shard(filled, suffix) for suffix in ("safetensors", "arrow")]
        whole = sum(file.stat().st_size for file in files)
        keys = numbered(0, 1, 2, 3)[0]
        assert filled.disk_bytes(filled.find(keys)) == whole
        assert filled.disk_bytes(filled.find([keys[2], keys[2]])) == round(whole / 4)

    def test_shards_add_up(self, filled):
        first = filled.disk_bytes(filled.find(numbered(0, 1, 2, 3)[0]))
        filled.add(*numbered(8))
        everything = filled.disk_bytes(filled.find(numbered(0, 1, 2, 3, 8)[0]))
        assert everything - first == filled.disk_bytes(filled.find(numbered(8)[0])) > 0

    def test_nothing_takes_nothing(self, filled):
        assert filled.disk_bytes(np.zeros(0, np.int64)) == 0


class TestSpaces:
    def test_each_has_its_folder(self, tmp_path):
        spaces = [SPACE, {**SPACE, "side": "document"}, {**SPACE, "weights": "abd"}]
        stores = [opened(tmp_path, space) for space in spaces]
        assert len({store.folder for store in stores}) == 3
        stores[0].add(*numbered(1))
        assert [store.find(numbered(1)[0])[0] >= 0 for store in map(opened, [tmp_path])] == [True]
        assert opened(tmp_path, spaces[1]).find(numbered(1)[0]).tolist() == [-1]

    def test_folder_says_what_is_in_it(self, filled, tmp_path):
        assert filled.folder == tmp_path / space_hash(SPACE)
        said = json.loads((filled.folder / "space.json").read_text())
        assert said == {"label": "org/model", **SPACE}

    def test_the_label_decides_nothing(self, filled, tmp_path):
        assert (opened(tmp_path, label="another/name").find(numbered(1)[0]) >= 0).all()

    @pytest.mark.parametrize("label", ["../../up", "/", "模型", "a" * 400, ".hidden"])
    def test_any_label_stays_inside(self, tmp_path, label):
        store = opened(tmp_path, label=label)
        store.add(*numbered(1))
        assert store.folder.parent == tmp_path
        assert not store.folder.name.startswith(".")
        assert (opened(tmp_path, label=label).find(numbered(1)[0]) >= 0).all()


class TestDamage:
    @pytest.mark.parametrize("suffix", ["safetensors", "arrow"])
    def test_truncated(self, filled, tmp_path, suffix):
        file = shard(filled, suffix)
        content = file.read_bytes()
        for size in {0, 1, 8, len(content) // 2, len(content) - 1}:
            _replace(file, content[:size])
            refused(lambda: _read_all(tmp_path), file, "delete", "encoded again")

    @pytest.mark.parametrize("suffix", ["safetensors", "arrow"])
    def test_any_flipped_bit_is_found_or_harmless(self, filled, tmp_path, suffix):
        file = shard(filled, suffix)
        content = file.read_bytes()
        keys, vectors, tokens = numbered(0, 1, 2, 3)
        refusals = 0
        for place in range(len(content)):
            damaged = bytearray(content)
            damaged[place] ^= 1 << place % 8
            _replace(file, damaged)
            try:
                store = opened(tmp_path)
                found, lengths = store.read(store.find(keys))
            except BadInputError as refusal:
                refusals += str(file.with_suffix("")) in str(refusal)
            else:  # padding between the parts of an Arrow file
                np.testing.assert_array_equal(found, vectors)
                np.testing.assert_array_equal(lengths, tokens)
        assert refusals == len(content) or (suffix == "arrow" and refusals > len(content) / 2)

    def test_shard_of_another_index(self, filled, tmp_path):
        file = shard(filled, "safetensors")
        other = opened(tmp_path / "other")
        other.add(*numbered(6, 7, 8, 9))
        _replace(file, shard(other, "safetensors").read_bytes())
        refused(lambda: _read_all(tmp_path), file)

    def test_lost_shard(self, filled, tmp_path):
        file = shard(filled, "safetensors")
        file.unlink()
        refused(lambda: _read_all(tmp_path), file, "delete")

    def test_foreign_arrow_file(self, filled, tmp_path):
        file = shard(filled, "arrow")
        table = pa.table({"key": ["a"], "tokens": [1]})
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
            out.write_table(table)
        refused(lambda: opened(tmp_path), file, "delete")

    def test_the_remedy_helps(self, filled, tmp_path):
        shard(filled, "arrow").unlink()
        store = opened(tmp_path)
        keys, vectors, tokens = numbered(0, 1, 2, 3)
        assert store.find(keys).tolist() == [-1] * 4
        store.add(keys, vectors, tokens)
        np.testing.assert_array_equal(store.read(store.find(keys))[0], vectors)

    def test_leftovers_of_a_killed_writer_are_ignored(self, filled, tmp_path):
        (filled.folder / "shard-dead.safetensors").write_bytes(b"half")
        (filled.folder / ".shard-dead.arrow.x1.tmp").write_bytes(b"half")
        keys, vectors, _ = numbered(0, 3)
        store = opened(tmp_path)
        np.testing.assert_array_equal(store.read(store.find(keys))[0], vectors)

    @pytest.mark.parametrize("step", ["safetensors", "arrow"])
    def test_an_interrupted_write_leaves_no_entry(self, filled, tmp_path, monkeypatch, step):
        def interrupted(path, write, original=store_module.write_atomically):
            if path.suffix == f".{step}":
                raise KeyboardInterrupt
            original(path, write)

        with monkeypatch.context() as patch:
            patch.setattr(store_module, "write_atomically", interrupted)
            with pytest.raises(KeyboardInterrupt):
                filled.add(*numbered(8))
        assert opened(tmp_path).find(numbered(8, 1)[0]).tolist()[0] == -1
        _read_all(tmp_path)


class TestUnwritable:
    def test_a_file_where_the_store_should_be(self, tmp_path):
        (tmp_path / "file").write_text("")
        store = opened(tmp_path / "file")
        refused(lambda: store.add(*numbered(1)), tmp_path / "file", "store_dir")

    def test_a_file_where_the_space_should_be(self, tmp_path):
        store = opened(tmp_path)
        store.folder.write_text("")
        refused(lambda: opened(tmp_path).add(*numbered(1)), store.folder, "store_dir")

    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), "safetensors"])
    def test_full_disk(self, tmp_path, monkeypatch, error):
        from safetensors import SafetensorError

        raised = SafetensorError("IoError") if error == "safetensors" else error

        def full(*_):
            raise raised

        monkeypatch.setattr(store_module, "save_file", full)
        store = opened(tmp_path)
        refused(lambda: store.add(*numbered(1)), store.folder, "make room")
        assert [file.name for file in store.folder.iterdir()] == ["space.json"]


WRITER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_store import numbered, opened
store = opened(Path({folder!r}))
print("ready", flush=True)
sys.stdin.readline()
for number in range({start}, {stop}):
    store.add(*numbered(number))
"""


def _writer(folder, start, stop):
    program = WRITER.format(
        tests=str(Path(__file__).parent), folder=str(folder), start=start, stop=stop
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_processes_lose_nothing(tmp_path):
    processes = [_writer(tmp_path, 0, 30), _writer(tmp_path, 20, 50)]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    store = opened(tmp_path)
    keys, vectors, tokens = numbered(*range(50))
    found, lengths = store.read(store.find(keys))
    np.testing.assert_array_equal(found, vectors)
    np.testing.assert_array_equal(lengths, tokens)


def test_a_killed_process_leaves_only_whole_entries(tmp_path):
    process = _writer(tmp_path, 0, 100_000)
    process.stdin.write("\n")
    process.stdin.flush()
    deadline = time.monotonic() + 30
    while len(list(tmp_path.glob("*/shard-*.arrow"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    store = opened(tmp_path)
    keys, vectors, _ = numbered(*range(1000))
    places = store.find(keys)
    present = np.flatnonzero(places >= 0)
    assert len(present) >= 5
    np.testing.assert_array_equal(store.read(places[present])[0], vectors[present])


def _replace(file, content):
    """New content in a new file: the old one may be mapped."""
    file.unlink()
    file.write_bytes(content)


def _read_all(folder):
    store = opened(folder)
    store.read(store.find(numbered(0, 1, 2, 3)[0]))


class TestFormats:
    @pytest.mark.parametrize("kind", ["float16", "bfloat16", "int8"])
    def test_vectors_are_read_as_the_format_keeps_them(self, tmp_path, kind):
        store = EmbeddingStore(tmp_path, SPACE | {"store_dtype": kind}, label="m", kind=kind)
        rng = np.random.default_rng(0)
        keys = text_keys([str(number) for number in range(40)])
        vectors = rng.standard_normal((40, 64)).astype(np.float32)
        tokens = np.arange(40)
        store.add(keys[:30], vectors[:30], tokens[:30])
        store.add(keys[30:], vectors[30:], tokens[30:])
        expected = decode(encode(vectors, kind), kind)
        asked = [keys[row] for row in (31, 2, 2, 39)]
        again = EmbeddingStore(tmp_path, SPACE | {"store_dtype": kind}, label="m", kind=kind)
        for reader in (store, again):
            found, lengths = reader.read(reader.find(asked))
            np.testing.assert_array_equal(found, expected[[31, 2, 2, 39]])
            assert lengths.tolist() == [31, 2, 2, 39]

    def test_each_format_takes_its_bytes(self, tmp_path):
        keys, tokens = text_keys([str(number) for number in range(1000)]), np.arange(1000)
        vectors = np.ones((1000, 64), np.float32)
        sizes = {}
        for kind in FORMATS:
            store = EmbeddingStore(tmp_path, {"kind": kind}, label="m", kind=kind)
            store.add(keys, vectors, tokens)
            sizes[kind] = shard(store, "safetensors").stat().st_size // 64_000
        assert sizes == {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}

    def test_a_format_that_is_unknown_is_refused(self, tmp_path):
        store = EmbeddingStore(tmp_path, SPACE, label="m", kind="float16")
        store.add(*numbered(1))
        index = shard(store, "arrow")
        index.write_bytes(index.read_bytes().replace(b"float16", b"float61"))
        refused(lambda: EmbeddingStore(tmp_path, SPACE, label="m"), index, "delete")

    def test_what_float16_cannot_hold_is_refused(self, tmp_path):
        store = EmbeddingStore(tmp_path, SPACE, label="m", kind="float16")
        keys, _, tokens = numbered(1)
        refused(lambda: store.add(keys, np.full((1, 3), 1e5, np.float32), tokens), "bfloat16")
        assert not list(store.folder.glob("shard-*"))
