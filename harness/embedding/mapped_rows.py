"""Rows of a file, memory-mapped, of which little is ever resident.

Pages of a mapped file count as a process's memory until it gives them back, and one that is read
brings up to a megabyte of its neighbours. What is mapped here is given back once it has grown so
much, so that a search through files of any size takes the same memory.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from harness.embedding.formats import FORMATS, Encoded, decode, encode, kept_as
from harness.errors import BadInputError

RESIDENT_BYTES = 64 << 20  # of mapped files, before pages are given back
NEIGHBOURS = 1 << 20  # bytes that may become resident with one
_PAGE = mmap.PAGESIZE
_ADVISED = hasattr(mmap, "MADV_DONTNEED")  # else the system alone decides what is resident
_STATM = Path("/proc/self/statm")


class _Resident:
    """What all mapped files of the process have resident."""

    def __init__(self) -> None:
        self._files: WeakSet[mmap.mmap] = WeakSet()
        self._lock = threading.Lock()
        self._before: int | None = None
        self._read = 0

    def add(self, file: mmap.mmap) -> None:
        with self._lock:
            if self._before is None:
                self._before = _file_pages()
            self._files.add(file)

    def touch(self, read: int) -> None:
        """Take note of bytes about to be read; see whether all is to be given back now and then."""
        self._read += read
        if 2 * self._read <= RESIDENT_BYTES:
            return
        self._read = 0
        pages = _file_pages()
        if pages is None or 2 * (pages - (self._before or 0)) > RESIDENT_BYTES:
            self.release()

    def release(self) -> None:
        with self._lock:
            for file in list(self._files) if _ADVISED else ():
                file.madvise(mmap.MADV_DONTNEED)
            self._before = _file_pages()


def _file_pages() -> int | None:
    """Bytes of files that the process has resident; None where the system does not tell."""
    try:
        return int(_STATM.read_text().split()[2]) * _PAGE
    except (OSError, IndexError, ValueError):
        return None


class Mapped:
    """An array in a file, memory-mapped; see `touch`.

    Attributes:
        array: The array, of which nothing that is written reaches the file.
    """

    def __init__(self, path: Path, dtype: Any, shape: tuple[int, ...], *, offset: int = 0) -> None:
        """Map a file.

        Args:
            path: The file.
            dtype: Of its entries.
            shape: Of the array.
            offset: Bytes before it.

        Raises:
            BadInputError: If the file is not so long.
        """
        kind = np.dtype(dtype)
        self._map: mmap.mmap | None = None
        size = kind.itemsize * int(np.prod(shape))
        if not size:
            self.array: NDArray[Any] = np.zeros(shape, kind)
            return
        with path.open("rb") as file:
            if file.seek(0, 2) < offset + size:
                raise BadInputError(f"{path} is shorter than what was written; delete it")
            # Copy-on-write, since compiled code and torch take writable arrays only.
            self._map = mmap.mmap(file.fileno(), offset + size, access=mmap.ACCESS_COPY)
        self.array = np.frombuffer(self._map, kind, offset=offset, count=int(np.prod(shape)))
        self.array = self.array.reshape(shape)
        self._start = offset
        _RESIDENT.add(self._map)

    def ahead(self, first: int, end: int) -> None:
        """Have some of the array's bytes read from disk while others are worked on."""
        size = min(end, self.array.nbytes) - first
        if _ADVISED and self._map is not None and size > 0:
            start = (self._start + first) // _PAGE * _PAGE
            self._map.madvise(mmap.MADV_WILLNEED, start, self._start + first + size - start)


_RESIDENT = _Resident()


def touch(read: int) -> None:
    """Take note of bytes of mapped files about to be read; much that is resident is given back."""
    _RESIDENT.touch(read)


class MappedRows:
    """Rows in a file, in one of the formats of `FORMATS`; indexing gives float32.

    A slice of a float32 file is no copy. What was read stays valid, whatever is read later.
    """

    def __init__(self, path: Path, shape: tuple[int, int], kind: str = "float32") -> None:
        """Map a file that `write_rows` wrote.

        Args:
            path: The file.
            shape: Its rows, and their width.
            kind: Its format.
        """
        self.path = path
        self.shape = shape
        self.kind = kind
        self._entries = Mapped(path, kept_as(kind), shape)
        self._scales = Mapped(_scales_of(path), np.float32, shape[:1]) if kind == "int8" else None
        self._row_bytes = FORMATS[kind] * shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All rows, in memory: for what takes an array and nothing else."""
        rows = self[:].copy()
        return rows if dtype is None else rows.astype(dtype)

    def __getitem__(self, rows: slice | NDArray[np.int64] | int) -> NDArray[np.float32]:
        if isinstance(rows, int):
            row: NDArray[np.float32] = self[np.array([rows])][0]
            return row
        return decode(self.encoded(rows), self.kind)

    def encoded(self, rows: slice | NDArray[np.int64]) -> Encoded:
        """Some rows as they are in the file; a slice is no copy."""
        if isinstance(rows, slice):
            first, end, _ = rows.indices(len(self))
            touch(max(end - first, 0) * self._row_bytes)
            # The next rows are most often those that follow.
            self._entries.ahead(end * self._row_bytes, (2 * end - first) * self._row_bytes)
        else:
            touch(len(rows) * (self._row_bytes + _PAGE))
        scales = None if self._scales is None else self._scales.array[rows]
        return Encoded(self._entries.array[rows], scales)

    @property
    def nbytes(self) -> int:
        """Bytes of the file, or files."""
        scales = 0 if self._scales is None else self._scales.array.nbytes
        return self._entries.array.nbytes + scales


RowSource: TypeAlias = NDArray[np.float32] | MappedRows
"""float32 (n, d), in memory or read as it is asked for."""


def write_rows(
    path: Path, blocks: Iterable[NDArray[np.float32]], kind: str = "float32"
) -> MappedRows:
    """Write rows block by block; no more than one is held.

    Args:
        path: A new file, in a folder that is not yet anyone else's.
        blocks: float32 (any, d), in order.
        kind: One of `FORMATS`.

    Raises:
        BadInputError: If the disk is full, or float16 cannot hold an entry.
    """
    count = width = 0
    try:
        with path.open("wb") as file, _scales_of(path).open("wb") as scales:
            for block in blocks:
                encoded = encode(block, kind)
                encoded.entries.tofile(file)
                if encoded.scales is not None:
                    encoded.scales.tofile(scales)
                count, width = count + len(block), block.shape[1]
        if kind != "int8":
            _scales_of(path).unlink()
    except OSError as error:
        raise BadInputError(
            f"{path} cannot be written ({error}); make room, or give another folder as store_dir"
        ) from error
    return MappedRows(path, (count, width), kind)


def _scales_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.scales")
