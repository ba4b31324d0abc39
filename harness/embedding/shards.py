"""One shard of the embedding store: what its Arrow file says of it, and its vectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from harness.embedding.formats import FORMATS, Encoded, decode
from harness.embedding.mapped_rows import Mapped, touch
from harness.errors import BadInputError

KEY = pa.binary(16)
_SCHEMA = pa.schema([("key", KEY), ("tokens", pa.int64())])
_FORMAT = "1"
_PAGE = 4096


@dataclass(frozen=True)
class Shard:
    """One shard as its Arrow file describes it.

    Attributes:
        path: The safetensors file of its vectors.
        checksum: That file's.
        kind: The format that they are in.
        keys: Text hashes, 16 bytes each.
        tokens: int64 (n,), true tokens of each text's prompt.
    """

    path: Path
    checksum: str
    kind: str
    keys: pa.Array
    tokens: NDArray[np.int64]


@dataclass(frozen=True)
class StoredVectors:
    """A shard's vectors in its file.

    Attributes:
        kind: Their format.
        entries: (n, d).
        scales: (n,); None but for int8.
    """

    kind: str
    entries: Mapped
    scales: Mapped | None

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows, copied: float32 (rows, d)."""
        entries = self.entries.array
        touch(len(rows) * max(entries[:1].nbytes, _PAGE))
        scales = None if self.scales is None else self.scales.array[rows]
        return decode(Encoded(entries[rows], scales), self.kind)


def index_metadata(table: pa.Table, vectors: Path, kind: str) -> dict[str, str]:
    """What the Arrow file of a shard says besides its table."""
    own = {} if kind == "float32" else {"kind": kind}
    return {
        "format": _FORMAT,
        "vectors": file_checksum(vectors),
        "index": _table_checksum(table),
        **own,
    }


def read_index(path: Path) -> Shard:
    """A shard from its Arrow file.

    Raises:
        BadInputError: If the file is unreadable or damaged.
    """
    remedy = f"delete {path}; its texts will be encoded again"
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        table.validate(full=True)
        metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        kind = metadata.get("kind", "float32")
        intact = (
            table.schema.equals(_SCHEMA)
            and not any(column.null_count for column in table.columns)
            and metadata["format"] == _FORMAT
            and kind in FORMATS
            and metadata["index"] == _table_checksum(table)
        )
        vectors = metadata["vectors"]
    except (OSError, pa.ArrowException, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise BadInputError(f"an embedding index is unreadable: {remedy}") from error
    if not intact:
        raise BadInputError(f"an embedding index is damaged: {remedy}")
    return Shard(
        path.with_suffix(".safetensors"),
        vectors,
        kind,
        table.column("key").combine_chunks(),
        table.column("tokens").to_numpy(),
    )


def file_checksum(path: Path) -> str:
    """XXH3 of a file."""
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
