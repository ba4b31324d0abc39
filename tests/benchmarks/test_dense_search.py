"""Embeddings searched exactly against other libraries, and approximately against exact, in turns.

What is found is compared before anything is timed. HARNESS_BENCH_DOCUMENTS says how many documents.
"""

import os
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness.alignment.equal_rows import EqualRows
from harness.config import FaissHnswConfig, FaissIvfConfig, build
from harness.cost.comparison import compare
from harness.retrieval.approximate import recall
from harness.retrieval.dense_search import dense_search
from harness.retrieval.ranking import to_run
from harness.retrieval.retriever import Dependencies
from tests.benchmarks import dense_peers as peers

DOCUMENTS = int(os.environ.get("HARNESS_BENCH_DOCUMENTS", "100000"))
WIDTH, TOP, QUERIES = 1024, 100, 200
ROUNDS = {1: 40, QUERIES: 6}  # by queries searched at a time
ARRAYS = {
    "FAISS": peers.faiss_flat,
    "NumPy": peers.numpy_product,
    "PyTorch": peers.torch_product,
}
TOOLS = {"mteb": peers.mteb_search, "BEIR": peers.beir_search}
BARS = {"FAISS": 1.0}
ENGINES = {
    "HNSW": [FaissHnswConfig(similarity="dot", ef_search=ef) for ef in (100, 400)],
    "IVF": [FaissIvfConfig(similarity="dot", nprobe=lists) for lists in (8, 64)],
}

pytestmark = pytest.mark.slow


