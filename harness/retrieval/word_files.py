"""Words of a corpus in files, and postings of them that are merged outside memory.

Texts become numbers of words, part by part, in one file. Weighted, each part is a run of postings
by word; runs follow one another in the order of their texts, so that the merge copies a range of
words at a time. What is in memory meanwhile are the distinct words and one part of the texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.embedding.mapped_rows import Mapped, touch
from harness.embedding.ragged import Ragged
from harness.errors import BadInputError

MERGED_BYTES = 64 << 20  # of postings that are merged at a time
_ENTRY = 24  # bytes of a posting meanwhile: document, weight, both as they are read, its place
_AT_ONCE = 1 << 18  # postings that are read at a time for single documents' rows


class WordFiles:
    """Numbers of the words of texts, in the order of the texts, in files."""

    def __init__(self, folder: Path, parts: Iterable[Ragged]) -> None:
        """Write numbers as they come.

        Args:
            folder: An empty folder for the files.
            parts: Numbers of each text's words.

        Raises:
            BadInputError: If the disk is full.
        """
        self.folder = folder
        self._parts: list[tuple[int, int]] = []  # texts, and words of them
        self._of_word: NDArray[np.int32] | None = None
        with (
            _told(folder),
            (folder / "words").open("wb") as words,
            (folder / "lengths").open("wb") as lengths,
        ):
            for part in parts:
                part.values.tofile(words)
                part.lengths.tofile(lengths)
                self._parts.append((len(part), len(part.values)))

    def renumbered(self, of_word: NDArray[np.int32]) -> WordFiles:
        """The same texts with other numbers for their words; a word whose number is -1 is gone."""
        other = WordFiles.__new__(WordFiles)
        other.folder, other._parts, other._of_word = self.folder, self._parts, of_word
        return other

    def parts(self) -> Iterator[Ragged]:
        """The numbers of each text's words, as many texts at a time as were written together."""
        text = word = 0
        for texts, words in self._parts:
            lengths = np.fromfile(self.folder / "lengths", np.int64, texts, offset=8 * text)
            values = np.fromfile(self.folder / "words", np.int32, words, offset=4 * word)
            offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
            text, word = text + texts, word + words
            if self._of_word is not None:
                values = self._of_word[values]
            ids = Ragged(values, offsets)
            yield ids.keep(ids.values >= 0)


class WordPostings(NamedTuple):
    """Postings by word, then by document, as bm25s lays them out.

    Attributes:
        data: Weights, float32 (postings,).
        indices: Documents, int32 (postings,).
        indptr: Where each word's postings begin, and where the last end: int64 (words + 1,).
    """

    data: NDArray[np.float32]
    indices: NDArray[np.int32]
    indptr: NDArray[np.int64]

    def rows(self, documents: NDArray[np.int64], count: int) -> sparse.csr_array:
        """Some documents' weights, from all postings: CSR float32 (n, words), columns ascending.

        Args:
            documents: Their numbers, ascending and distinct.
            count: How many documents there are.
        """
        row_of = np.full(count, -1, np.int32)
        row_of[documents] = np.arange(len(documents), dtype=np.int32)
        found = [(np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(0, np.int64))]
        for start in range(0, len(self.data), _AT_ONCE):
            touch(8 * _AT_ONCE)
            rows = row_of[self.indices[start : start + _AT_ONCE]]
            kept = np.flatnonzero(rows >= 0)
            words = np.searchsorted(self.indptr, start + kept, side="right") - 1
            found.append((self.data[start + kept], rows[kept], words))
        data, rows, words = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        shape = (len(documents), len(self.indptr) - 1)
        matrix = sparse.csr_array((data, (rows, words)), shape=shape)
        matrix.sort_indices()
        return matrix


def merge_postings(
    chunks: Iterable[sparse.csr_array], frequency: NDArray[np.int64], folder: Path
) -> WordPostings:
    """Postings of weighted texts, of which no more than a chunk is held, in mapped files.

    Args:
        chunks: Texts in order, CSR float32 (n, words).
        frequency: Postings of each word in all of them: int64 (words,).
        folder: A folder for the files.

    Raises:
        BadInputError: If the disk is full.
    """
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(frequency)])
    with _told(folder):
        runs: list[Path] = []
        first = 0
        for chunk in chunks:
            own = chunk.tocsc()
            runs.append(folder / f"run{len(runs)}")
            own.data.tofile(runs[-1].with_suffix(".data"))
            (own.indices + np.int32(first)).astype(np.int32).tofile(
                runs[-1].with_suffix(".indices")
            )
            own.indptr.astype(np.int64).tofile(runs[-1].with_suffix(".indptr"))
            first += chunk.shape[0]
            del own, chunk  # before the next one is made
        with (folder / "data").open("wb") as data, (folder / "indices").open("wb") as indices:
            for part in _ranges(frequency):
                weights, documents = _gathered(runs, part, indptr)
                weights.tofile(data)
                documents.tofile(indices)
        for run in runs:
            for suffix in (".data", ".indices", ".indptr"):
                run.with_suffix(suffix).unlink()
    total = (int(indptr[-1]),)
    return WordPostings(
        Mapped(folder / "data", np.float32, total).array,
        Mapped(folder / "indices", np.int32, total).array,
        indptr,
    )


def _ranges(frequency: NDArray[np.int64]) -> Iterator[slice]:
    """Ranges of words whose postings are held together; one word at least."""
    sizes = (_ENTRY * frequency).cumsum()
    first = 0
    while first < len(frequency):
        before = sizes[first - 1] if first else 0
        end = max(int(np.searchsorted(sizes, before + MERGED_BYTES, side="right")), first + 1)
        yield slice(first, end)
        first = end


def _gathered(
    runs: list[Path], part: slice, indptr: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Weights and documents of a range of words, by word, then run."""
    total = int(indptr[part.stop] - indptr[part.start])
    weights, documents = np.empty(total, np.float32), np.empty(total, np.int32)
    free = indptr[part] - indptr[part.start]
    for run in runs:
        words = part.stop - part.start + 1
        bounds = np.fromfile(run.with_suffix(".indptr"), np.int64, words, offset=8 * part.start)
        counts, size = np.diff(bounds), int(bounds[-1] - bounds[0])
        places = np.arange(size) + np.repeat(free - (bounds[:-1] - bounds[0]), counts)
        first = 4 * int(bounds[0])
        weights[places] = np.fromfile(run.with_suffix(".data"), np.float32, size, offset=first)
        documents[places] = np.fromfile(run.with_suffix(".indices"), np.int32, size, offset=first)
        free += counts
    return weights, documents


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Say what to do where the disk is full."""
    try:
        yield
    except OSError as error:
        raise BadInputError(
            f"the index in {folder} cannot be written ({error}); make room, or give another folder "
            "as store_dir"
        ) from error
