"""A store that machines share: files at an address, and a mirror of them on this machine's disk.

What is read is read from the mirror, memory-mapped. Index files are fetched when a space is opened,
vectors when the first of a shard's rows is read. A new shard is written into the mirror with a mark
beside it that it has not been sent, then sent, vectors first; whoever is killed in between leaves
the mark, and the next process that uses the space on this machine sends the shard. A shard that the
address does not have, and that is not marked, is not seen.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.embedding.remote import RemoteFolder, is_address
from harness.embedding.shards import Shard, StoredVectors, file_checksum, read_index
from harness.embedding.store import EmbeddingStore, space_hash
from harness.errors import BadInputError
from harness.files import readable_name, write_atomically, write_text
from harness.process import is_alive, this_process
from harness.progress import progress_bar

_MIRRORS = Path(".harness") / "mirror"
_FETCHED_AT_ONCE = 64  # index files
_SPACE = "space.json"


def local_store(store_dir: str) -> Path:
    """The folder of this machine that stands for a store: itself, or an address's mirror.

    Args:
        store_dir: A folder, or an address such as `s3://bucket/folder`.

    Raises:
        BadInputError: If it is an address that cannot be spoken to.
    """
    if not is_address(store_dir):
        return Path(store_dir)
    RemoteFolder(store_dir).check()
    address = store_dir.rstrip("/")
    digest = hashlib.sha256(address.encode()).hexdigest()[:16]
    return _MIRRORS / f"{readable_name(address)[:80]}-{digest}"


def open_store(
    store_dir: str, space: Mapping[str, Any], *, label: str, kind: str = "float32"
) -> EmbeddingStore:
    """The embeddings of a space, wherever the store lies.

    Args:
        store_dir: A folder, or an address such as `s3://bucket/folder`.
        space: See `EmbeddingStore`.
        label: See `EmbeddingStore`.
        kind: See `EmbeddingStore`.

    Raises:
        BadInputError: If the address cannot be read, or an index file is damaged.
    """
    if is_address(store_dir):
        return SharedStore(store_dir, space, label=label, kind=kind)
    return EmbeddingStore(Path(store_dir) / "embeddings", space, label=label, kind=kind)


class SharedStore(EmbeddingStore):
    """Vectors of one space at an address, mirrored on this machine."""

    def __init__(
        self, address: str, space: Mapping[str, Any], *, label: str, kind: str = "float32"
    ) -> None:
        """Open a space; it is made on the first `add`.

        Args:
            address: The store's, such as `s3://bucket/folder`.
            space: See `EmbeddingStore`.
            label: See `EmbeddingStore`.
            kind: See `EmbeddingStore`.
        """
        self._remote = RemoteFolder(address).within("embeddings", space_hash(space))
        self._own: set[str] = set()
        self._described = False
        folder = local_store(address) / "embeddings"
        super().__init__(folder, space, label=label, kind=kind)

    def read(self, places: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See `EmbeddingStore`: what the mirror lacks is fetched.

        Raises:
            BadInputError: As there; or if a file cannot be fetched.
        """
        self._send_unsent()
        numbers, _, shards = self._located(np.unique(places[places >= 0]))
        lacking = [shard for number in np.unique(numbers) if not _is_here(shard := shards[number])]
        if lacking:
            with progress_bar("Fetching embeddings", len(lacking), unit="texts") as advance:
                for shard in lacking:
                    self._fetch_vectors(shard)
                    advance(1, len(shard.keys))
        return super().read(places)

    def add(
        self, keys: Sequence[bytes], vectors: NDArray[np.float32], tokens: NDArray[np.int64]
    ) -> None:
        """See `EmbeddingStore`: the shard is written into the mirror, then sent.

        Raises:
            BadInputError: If the mirror or the address cannot be written to; what the mirror has is
                sent by the next process that uses the space.
        """
        super().add(keys, vectors, tokens)
        self._send_unsent()

    def _write(
        self,
        name: str,
        keys: Sequence[bytes],
        vectors: NDArray[np.float32],
        tokens: NDArray[np.int64],
    ) -> Path:
        write_text(self._mark(name), json.dumps(this_process()))
        self._own.add(name)
        return super()._write(name, keys, vectors, tokens)

    def _indexes(self) -> list[Path]:
        # Marks first: what is sent meanwhile is then among the names.
        unsent = {mark.with_suffix(".arrow") for mark in self._marks()}
        names = self._remote.names()
        self._described = _SPACE in names
        shared = {
            self.folder / name
            for name in names
            if name.startswith("shard-") and name.endswith(".arrow")
        }
        self._fetch_indexes(sorted(index for index in shared if not index.exists()))
        return sorted(shared | {index for index in unsent if index.exists()})

    def _fetch_indexes(self, indexes: Sequence[Path]) -> None:
        for start in range(0, len(indexes), _FETCHED_AT_ONCE):
            chosen = indexes[start : start + _FETCHED_AT_ONCE]
            self.folder.mkdir(parents=True, exist_ok=True)
            fetched = {
                index: self.folder / f".{index.name}.{uuid.uuid4().hex}.tmp" for index in chosen
            }
            try:
                self._remote.fetch({index.name: place for index, place in fetched.items()})
                for index, place in fetched.items():
                    self._keep_index(index, place)
            finally:
                for place in fetched.values():
                    place.unlink(missing_ok=True)

    def _keep_index(self, index: Path, fetched: Path) -> None:
        try:
            read_index(fetched)
        except BadInputError as error:
            raise BadInputError(self._damaged("index", index.stem)) from error

        def move(temporary: Path) -> None:
            fetched.replace(temporary)

        write_atomically(index, move)

    def _vectors(self, shard: Shard) -> StoredVectors:
        if not _is_here(shard):
            self._fetch_vectors(shard)
        return super()._vectors(shard)

    def _fetch_vectors(self, shard: Shard) -> None:
        def write(temporary: Path) -> None:
            self._remote.fetch({shard.path.name: temporary})
            if file_checksum(temporary) != shard.checksum:
                raise BadInputError(self._damaged("shard", shard.path.stem))

        write_atomically(shard.path, write)

    def _damaged(self, what: str, name: str) -> str:
        there = f"{self._remote.address}/{name}"
        return (
            f"an embedding {what} is damaged: delete {there}.arrow and {there}.safetensors; its "
            "texts will be encoded again"
        )

    def _send_unsent(self) -> None:
        """Send what this process has written, or one that is gone; others send their own."""
        for mark in self._marks():
            with suppress(FileNotFoundError):  # another process has just sent it
                alive = mark.stem not in self._own and _writer_is_alive(mark)
                index = mark.with_suffix(".arrow")
                if not alive and index.exists():  # alive is None where this machine cannot tell
                    self._send(index)
                elif alive is not False:
                    continue
                mark.unlink()

    def _send(self, index: Path) -> None:
        shard = self._shards.get(index.stem) or read_index(index)
        self._vectors(shard)  # whole, or an error: nothing damaged is sent
        if not self._described:
            self._remote.put(self.folder / _SPACE)
            self._described = True
        self._remote.put(shard.path)
        self._remote.put(index)

    def _mark(self, name: str) -> Path:
        return self.folder / f"{name}.unsent"

    def _marks(self) -> list[Path]:
        return sorted(self.folder.glob("shard-*.unsent"))


def _is_here(shard: Shard) -> bool:
    return shard.path.exists()


def _writer_is_alive(mark: Path) -> bool | None:
    try:
        return is_alive(json.loads(mark.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
