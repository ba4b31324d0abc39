"""An inverted index built outside memory: sorted runs of postings, merged into mapped files.

A run is the postings of some blocks of documents as `Postings.of` lays them out, by token. Runs
follow one another, so that a token's postings are those of each run in turn: the merge copies, a
range of tokens at a time, and every file is read and written once from its beginning to its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.embedding.mapped_rows import Mapped
from harness.errors import BadInputError
from harness.retrieval import postings as layout
from harness.retrieval.postings import Postings, kept_kind, offset_type, scales_of

MERGED_BYTES = 64 << 20  # of postings that are merged at a time
_ENTRY = 12  # bytes of a posting meanwhile: place, weight, and both once more


class _Run(NamedTuple):
    """One run: files of its postings, what is kept of it in memory.

    Attributes:
        path: Of the places; the weights' file stands beside.
        tokens: int32 (lists,), ascending.
        blocks: How many it has.
        offsets: A file of where each list begins in each block, and where the last end, int64.
        postings: How many.
    """

    path: Path
    tokens: NDArray[np.int32]
    blocks: int
    offsets: Path
    postings: int


class _Seen(NamedTuple):
    """What all runs together have.

    Attributes:
        documents: How many.
        negative: Whether a weight is below 0.
        frequency: Postings of each token, int64 (V,).
        largest: The largest absolute weight of each token, float32 (V,).
    """

    documents: int
    negative: bool
    frequency: NDArray[np.int64]
    largest: NDArray[np.float32]


def build_postings(
    chunks: Iterable[sparse.csr_array], folder: Path, *, vocabulary: int, weights: str
) -> Postings:
    """Build what `Postings.of` builds of all rows, of which no more than a chunk is held.

    Args:
        chunks: Documents in order, CSR (n, V); all but the last have a multiple of
            `postings.BLOCK` rows.
        folder: An empty folder for the files.
        vocabulary: V.
        weights: `float32`, `uint16` or `uint8`.

    Raises:
        BadInputError: If a weight is NaN or infinite, or the disk is full.
    """
    try:
        largest = np.zeros(vocabulary, np.float32)
        frequency = np.zeros(vocabulary, np.int64)
        runs: list[_Run] = []
        documents, negative = 0, False
        for chunk in chunks:
            if documents % layout.BLOCK:
                raise ValueError(f"a run that ends at document {documents} must be the last")
            own = Postings.of(chunk, "float32")
            runs.append(_write_run(own, folder / f"run{len(runs)}"))
            frequency += own.document_frequency
            _see_largest(own, largest)
            negative |= bool((own.weights < 0).any())
            documents += chunk.shape[0]
            del own, chunk  # before the next one is made
        return _merge(runs, _Seen(documents, negative, frequency, largest), folder, weights)
    except OSError as error:
        raise BadInputError(
            f"the index in {folder} cannot be written ({error}); make room, or give another folder "
            "as store_dir"
        ) from error


def _see_largest(own: Postings, largest: NDArray[np.float32]) -> None:
    """Take note of the largest weights of a run's lists, each of which has a posting."""
    if len(own.tokens):
        starts = own.offsets[: -1 : max(-(-own.documents // own.block), 1)].astype(np.int64)
        found = np.maximum.reduceat(np.abs(own.weights), starts)
        largest[own.tokens] = np.maximum(largest[own.tokens], found)


def _write_run(own: Postings, path: Path) -> _Run:
    own.places.tofile(path.with_suffix(".places"))
    own.weights.tofile(path.with_suffix(".weights"))
    own.offsets.astype(np.int64).tofile(path.with_suffix(".offsets"))
    blocks = max(-(-own.documents // own.block), 1)
    offsets = path.with_suffix(".offsets")
    return _Run(path, own.tokens, blocks, offsets, len(own.places))


def _merge(runs: list[_Run], seen: _Seen, folder: Path, weights: str) -> Postings:
    """The runs' postings, in the order of their documents, in one set of files; runs are removed.

    Args:
        runs: In that order.
        seen: What they have.
        folder: For the files.
        weights: How they are kept.
    """
    documents, frequency, largest = seen.documents, seen.frequency, seen.largest
    tokens = np.flatnonzero(frequency).astype(np.int32)
    total = int(frequency.sum())
    blocks = max(-(-documents // layout.BLOCK), 1)
    kind, small = kept_kind(weights, seen.negative), offset_type(total)
    scales = scales_of(largest[tokens], kind)
    with (
        (folder / "places").open("wb") as places,
        (folder / "weights").open("wb") as weighted,
        (folder / "offsets").open("wb") as offsets,
    ):
        written = 0
        for first, end in _ranges(frequency[tokens], blocks):
            own = slice(first, end)
            counts = _counts(runs, tokens[own], blocks)
            bounds = written + np.concatenate([np.zeros(1, np.int64), counts.ravel().cumsum()])
            bounds[:-1].astype(small).tofile(offsets)
            found = _gather(runs, tokens[own], counts)
            found[0].tofile(places)
            _kept(found[1], scales[own], counts.sum(axis=1), kind).tofile(weighted)
            written = int(bounds[-1])
        np.array([written]).astype(small).tofile(offsets)
    for run in runs:
        for suffix in (".places", ".weights", ".offsets"):
            run.path.with_suffix(suffix).unlink()
    return Postings(
        tokens=tokens,
        offsets=Mapped(folder / "offsets", small, (len(tokens) * blocks + 1,)).array,
        places=Mapped(folder / "places", np.uint16, (total,)).array,
        weights=Mapped(folder / "weights", kind, (total,)).array,
        scales=scales,
        block=layout.BLOCK,
        documents=documents,
        vocabulary=len(frequency),
        largest=float(largest.max(initial=0)),
    )


def _ranges(frequency: NDArray[np.int64], blocks: int) -> Iterator[tuple[int, int]]:
    """Ranges of lists whose postings and offsets are held together; one list at least."""
    sizes = (_ENTRY * frequency + 24 * blocks).cumsum()
    first = 0
    while first < len(frequency):
        before = sizes[first - 1] if first else 0
        end = int(np.searchsorted(sizes, before + MERGED_BYTES, side="right"))
        end = max(end, first + 1)
        yield first, end
        first = end


def _own_lists(run: _Run, tokens: NDArray[np.int32]) -> tuple[slice, NDArray[np.int64]]:
    """A run's lists of a range of ascending tokens, and their places in that range."""
    own = slice(*np.searchsorted(run.tokens, [tokens[0], tokens[-1] + 1]))
    return own, np.searchsorted(tokens, run.tokens[own])


def _bounds(run: _Run, own: slice) -> NDArray[np.int64]:
    """Where some lists' postings begin in each of a run's blocks, and where the last end."""
    count = (own.stop - own.start) * run.blocks + 1
    return np.fromfile(run.offsets, np.int64, count, offset=8 * own.start * run.blocks)


def _counts(runs: list[_Run], tokens: NDArray[np.int32], blocks: int) -> NDArray[np.int64]:
    """Postings of tokens by block: int64 (tokens, blocks)."""
    counts = np.zeros((len(tokens), blocks), np.int64)
    before = 0
    for run in runs:
        own, rows = _own_lists(run, tokens)
        found = np.diff(_bounds(run, own)).reshape(-1, run.blocks)
        counts[rows, before : before + run.blocks] = found
        before += run.blocks
    return counts


def _gather(
    runs: list[_Run], tokens: NDArray[np.int32], counts: NDArray[np.int64]
) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Places and weights of tokens' postings, by token, then run."""
    from harness.retrieval.posting_kernels import copy_lists

    total = int(counts.sum())
    places, weights = np.empty(total, np.uint16), np.empty(total, np.float32)
    free = counts.sum(axis=1).cumsum() - counts.sum(axis=1)
    for run in runs:
        own, rows = _own_lists(run, tokens)
        bounds = _bounds(run, own)[:: run.blocks]
        first, size = int(bounds[0]), int(bounds[-1] - bounds[0])
        path = run.path.with_suffix(".places")
        some = np.fromfile(path, np.uint16, size, offset=2 * first)
        weighted = np.fromfile(path.with_suffix(".weights"), np.float32, size, offset=4 * first)
        copy_lists(bounds - first, rows, free, (some, weighted), (places, weights))
    return places, weights


def _kept(
    weights: NDArray[np.float32], scales: NDArray[np.float32], counts: NDArray[np.int64], kind: str
) -> NDArray[Any]:
    """Weights as the index keeps them: themselves, or whole steps; see `fill_postings`."""
    if kind == "float32":
        return weights
    steps = np.rint(np.abs(weights) / np.repeat(scales, counts))
    np.maximum(steps, np.float32(1), out=steps)
    return np.copysign(steps, weights).astype(kind)
