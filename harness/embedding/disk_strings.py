"""Strings in a file: a sequence of any length that is read where it is asked for."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from harness.embedding.mapped_rows import Mapped, touch
from harness.errors import BadInputError

_AT_ONCE = 1 << 12  # strings that are read together
_SORTED_BYTES = 64 << 20  # of strings that are sorted in memory
_OBJECT_BYTES = 150  # of a string and its number in memory, besides its characters


class DiskStrings(Sequence[str]):
    """Strings of a file, in its order or in another one."""

    def __init__(self, path: Path, *, order: NDArray[np.int64] | None = None) -> None:
        """Open what `write_strings` wrote.

        Args:
            path: The file.
            order: The place in the file of each string of the sequence; the file's order if None.
        """
        ends = _ends_of(path)
        self._ends = Mapped(ends, np.int64, (ends.stat().st_size // 8,)).array
        self._path = path
        self._file = path.open("rb")
        self._order = order

    def __len__(self) -> int:
        return len(self._ends) - 1 if self._order is None else len(self._order)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self[start : start + _AT_ONCE]

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return self._read(np.arange(*place.indices(len(self))))
        if not -len(self) <= place < len(self):
            raise IndexError(f"there are {len(self)} strings")
        return self._read(np.array([place % len(self)]))[0]

    def in_order(self, order: NDArray[np.int64]) -> DiskStrings:
        """The same strings in another order, or some of them."""
        return DiskStrings(self._path, order=order)

    def _read(self, places: NDArray[np.int64]) -> list[str]:
        touch(24 * len(places))
        rows = places if self._order is None else self._order[places]
        starts, ends = self._ends[rows], self._ends[rows + 1]
        number = self._file.fileno()
        if len(rows) and (np.diff(rows) == 1).all():
            first = int(starts[0])
            whole = os.pread(number, int(ends[-1]) - first, first)
            parts = zip((starts - first).tolist(), (ends - first).tolist(), strict=True)
            return [whole[start:end].decode("utf-8") for start, end in parts]
        pairs = zip(starts.tolist(), ends.tolist(), strict=True)
        return [os.pread(number, end - start, start).decode("utf-8") for start, end in pairs]


class StringsWriter:
    """Writes strings one by one; a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb")
        self._ends = _ends_of(path).open("wb")
        self._end = 0
        np.zeros(1, np.int64).tofile(self._ends)
        self._waiting: list[int] = []

    def __enter__(self) -> StringsWriter:
        return self

    def add(self, text: str) -> None:
        """Write a string behind the others."""
        self._end += self._file.write(text.encode("utf-8"))
        self._waiting.append(self._end)
        if len(self._waiting) == _AT_ONCE:
            self._flush()

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._file.close()
        self._ends.close()

    def _flush(self) -> None:
        np.array(self._waiting, np.int64).tofile(self._ends)
        self._waiting.clear()


def write_strings(path: Path, texts: Iterable[str]) -> DiskStrings:
    """Write strings into a new file."""
    with StringsWriter(path) as writer:
        for text in texts:
            writer.add(text)
    return DiskStrings(path)


def sort_strings(texts: DiskStrings, path: Path) -> NDArray[np.int64]:
    """The places of strings in ascending order, memory-mapped; equal ones by their places.

    Sorted runs are written and merged, so that few strings are in memory at a time.

    Args:
        texts: In the order of their file.
        path: A new file for the places; others with its name and a number are removed.

    Raises:
        BadInputError: If the disk is full.
    """
    runs: list[tuple[DiskStrings, NDArray[np.int64]]] = []
    files: list[Path] = []
    try:
        for number, (start, run) in enumerate(_runs(texts)):
            order = np.array(sorted(range(len(run)), key=run.__getitem__), np.int64)
            named = path.with_name(f"{path.name}{number}")
            files += [named, _ends_of(named), named.with_suffix(".places")]
            (order + start).tofile(files[-1])
            own = write_strings(named, (run[place] for place in order.tolist()))
            runs.append((own, Mapped(files[-1], np.int64, (len(run),)).array))
        merged = heapq.merge(*(zip(own, _numbers(places), strict=True) for own, places in runs))
        with path.open("wb") as file:
            waiting: list[int] = []
            for _, place in merged:
                waiting.append(place)
                if len(waiting) == _AT_ONCE:
                    np.array(waiting, np.int64).tofile(file)
                    waiting.clear()
            np.array(waiting, np.int64).tofile(file)
    except OSError as error:
        raise BadInputError(
            f"{path} cannot be written ({error}); make room, or give another folder as store_dir"
        ) from error
    for name in files:
        name.unlink()
    return Mapped(path, np.int64, (len(texts),)).array


def _runs(texts: DiskStrings) -> Iterator[tuple[int, list[str]]]:
    """Strings that are sorted together, and the place of the first."""
    start, size, run = 0, 0, list[str]()
    for text in texts:
        run.append(text)
        size += len(text) + _OBJECT_BYTES
        if size >= _SORTED_BYTES:
            yield start, run
            start, size, run = start + len(run), 0, []
    if run:
        yield start, run


def _numbers(places: NDArray[np.int64]) -> Iterator[int]:
    for start in range(0, len(places), _AT_ONCE):
        yield from places[start : start + _AT_ONCE].tolist()


def _ends_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.ends")
