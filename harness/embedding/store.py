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
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from harness.cost.disk import disk_bytes
from harness.embedding.formats import encode, kept_as
from harness.embedding.mapped_rows import Mapped
from harness.embedding.shards import (
    KEY,
    Shard,
    StoredVectors,
    file_checksum,
    index_metadata,
    read_index,
)
from harness.errors import BadInputError
from harness.files import ABANDONED_SECONDS, remove_leftovers, write_atomically, write_text


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


class EmbeddingStore:
    """Vectors of one space, float32 (n, d), found by text."""

    def __init__(
        self, folder: Path, space: Mapping[str, Any], *, label: str, kind: str = "float32"
    ) -> None:
        """Open a space; it is made on the first `add`.

        Args:
            folder: The store's folder.
            space: What decides a vector besides its text, JSON-able; its format too, where that is
                not float32.
            label: Tells people whose vectors these are; not part of what decides them.
            kind: The format of what is added, one of `FORMATS`.
        """
        self._space = {"label": label, **space}
        self._kind = kind
        self.folder = folder / space_hash(space)
        self._shards: dict[str, Shard] = {}
        self._verified: dict[str, StoredVectors] = {}
        self._swept = False
        self.refresh()

    def refresh(self) -> None:
        """See shards that other processes have added since.

        Raises:
            BadInputError: If an index file is unreadable.
        """
        for index in self._indexes():
            if index.stem not in self._shards:
                self._shards[index.stem] = read_index(index)

    def _indexes(self) -> list[Path]:
        """The Arrow files of all shards that are there, by name."""
        return sorted(self.folder.glob("shard-*.arrow"))

    def find(self, keys: Sequence[bytes]) -> NDArray[np.int64]:
        """Where each key's vector is: int64 (n,), an opaque place, or -1 if it is not here.

        Shards are looked through one by one, so that no table of all keys is held.
        """
        asked = pa.array(keys, KEY).dictionary_encode()
        found = np.full(len(asked.dictionary), -1, np.int64)
        before = 0
        for shard in self._shards.values():
            places = pc.index_in(shard.keys, value_set=asked.dictionary)
            rows = np.flatnonzero(pc.is_valid(places).to_numpy(zero_copy_only=False))
            wanted = pc.drop_null(places).to_numpy(zero_copy_only=False)
            new = found[wanted] < 0  # a text that two shards have is read from the first
            found[wanted[new][::-1]] = before + rows[new][::-1]
            before += len(shard.keys)
        result: NDArray[np.int64] = found[asked.indices.to_numpy(zero_copy_only=False)]
        return result

    def _located(
        self, places: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], list[Shard]]:
        """The number of each place's shard, its row there, and the shards."""
        shards = list(self._shards.values())
        ends = np.cumsum([len(shard.keys) for shard in shards], dtype=np.int64)
        numbers = np.searchsorted(ends, places, side="right")
        starts = np.concatenate([np.zeros(1, np.int64), ends])
        return numbers, places - starts[numbers], shards

    def read(self, places: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Vectors and token counts at places that `find` gave, none of them -1.

        Returns:
            float32 (n, d) and int64 (n,).

        Raises:
            BadInputError: If a shard is unreadable or its content is not what was written.
        """
        if (places < 0).any():
            raise ValueError("a text that is not in the store has no vector")
        numbers, rows, shards = self._located(places)
        tokens = np.zeros(len(places), np.int64)
        vectors: NDArray[np.float32] | None = None
        for number in np.unique(numbers):
            chosen = numbers == number
            stored = self._vectors(shards[number]).read(rows[chosen])
            if vectors is None:
                vectors = np.empty((len(places), stored.shape[1]), np.float32)
            vectors[chosen] = stored
            tokens[chosen] = shards[number].tokens[rows[chosen]]
        if vectors is None:
            vectors = np.zeros((0, 0), np.float32)
        return vectors, tokens

    def disk_bytes(self, places: NDArray[np.int64]) -> int:
        """Bytes on disk of what is at places that `find` gave, each counted once.

        A shard's files are shared out evenly over its rows.
        """
        located, _, shards = self._located(np.unique(places))
        numbers, counts = np.unique(located, return_counts=True)
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
            index = self._write(f"shard-{uuid.uuid4().hex}", keys, vectors, tokens)
        except (OSError, SafetensorError) as error:
            raise BadInputError(
                f"the embedding store {self.folder} cannot be written ({error}); make room, or "
                "give another folder as store_dir"
            ) from error
        self._shards[index.stem] = read_index(index)  # in the order of writing

    def _write(
        self,
        name: str,
        keys: Sequence[bytes],
        vectors: NDArray[np.float32],
        tokens: NDArray[np.int64],
    ) -> Path:
        if not (self.folder / "space.json").exists():
            write_text(self.folder / "space.json", json.dumps(self._space, indent=2) + "\n")
        if not self._swept:
            remove_leftovers(self.folder, older_than=ABANDONED_SECONDS)
            self._swept = True
        path = self.folder / f"{name}.safetensors"
        entries, scales = encode(vectors, self._kind)
        tensors = {"embeddings": entries} | ({} if scales is None else {"scales": scales})
        write_atomically(path, lambda temporary: save_file(tensors, temporary))
        table = pa.table({"key": pa.array(keys, KEY), "tokens": pa.array(tokens, pa.int64())})
        metadata = index_metadata(table, path, self._kind)
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

    def _vectors(self, shard: Shard) -> StoredVectors:
        name = shard.path.name
        if name not in self._verified:
            remedy = f"delete {shard.path} and its .arrow file; its texts will be encoded again"
            try:
                intact = file_checksum(shard.path) == shard.checksum
            except OSError as error:
                raise BadInputError(f"an embedding shard is unreadable: {remedy}") from error
            if not intact:
                raise BadInputError(f"an embedding shard is damaged: {remedy}")
            self._verified[name] = _map_vectors(shard)
        return self._verified[name]


def _map_vectors(shard: Shard) -> StoredVectors:
    """The vectors of a checked shard, memory-mapped: rows are read from disk when they are used.

    Raises:
        BadInputError: If they are in no format that is known.
    """
    with shard.path.open("rb") as stream:
        header_size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(header_size))
    mapped = {}
    for name, dtype in (("embeddings", None), ("scales", np.dtype(np.float32))):
        if name in header:
            start = 8 + header_size + header[name]["data_offsets"][0]
            kind = dtype or kept_as(shard.kind)
            mapped[name] = Mapped(shard.path, kind, tuple(header[name]["shape"]), offset=start)
    return StoredVectors(shard.kind, mapped["embeddings"], mapped.get("scales"))
