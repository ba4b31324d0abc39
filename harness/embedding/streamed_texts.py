"""Texts that lie on disk, and whose views are made part by part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.embedding.mapped_rows import MappedRows, write_rows
from harness.embedding.scratch import scratch_folder
from harness.embedding.texts import EncodingRecord, Texts

if TYPE_CHECKING:
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.instructions import Side

PART = 1 << 14  # documents: a block of postings


class StreamedTexts(Texts):
    """`Texts` of any number: `parts` has them 16,384 at a time, embeddings are rows of a file.

    What reads `parts`, and `embeddings` by slices, needs no more memory for more texts. The other
    views are those of all texts, made in memory as if they were few.
    """

    def __init__(
        self, ids: Sequence[str], texts: Sequence[str], *, side: Side, encoder: TextEncoder
    ) -> None:
        """Take sequences that are read from disk.

        Args:
            ids: Of the texts.
            texts: The texts.
            side: Their side.
            encoder: Makes their views; its store's folder holds them meanwhile.
        """
        super().__init__(ids, texts, side=side, encoder=encoder, stored=True)
        self._scratch = scratch_folder(encoder.store_dir)
        self._folders = 0
        self._encodings: dict[int, EncodingRecord] = {}
        self._known: dict[int, NDArray[Any]] = {}

    def folder(self) -> Path:
        """A new folder that is removed with the texts."""
        self._folders += 1
        folder = Path(self._scratch.name) / str(self._folders)
        folder.mkdir()
        return folder

    def parts(self) -> Iterator[Texts]:
        """See `Texts`."""
        store = self.store = self.store or self.encoder.store(self.side)
        for start in range(0, len(self), PART):
            rows = slice(start, start + PART)
            part = self.encoder.texts(self.ids[rows], self.texts[rows], self.side)
            part.store = store
            yield part
            if part.encoding is not None and start not in self._encodings:
                self._known[start] = _narrow(part.lengths)
                self._encodings[start] = replace(
                    part.encoding,
                    lengths=_narrow(part.encoding.lengths),
                    padded_lengths=_narrow(part.encoding.padded_lengths),
                )

    @property
    def encoding(self) -> EncodingRecord | None:
        """See `Texts`: of all parts that were encoded or read so far, as one."""
        if not self._encodings:
            return None
        return EncodingRecord.total(list(self._encodings.values()))

    @cached_property
    def pooled(self) -> NDArray[np.float32]:
        """See `Texts`: rows of a file."""
        return _as_array(write_rows(self.folder() / "pooled", (p.pooled for p in self.parts())))

    @cached_property
    def embeddings(self) -> NDArray[np.float32]:
        """See `Texts`: rows of a file."""
        if not self.encoder.model.dense:
            return self.pooled
        blocks = (part.embeddings for part in self.parts())
        return _as_array(write_rows(self.folder() / "embeddings", blocks))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """See `Texts`."""
        if len(self._known) * PART < len(self):
            for number, part in enumerate(self.parts()):
                self._known.setdefault(number * PART, _narrow(part.lengths))
        parts = [self._known[start] for start in sorted(self._known)]
        return np.concatenate([np.zeros(0, np.int64), *parts])


def _narrow(counts: NDArray[np.int64]) -> NDArray[Any]:
    """Counts in the smallest type that holds them: they are kept for all texts."""
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))


def _as_array(rows: MappedRows) -> NDArray[np.float32]:
    """Rows of a file where an array is promised: they are indexed alike."""
    return rows  # type: ignore[return-value]  # no array, but indexed like one
