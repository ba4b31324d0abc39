"""Postings in memory: what an inverted index holds, and how it is laid out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.errors import BadInputError

BLOCK = 1 << 14  # documents: their sums, and the postings read for them, stay in a core's cache
_SIGNED = {"uint16": "int16", "uint8": "int8"}
_AT_ONCE = 1 << 18  # postings that are read at a time for single documents' rows


class Rows(NamedTuple):
    """CSR rows as compiled code reads them.

    Attributes:
        offsets: int64 (n + 1,).
        tokens: int32.
        weights: float32.
    """

    offsets: NDArray[np.int64]
    tokens: NDArray[np.int32]
    weights: NDArray[np.float32]

    @classmethod
    def of(cls, matrix: sparse.csr_array) -> Rows:
        """Its arrays, those of another type copied."""
        return cls(
            np.asarray(matrix.indptr, np.int64),
            np.asarray(matrix.indices, np.int32),
            np.asarray(matrix.data, np.float32),
        )


class Postings(NamedTuple):
    """For each token the documents that hold it, with weights: by token, then by document.

    A posting takes 6 bytes with float32 weights, 4 with 16 bits and 3 with 8. A tuple, because
    numba reads one.

    Attributes:
        tokens: Tokens that have postings, ascending: int32 (lists,).
        offsets: Where the postings of each list begin in each block of documents, and where the
            last end: uint32, or int64 where that is too small, (lists · blocks + 1,).
        places: Their documents, as places within blocks: uint16 (postings,).
        weights: float32, or integers of 16 or 8 bits, signed if one is negative: (postings,).
        scales: What the integers of each list are multiplied by: float32 (lists,); (0,) where
            weights are float32.
        block: Documents of a block, the last may have fewer.
        documents: How many there are.
        vocabulary: V.
        largest: The largest absolute weight, 0 without postings.
    """

    tokens: NDArray[np.int32]
    offsets: NDArray[np.uint32] | NDArray[np.int64]
    places: NDArray[np.uint16]
    weights: NDArray[Any]
    scales: NDArray[np.float32]
    block: int
    documents: int
    vocabulary: int
    largest: float

    @classmethod
    def of(cls, documents: sparse.csr_array, weights: str) -> Postings:
        """Document rows turned over by counting; they are not copied. Weights of 0 are left out.

        Args:
            documents: CSR (n, V).
            weights: `float32`, `uint16` or `uint8`. An integer is at most half a step off, and a
                weight that is not 0 is at least a step.

        Raises:
            BadInputError: If a weight is NaN or infinite.
        """
        from harness.retrieval.posting_kernels import count_postings, fill_postings

        count, vocabulary = documents.shape
        rows = Rows.of(documents)
        counts = np.zeros((vocabulary, max(-(-count // BLOCK), 1)), np.int64)
        largest = np.zeros(vocabulary, np.float32)
        finite, negative = count_postings(rows, BLOCK, counts, largest)
        if not finite:
            raise BadInputError(
                "a document's token weight is NaN or infinite; use backend.dtype=float32 or check "
                "the head's matrix"
            )
        tokens = np.flatnonzero(counts.any(axis=1)).astype(np.int32)
        offsets = np.concatenate([np.zeros(1, np.int64), counts[tokens].cumsum()])
        small, kind = offset_type(int(offsets[-1])), kept_kind(weights, negative)
        postings = cls(
            tokens=tokens,
            offsets=offsets.astype(small),
            places=np.empty(offsets[-1], np.uint16),
            weights=np.empty(offsets[-1], kind),
            scales=scales_of(largest[tokens], kind),
            block=BLOCK,
            documents=count,
            vocabulary=vocabulary,
            largest=float(largest.max(initial=0)),
        )
        lists = np.zeros(vocabulary, np.int32)
        lists[tokens] = np.arange(len(tokens), dtype=np.int32)
        free = np.ascontiguousarray(offsets[:-1].reshape(-1, counts.shape[1]).T)
        fill_postings(rows, lists, free, postings)
        return postings

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self[:5])

    @property
    def posting_bytes(self) -> int:
        """Bytes of a place and its weight."""
        return int(self.places.itemsize + self.weights.itemsize)

    @property
    def document_frequency(self) -> NDArray[np.int64]:
        """Postings of each token: int64 (V,)."""
        blocks = max(-(-self.documents // self.block), 1)
        frequency = np.zeros(self.vocabulary, np.int64)
        frequency[self.tokens] = np.diff(self.offsets[::blocks].astype(np.int64))
        return frequency

    def rows(
        self, documents: NDArray[np.int64], before: Callable[[int], None] = lambda _: None
    ) -> sparse.csr_array:
        """Some documents' rows with the weights that they are searched with, from all postings.

        Args:
            documents: Their numbers, repeats allowed: (n,).
            before: Told how many bytes are about to be read.

        Returns:
            CSR float32 (n, V), columns ascending.
        """
        distinct, places = np.unique(documents, return_inverse=True)
        row_of = np.full(self.documents, -1, np.int32)
        row_of[distinct] = np.arange(len(distinct), dtype=np.int32)
        parts = []
        for start in range(0, len(self.places), _AT_ONCE):
            before(_AT_ONCE * self.posting_bytes)
            parts.append(self._entries(row_of, start, min(start + _AT_ONCE, len(self.places))))
        empty = np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(0, np.int32)
        weights, rows, columns = (
            np.concatenate(arrays) for arrays in zip(empty, *parts, strict=True)
        )
        shape = (len(distinct), self.vocabulary)
        matrix = sparse.csr_array((weights, (rows, columns)), shape=shape)
        matrix.sort_indices()
        return matrix[places]

    def _entries(
        self, row_of: NDArray[np.int32], start: int, end: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]:
        """Weights, rows and columns of those of some postings that a row of its own asks for.

        Args:
            row_of: The row of each document, -1 where it has none: (documents,).
            start: The first posting.
            end: The one after the last.
        """
        blocks = max(-(-self.documents // self.block), 1)
        first = int(np.searchsorted(self.offsets, start, side="right")) - 1
        last = int(np.searchsorted(self.offsets, end, side="left"))
        bounds = np.clip(self.offsets[first : last + 1].astype(np.int64), start, end)
        parts = np.repeat(np.arange(first, last), np.diff(bounds))
        rows = row_of[parts % blocks * self.block + self.places[start:end]]
        kept = np.flatnonzero(rows >= 0)
        lists = parts[kept] // blocks
        weights = self.weights[start:end][kept].astype(np.float32)
        if len(self.scales):
            weights *= self.scales[lists]
        return weights, rows[kept], self.tokens[lists]


def offset_type(postings: int) -> type[Any]:
    """The type of offsets among so many postings."""
    return np.uint32 if postings <= np.iinfo(np.uint32).max else np.int64


def kept_kind(weights: str, negative: bool) -> str:
    """The type that weights are kept in, signed where one is negative."""
    return _SIGNED.get(weights, weights) if negative else weights


def scales_of(largest: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
    """The step of each list's integers: the largest stands for its largest weight."""
    if kind == "float32":
        return np.empty(0, np.float32)
    steps = largest / np.float32(np.iinfo(kind).max)
    result: NDArray[np.float32] = np.maximum(steps, np.finfo(np.float32).tiny)
    return result
