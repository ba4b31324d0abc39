"""The embedding store: vectors by content, shared between runs and processes.

A *space* is everything that decides a vector besides its text (weights, pooling, template, …); each
space is a folder. In it, every shard is a safetensors file of vectors and an Arrow file of their
text hashes. A shard is written whole and never changed; the Arrow file comes last, so a shard
without one does not exist. Two processes write shards of different names, and a text that both have
encoded is read from the first.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from harness.cost.disk import disk_bytes
from harness.errors import BadInputError
from harness.files import remove_leftovers, write_atomically, write_text

_KEY = pa.binary(16)
_SCHEMA = pa.schema([("key", _KEY), ("tokens", pa.int64())])
_FORMAT = "1"
_ABANDONED_SECONDS = 86_400.0  # no shard takes so long to write: its writer was killed


def text_keys(texts: Sequence[str]) -> list[bytes]:
    """128-bit content hashes of texts (BLAKE2b)."""
    return [
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        for text in texts
    ]


def space_hash(space: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that stand for all settings of a space."""
    canonical = json.dumps(space, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Shard:
    """One shard as its Arrow file describes it."""

    path: Path
    checksum: str
    keys: pa.Array
    tokens: NDArray[np.int64]


class EmbeddingStore:
    """Vectors of one space, float32 (n, d), found by text."""

    def __init__(self, folder: Path, space: Mapping[str, Any], *, label: str) -> None:
        """Open a space; it is made on the first `add`.

        Args:
            folder: The store's folder.
            space: What decides a vector besides its text, JSON-able.
            label: Tells people whose vectors these are; not part of what decides them.
        """
        self._space = {"label": label, **space}
        self.folder = folder / space_hash(space)
        self._shards: dict[str, _Shard] = {}
        self._verified: dict[str, NDArray[np.float32]] = {}
        self._keys = pa.array([], _KEY)
        self._places: NDArray[np.int64] = np.zeros((0, 2), np.int64)
        self._stale = False
        self._swept = False
        self.refresh()

    def refresh(self) -> None:
        """See shards that other processes have added since.

        Raises:
            BadInputError: If an index file is unreadable.
        """
        for index in sorted(self.folder.glob("shard-*.arrow")):
            if index.stem not in self._shards:
                self._shards[index.stem] = _read_index(index)
        shards = list(self._shards.values())
        self._stale = False
        self._keys = pa.concat_arrays([pa.array([], _KEY), *(shard.keys for shard in shards)])
        sizes = [len(shard.keys) for shard in shards]
        self._places = np.stack(
            [
                np.repeat(np.arange(len(shards)), sizes),
                np.concatenate([np.zeros(0, np.int64), *(np.arange(size) for size in sizes)]),
            ],
            axis=1,
        )

    def find(self, keys: Sequence[bytes]) -> NDArray[np.int64]:
        """Where each key's vector is: int64 (n,), an opaque place, or -1 if it is not here."""
        if self._stale:
            self.refresh()
        places = pc.index_in(pa.array(keys, _KEY), value_set=self._keys)
        found: NDArray[np.int64] = pc.fill_null(places, -1).to_numpy(zero_copy_only=False)
        return found.astype(np.int64)

    def read(self, places: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Vectors and token counts at places that `find` gave, none of them -1.

        Returns:
            float32 (n, d) and int64 (n,).

        Raises:
            BadInputError: If a shard is unreadable or its content is not what was written.
        """
        if (places < 0).any():
            raise ValueError("a text that is not in the store has no vector")
        shards = list(self._shards.values())
        numbers, rows = self._places[places].T
        tokens = np.zeros(len(places), np.int64)
        vectors: NDArray[np.float32] | None = None
        for number in np.unique(numbers):
            chosen = numbers == number
            stored = self._vectors(shards[number])
            if vectors is None:
                vectors = np.empty((len(places), stored.shape[1]), np.float32)
            vectors[chosen] = stored[rows[chosen]]
            tokens[chosen] = shards[number].tokens[rows[chosen]]
        if vectors is None:
            vectors = np.zeros((0, 0), np.float32)
        return vectors, tokens

    def disk_bytes(self, places: NDArray[np.int64]) -> int:
        """Bytes on disk of what is at places that `find` gave, each counted once.

        A shard's files are shared out evenly over its rows.
        """
        shards = list(self._shards.values())
        numbers, counts = np.unique(self._places[np.unique(places), 0], return_counts=True)
        total = 0.0
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            shard = shards[number]
            files = [shard.path, shard.path.with_suffix(".arrow")]
            total += disk_bytes(files) * count / len(shard.keys)
        return round(total)

    def add(
        self, keys: Sequence[bytes], vectors: NDArray[np.float32], tokens: NDArray[np.int64]
    ) -> None:
        """Write one shard.

        Args:
            keys: n text hashes.
            vectors: float32 (n, d).
            tokens: int64 (n,), true tokens of each prompt.

        Raises:
            BadInputError: If the folder cannot be written to.
        """
        try:
            index = self._write(keys, vectors, tokens)
        except (OSError, SafetensorError) as error:
            raise BadInputError(
                f"the embedding store {self.folder} cannot be written ({error}); make room, or "
                "give another folder as store_dir"
            ) from error
        # In the order of writing; the next `find` makes the key table, once for all of a pass.
        self._shards[index.stem] = _read_index(index)
        self._stale = True

    def _write(
        self, keys: Sequence[bytes], vectors: NDArray[np.float32], tokens: NDArray[np.int64]
    ) -> Path:
        if not (self.folder / "space.json").exists():
            write_text(self.folder / "space.json", json.dumps(self._space, indent=2) + "\n")
        if not self._swept:
            remove_leftovers(self.folder, older_than=_ABANDONED_SECONDS)
            self._swept = True
        name = f"shard-{uuid.uuid4().hex}"
        path = self.folder / f"{name}.safetensors"
        contiguous = np.ascontiguousarray(vectors, np.float32)
        write_atomically(path, lambda temporary: save_file({"embeddings": contiguous}, temporary))
        table = pa.table({"key": pa.array(keys, _KEY), "tokens": pa.array(tokens, pa.int64())})
        metadata = {
            "format": _FORMAT,
            "vectors": _file_checksum(path),
            "index": _table_checksum(table),
        }
        table = table.replace_schema_metadata(metadata)
        index = self.folder / f"{name}.arrow"

        def write(temporary: Path) -> None:
            with (
                pa.OSFile(str(temporary), "wb") as sink,
                pa.ipc.new_file(sink, table.schema) as out,
            ):
                out.write_table(table)

        write_atomically(index, write)
        return index

    def _vectors(self, shard: _Shard) -> NDArray[np.float32]:
        name = shard.path.name
        if name not in self._verified:
            remedy = f"delete {shard.path} and its .arrow file; its texts will be encoded again"
            try:
                intact = _file_checksum(shard.path) == shard.checksum
            except OSError as error:
                raise BadInputError(f"an embedding shard is unreadable: {remedy}") from error
            if not intact:
                raise BadInputError(f"an embedding shard is damaged: {remedy}")
            self._verified[name] = _map_vectors(shard.path)
        return self._verified[name]


def _read_index(path: Path) -> _Shard:
    remedy = f"delete {path}; its texts will be encoded again"
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        table.validate(full=True)
        metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        intact = (
            table.schema.equals(_SCHEMA)
            and not any(column.null_count for column in table.columns)
            and metadata["format"] == _FORMAT
            and metadata["index"] == _table_checksum(table)
        )
        vectors = metadata["vectors"]
    except (OSError, pa.ArrowException, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise BadInputError(f"an embedding index is unreadable: {remedy}") from error
    if not intact:
        raise BadInputError(f"an embedding index is damaged: {remedy}")
    return _Shard(
        path.with_suffix(".safetensors"),
        vectors,
        table.column("key").combine_chunks(),
        table.column("tokens").to_numpy(),
    )


def _map_vectors(path: Path) -> NDArray[np.float32]:
    """The vectors of a checked shard, memory-mapped: rows are read from disk when they are used."""
    with path.open("rb") as stream:
        header_size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(header_size))["embeddings"]
    start = 8 + header_size + header["data_offsets"][0]
    rows, width = header["shape"]
    return np.memmap(path, np.float32, mode="r", offset=start, shape=(rows, width))


def _file_checksum(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _table_checksum(table: pa.Table) -> str:
    digest = xxhash.xxh3_128()
    digest.update(b"".join(table.column("key").to_pylist()))
    digest.update(np.ascontiguousarray(table.column("tokens").to_numpy(), np.int64).tobytes())
    return digest.hexdigest()
