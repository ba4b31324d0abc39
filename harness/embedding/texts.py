"""Ordered texts and the views that the other rooms ask of them, each computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.embedding.dense_layer import apply_dense
from harness.embedding.store import text_keys

if TYPE_CHECKING:
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.instructions import Side
    from harness.embedding.prompts import Prompts
    from harness.embedding.ragged import Ragged
    from harness.embedding.store import EmbeddingStore

T = TypeVar("T")


@dataclass(frozen=True)
class EncodingRecord:
    """What one pass over texts did.

    Attributes:
        texts: Texts asked for.
        distinct: Different ones among them.
        read: Distinct texts whose vectors were in the store.
        encoded: Distinct texts that the model ran on; `read + encoded = distinct`.
        seconds: Wall time of tokenising and encoding them; 0 when nothing was encoded.
        lengths: int64 (encoded,), true tokens of each of them.
        padded_lengths: int64 (encoded,), tokens computed for each of them, padding included.
        peak_host_bytes: Peak memory of the process meanwhile; None when nothing was encoded.
        joules: Energy that the machine took meanwhile; None where no sensor tells.
        disk_bytes: Bytes that the distinct texts' vectors take in the store.
    """

    texts: int
    distinct: int
    read: int
    encoded: int
    seconds: float
    lengths: NDArray[np.int64]
    padded_lengths: NDArray[np.int64]
    peak_host_bytes: int | None = None
    joules: float | None = None
    disk_bytes: int = 0

    @property
    def tokens(self) -> int:
        """True tokens of the texts that were encoded."""
        return int(self.lengths.sum())

    @property
    def padded_tokens(self) -> int:
        """Tokens that were computed for them, padding included."""
        return int(self.padded_lengths.sum())

    @classmethod
    def total(cls, records: Sequence[EncodingRecord]) -> EncodingRecord:
        """All passes as one; a text that two of them met is counted in both."""
        empty = np.zeros(0, np.int64)
        passes = [record for record in records if record.encoded]
        joules = [record.joules for record in passes if record.joules is not None]
        peaks = [record.peak_host_bytes for record in passes if record.peak_host_bytes is not None]
        return cls(
            texts=sum(record.texts for record in records),
            distinct=sum(record.distinct for record in records),
            read=sum(record.read for record in records),
            encoded=sum(record.encoded for record in records),
            seconds=sum(record.seconds for record in records),
            lengths=np.concatenate([empty, *(record.lengths for record in records)]),
            padded_lengths=np.concatenate([empty, *(record.padded_lengths for record in records)]),
            peak_host_bytes=max(peaks, default=None),
            joules=sum(joules) if joules and len(joules) == len(passes) else None,
            disk_bytes=sum(record.disk_bytes for record in records),
        )


class Texts:
    """Ordered texts of one side; each view of them is computed when it is first asked for."""

    def __init__(
        self,
        ids: Sequence[str],
        texts: Sequence[str],
        *,
        side: Side,
        encoder: TextEncoder,
        stored: bool,
    ) -> None:
        self.ids = ids
        self.texts = texts
        self.side = side
        self.encoder = encoder
        self._encoding: EncodingRecord | None = None
        self.store: EmbeddingStore | None = None  # one that is open already, else its own
        self._stored = stored
        self._lengths: NDArray[np.int64] | None = None
        self._derived: dict[Any, Any] = {}

    def __len__(self) -> int:
        return len(self.texts)

    def parts(self) -> Iterator[Texts]:
        """All of them in order, as many at a time as are to be in memory: here at once."""
        yield self

    @property
    def encoding(self) -> EncodingRecord | None:
        """What encoding them did; None before they are."""
        return self._encoding

    @property
    def space(self) -> dict[str, Any]:
        """Everything that decides their embeddings besides their text."""
        return self.encoder.space(self.side)

    @cached_property
    def keys(self) -> list[bytes]:
        """Content hash of each text."""
        return text_keys(self.texts)

    @cached_property
    def prompts(self) -> Prompts:
        """Tokenised prompts."""
        return self.encoder.prompts(self)

    @cached_property
    def literal_tokens(self) -> Ragged:
        """Token ids of the bare texts."""
        return self.encoder.literal_tokens(self.texts)

    @cached_property
    def pooled(self) -> NDArray[np.float32]:
        """Pooled token states as the backbone gives them, not normalised: float32 (n, d)."""
        if not self._stored:
            return self.encoder.compute(self)
        vectors, self._lengths, self._encoding = self.encoder.through_store(self)
        return vectors

    @cached_property
    def embeddings(self) -> NDArray[np.float32]:
        """The model's embeddings, not normalised: what is pooled, through its dense layers if any.

        float32 (n, d).
        """
        layers = self.encoder.model.dense
        if not layers or not len(self):
            return self.pooled
        rows: dict[bytes, int] = {}
        first = [rows.setdefault(key, len(rows)) for key in self.keys]
        distinct = np.unique(first, return_index=True)[1]
        # Once for each distinct text: a product's last bits depend on a row's place in it.
        return apply_dense(layers, self.pooled[distinct])[first]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """True tokens of each prompt: int64 (n,)."""
        if self._lengths is None:
            self._lengths = self.prompts.ids.lengths
        return self._lengths

    def derived(self, key: Any, compute: Callable[[], T]) -> T:
        """A view that another room makes of the texts, computed once."""
        if key not in self._derived:
            self._derived[key] = compute()
        value: T = self._derived[key]
        return value
