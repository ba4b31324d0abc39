"""One point of the curves of what does not fit in memory: built from a stream, searched in files.

    python -m tests.benchmarks.streamed sparse|dense DOCUMENTS [float32|float16|bfloat16|int8]

prints one as JSON. Documents are drawn as they are needed, so that a process holds no more of them
than the harness asks for; called in a process of its own (`fresh_call`), since peak memory is what
it is about. What was found is compared with a plain product over the same stream.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.cost.latency import probe
from harness.cost.memory import current_host_bytes, peak_host_bytes
from harness.retrieval.ranking import Ranking
from tests.benchmarks.data import queries_of, topic_blocks
from tests.benchmarks.scale import (
    _BLOCK,
    QUERIES,
    QUERY_TOKENS,
    TOKENS,
    TOP,
    VOCABULARY,
    WIDTH,
    Point,
)

_CHECKED, _WARMUP = 3, 10


def sparse_files(documents: int) -> Point:
    """Documents of 128 tokens, merged into an inverted index on disk."""
    from harness.retrieval.inverted_index import InvertedIndex
    from harness.retrieval.posting_runs import build_postings

    first = next(topic_blocks(documents, TOKENS, VOCABULARY, 0))
    queries = queries_of(first, QUERIES, QUERY_TOKENS, seed=1)
    singles = [queries[[row]] for row in range(QUERIES)]
    InvertedIndex(first[:10]).search(singles[0], TOP)  # compiles what is compiled
    start_bytes = current_host_bytes()
    drawing = _Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        chunks = drawing(_pairs(topic_blocks(documents, TOKENS, VOCABULARY, 0)))
        files = build_postings(chunks, Path(folder), vocabulary=VOCABULARY, weights="float32")
        seconds = time.perf_counter() - began - drawing.seconds
        building = peak_host_bytes()
        index = InvertedIndex.of_files(files)

        def scores(rows: list[int]) -> NDArray[np.float32]:
            blocks = topic_blocks(documents, TOKENS, VOCABULARY, 0)
            return np.concatenate([(block @ queries[rows].T).toarray() for block in blocks])

        point = _searched(lambda query: index.search(query, TOP), singles, scores)
        everything = index.search(queries, TOP)
    assert np.array_equal(everything.documents[0], point.pop("first"))
    return point | {
        "engine": "aligned sparse, files",
        "documents": documents,
        "build_seconds": seconds,
        "index_bytes": index.nbytes,
        "start_bytes": start_bytes,
        "building_peak_bytes": building,
    }


def dense_files(documents: int, kind: str = "float32") -> Point:
    """Embeddings of 1024 dimensions in a file, searched exactly."""
    from harness.alignment.equal_rows import EqualRows
    from harness.embedding.mapped_rows import write_rows
    from harness.retrieval.dense_search import dense_search

    queries = next(_directions(QUERIES, seed=1))
    singles = [queries[[row]] for row in range(QUERIES)]
    with tempfile.TemporaryDirectory() as folder:
        dense_search(singles[0], write_rows(Path(folder) / "few", [queries], kind), TOP)
        start_bytes = current_host_bytes()
        drawing = _Stopwatch()
        began = time.perf_counter()
        blocks = drawing(_directions(documents, seed=0))
        rows = write_rows(Path(folder) / "rows", blocks, kind)
        equal = EqualRows.of(rows)
        seconds = time.perf_counter() - began - drawing.seconds
        building = peak_host_bytes()

        def scores(asked: list[int]) -> NDArray[np.float32]:
            return np.concatenate(
                [
                    rows[start : start + _BLOCK] @ queries[asked].T
                    for start in range(0, documents, _BLOCK)
                ]
            )

        def search(query: NDArray[np.float32]) -> Ranking:
            return dense_search(query, rows, TOP, equal=equal)

        point = _searched(search, singles, scores)
        began = time.perf_counter()
        search(queries)
        batch = time.perf_counter() - began
    del point["first"]
    return point | {
        "engine": f"dense, {kind} file",
        "documents": documents,
        "build_seconds": seconds,
        "index_bytes": rows.nbytes,
        "batch_ms": 1e3 * batch / QUERIES,
        "start_bytes": start_bytes,
        "building_peak_bytes": building,
    }


class _Stopwatch:
    """The time that a stream of its own takes, which is no part of what reads it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, stream: Iterator[Any]) -> Iterator[Any]:
        while True:
            began = time.perf_counter()
            item = next(stream, None)
            self.seconds += time.perf_counter() - began
            if item is None:
                return
            yield item


def _pairs(blocks: Iterator[sparse.csr_array]) -> Iterator[sparse.csr_array]:
    """Blocks of 8192 rows two by two: as many as a block of postings has."""
    for block in blocks:
        other = next(blocks, None)
        yield block if other is None else sparse.csr_array(sparse.vstack([block, other]))


def _directions(count: int, *, seed: int) -> Iterator[NDArray[np.float32]]:
    """Random directions: float32 (8192 or fewer, 1024) of norm 1."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, _BLOCK):
        block = rng.standard_normal((min(_BLOCK, count - start), WIDTH), dtype=np.float32)
        yield block / np.linalg.norm(block, axis=1, keepdims=True)


def _searched(
    search: Callable[[Any], Ranking],
    singles: Sequence[Any],
    scores: Callable[[list[int]], NDArray[np.float32]],
) -> Point:
    """Time single queries, then check some of them against all their scores."""
    record = probe({"search": search}, singles, warmup=_WARMUP, repetitions=1)
    peak = peak_host_bytes()
    every = scores(list(range(_CHECKED)))
    for query in range(_CHECKED):
        found = search(singles[query])
        best = np.sort(every[:, query])[::-1][: found.scores.shape[1]]
        listed = found.documents[0] >= 0
        assert not best[~listed].any()  # what shares no token is not found
        np.testing.assert_allclose(found.scores[0][listed], best[listed], rtol=1e-5)
        of_found = every[found.documents[0][listed], query]
        np.testing.assert_allclose(of_found, best[listed], rtol=1e-5)
    return {
        "query_ms": record.total.p50_ms,
        "peak_bytes": peak,
        "first": search(singles[0]).documents[0],
    }


if __name__ == "__main__":
    called = {"sparse": sparse_files, "dense": dense_files}[sys.argv[1]]
    print(json.dumps(called(int(sys.argv[2]), *sys.argv[3:])))