def _directions(count, seed):
    """Unit vectors near a subspace of 64 dimensions, some of which matter more."""
    rng = np.random.default_rng(seed)
    basis = np.random.default_rng(0).standard_normal((64, WIDTH), np.float32)
    scale = np.linspace(1, 0.05, 64, dtype=np.float32)
    vectors = (rng.standard_normal((count, 64), np.float32) * scale) @ basis
    vectors += 0.1 * rng.standard_normal((count, WIDTH), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def documents():
    return _directions(DOCUMENTS, seed=1)


@pytest.fixture(scope="module")
def queries():
    return _directions(QUERIES, seed=2)


@pytest.fixture(scope="module")
def equal(documents):
    return EqualRows.of(documents)


@pytest.fixture(scope="module", params=sorted({1, os.cpu_count() or 1}), ids="{} threads".format)
def threads(request):
    """PyTorch's, FAISS' and those of NumPy's product."""
    import faiss

    threadpoolctl = pytest.importorskip("threadpoolctl")
    before = torch.get_num_threads()
    with threadpoolctl.threadpool_limits(request.param):
        torch.set_num_threads(request.param)
        faiss.omp_set_num_threads(request.param)
        yield request.param
    torch.set_num_threads(before)


def _agree(found, expected):
    """The same scores, and the same documents but for two that rounding may swap at the end."""
    documents, scores = found
    np.testing.assert_allclose(scores, expected.scores, atol=1e-5)
    for own, wanted in zip(documents, expected.documents, strict=True):
        assert len(np.intersect1d(own, wanted)) >= TOP - 1


def _arrays(run):
    """A run's documents and scores, by descending score."""
    pairs = [sorted(run[str(row)].items(), key=lambda pair: -pair[1]) for row in range(len(run))]
    return (
        np.array([[int(name) for name, _ in found] for found in pairs]),
        np.array([[score for _, score in found] for found in pairs], np.float32),
    )


@pytest.fixture(scope="module")
def arrays(documents, queries, equal):
    """Searches of the libraries that give arrays."""
    expected = dense_search(queries, documents, TOP, equal=equal)
    searches = {name: make(documents) for name, make in ARRAYS.items()}
    for search in searches.values():
        _agree(search(queries, TOP), expected)
    return searches


@pytest.fixture(scope="module")
def tools(documents, queries, equal):
    """Searches of the tools that give runs."""
    expected = dense_search(queries, documents, TOP, equal=equal)
    searches = {name: make(documents) for name, make in TOOLS.items()}
    for search in searches.values():
        _agree(_arrays(search(queries, TOP)), expected)
    return searches


def _in_turns(ours, searches, queries, at_once):
    """All of them with the same queries in the same round."""
    numbers = {name: count() for name in ("ours", *searches)}
    parts = [queries[row : row + at_once] for row in range(0, len(queries), at_once)]

    def call(name, search):
        return lambda: search(parts[next(numbers[name]) % len(parts)], TOP)

    callables = {name: call(name, search) for name, search in {"ours": ours, **searches}.items()}
    comparison = compare(callables, rounds=ROUNDS[at_once], warmup=1)
    return comparison, call("ours", ours)


def _keep(keep, comparison, peer, at_once, threads, **bar):
    took = comparison.median_ms
    load = f"{at_once} at a time, threads: {threads}"
    keep(
        comparison.ratios[peer],
        what=f"{load}, {DOCUMENTS:,} × {WIDTH}, {took['ours']:.1f} ms",
        peer=f"{peer}, {took[peer]:.1f} ms",
        **bar,
    )


@pytest.fixture(scope="module", params=list(ROUNDS), ids="{} queries".format)
def at_once(request):
    return request.param


@pytest.fixture(scope="module")
def against_arrays(threads, at_once, documents, queries, equal, arrays):
    def ours(some, k):
        return dense_search(some, documents, k, equal=equal)

    return _in_turns(ours, arrays, queries, at_once)


@pytest.fixture(scope="module")
def against_tools(threads, documents, queries, equal, tools):
    """All queries at a time: BEIR's search does not take a single one."""
    names = [str(row) for row in range(DOCUMENTS)]

    def ours(some, k):
        ranking = dense_search(some, documents, k, equal=equal)
        return to_run(ranking, names[: len(some)], names)

    return _in_turns(ours, tools, queries, QUERIES)


@pytest.mark.benchmark(group="dense search")
@pytest.mark.parametrize("peer", ARRAYS)
def test_arrays(benchmark, keep, against_arrays, threads, at_once, peer):
    comparison, ours = against_arrays
    bar = {"at_least": BARS[peer]} if peer in BARS else {}
    _keep(keep, comparison, peer, at_once, threads, **bar)
    benchmark.pedantic(ours, rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="dense search, as a run")
@pytest.mark.parametrize("peer", TOOLS)
def test_tools(benchmark, keep, against_tools, threads, peer):
    comparison, ours = against_tools
    _keep(keep, comparison, peer, QUERIES, threads)
    benchmark.pedantic(ours, rounds=3, warmup_rounds=1)


class Given:
    """Texts whose embeddings are known."""

    def __init__(self, embeddings):
        self.embeddings = embeddings

    def __len__(self):
        return len(self.embeddings)


@pytest.fixture(scope="module")
def engines(documents):
    """Both indices; a search takes its own settings."""
    model = SimpleNamespace(similarity="dot", normalize=False)
    needs = Dependencies(
        name="mode", encoder=SimpleNamespace(model=model), head=None, retrievers={}
    )
    built = {}
    for name, (first, *_) in ENGINES.items():
        built[name] = build(first, dependencies=needs)
        built[name].index(Given(documents))
    return built


@pytest.mark.benchmark(group="approximate search, one query")
@pytest.mark.parametrize(
    ("engine", "config"),
    [(name, config) for name, configs in ENGINES.items() for config in configs],
    ids=lambda value: value if isinstance(value, str) else value.label(),
)
def test_approximate(
    benchmark, keep, one_thread, documents, queries, equal, engines, engine, config
):
    index = engines[engine]
    index.config = config
    exact = dense_search(queries, documents, TOP, equal=equal)
    found = index.search(Given(queries), TOP)
    share = recall(found, exact)
    scores = np.take_along_axis(queries @ documents.T, found.documents.astype(np.int64), axis=1)
    np.testing.assert_allclose(found.scores, scores, atol=1e-5)
    searches = {"dense": lambda some, k: dense_search(some, documents, k, equal=equal)}

    def ours(some, k):
        return index.search(Given(some), k)

    comparison, search = _in_turns(ours, searches, queries, 1)
    _keep(keep, comparison, "dense", 1, 1)
    benchmark.extra_info.update(
        what=f"{config.label()}, recall {share:.3f}, {comparison.median_ms['ours']:.2f} ms",
        recall=share,
        index_bytes=index.work(Given(queries[:1])).index_bytes,
    )
    benchmark.pedantic(search, rounds=20, warmup_rounds=3)
