"""Queries in the inverted index against other libraries, on one thread, in turns.

What is found is compared before anything is timed. HARNESS_BENCH_DOCUMENTS says how many documents.
"""

import os
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from harness.cost.comparison import Ratio, compare
from harness.retrieval.inverted_index import InvertedIndex
from tests.benchmarks import sparse_peers as peers
from tests.benchmarks.data import queries_of, topic_mixture

DOCUMENTS = int(os.environ.get("HARNESS_BENCH_DOCUMENTS", "100000"))
TOKENS, VOCABULARY, WIDTH, QUERIES, TOP, ROUNDS = 128, 32_000, 1024, 100, 100, 300
OURS = ("float32", "uint16", "uint8")
EXACT = {
    "SciPy's product": peers.scipy_product,
    "bm25s": peers.bm25s_retrieve,
    "bm25s' compiled kernel": peers.bm25s_kernel,
}
DENSE = {"NumPy": peers.dense_numpy, "PyTorch": peers.dense_torch}

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread_each")]


@pytest.fixture(scope="module")
def one_thread_each(one_thread):
    """PyTorch, and what NumPy's product runs on, have a thread; compiled loops have no more."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    with threadpoolctl.threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def rows():
    return topic_mixture(DOCUMENTS, TOKENS, VOCABULARY, seed=0)


@pytest.fixture(scope="module")
def indices(rows):
    return {kind: InvertedIndex(rows, kind) for kind in OURS}


@pytest.fixture(scope="module", params=[10, 128], ids="{} tokens".format)
def queries(request, rows):
    """Binary queries of so many tokens."""
    return queries_of(rows, QUERIES, request.param, seed=1)


@pytest.fixture(scope="module")
def expected(indices, queries):
    return indices["float32"].search(queries, TOP)


@pytest.fixture(scope="module")
def ours(indices, queries):
    """A search of one query in each of the indices."""
    singles = [queries[[row]] for row in range(QUERIES)]
    return {
        kind: lambda query, index=index: index.search(singles[query], TOP)
        for kind, index in indices.items()
    }


@pytest.fixture(scope="module")
def exact(rows, queries, expected):
    """Searches of the peers that find the same."""
    searches = {name: make(rows, queries, TOP) for name, make in EXACT.items()}
    for search in searches.values():
        for query in range(QUERIES):
            found = np.count_nonzero(expected.documents[query] >= 0)
            documents, scores = (part[:found] for part in search(query))
            np.testing.assert_allclose(scores, expected.scores[query, :found], rtol=1e-5)
            common = np.intersect1d(documents, expected.documents[query])
            assert len(common) >= found - 1  # a tie at the last rank
    return searches


@pytest.fixture(scope="module")
def dense():
    """Searches of as many embeddings."""
    rng = np.random.default_rng(2)
    embeddings = rng.standard_normal((DOCUMENTS, WIDTH), np.float32)
    searched = rng.standard_normal((QUERIES, WIDTH), np.float32)
    searches = {name: make(embeddings, searched, TOP) for name, make in DENSE.items()}
    np.testing.assert_array_equal(searches["NumPy"](0)[0], searches["PyTorch"](0)[0])
    return searches


def in_turns(searches, rounds=ROUNDS):
    """All of them with the same query in the same round."""
    numbers = {name: count() for name in searches}
    callables = {
        name: lambda name=name: searches[name](next(numbers[name]) % QUERIES) for name in searches
    }
    return compare(callables, rounds=rounds, warmup=QUERIES // 2)


@pytest.fixture(scope="module")
def against_exact(ours, exact):
    return in_turns(ours | exact)


@pytest.fixture(scope="module")
def against_dense(ours, dense):
    """All queries of ours in a row to one of theirs, which leaves nothing else in the caches."""
    numbers = {name: count() for name in dense}
    callables = {
        name: lambda name=name: dense[name](next(numbers[name]) % QUERIES) for name in dense
    }
    callables = {"float32": lambda: [ours["float32"](row) for row in range(QUERIES)]} | callables
    comparison = compare(callables, rounds=50, warmup=3)
    nanoseconds, ratios = dict(comparison.nanoseconds), dict(comparison.ratios)
    nanoseconds["float32"] = nanoseconds["float32"] / QUERIES
    for name in dense:
        own = ratios[name]
        ratios[name] = Ratio(
            value=own.value * QUERIES, low=own.low * QUERIES, high=own.high * QUERIES
        )
    return replace(comparison, nanoseconds=nanoseconds, ratios=ratios)


def kept(keep, comparison, queries, peer, note="", **bar):
    ours, theirs = comparison.median_ms["float32"], comparison.median_ms[peer]
    keep(
        comparison.ratios[peer],
        what=f"{queries.nnz // QUERIES} tokens, {DOCUMENTS:,} documents, {ours:.3f} ms",
        peer=", ".join(part for part in (peer, f"{theirs:.3f} ms", note) if part),
        **bar,
    )


def timed(benchmark, search):
    numbers = count()
    benchmark.pedantic(lambda: search(next(numbers) % QUERIES), rounds=QUERIES, warmup_rounds=10)


@pytest.mark.benchmark(group="sparse search, one query")
@pytest.mark.parametrize("peer", EXACT)
def test_exact_search(benchmark, keep, queries, ours, against_exact, peer):
    kept(keep, against_exact, queries, peer, at_least=1.0)
    timed(benchmark, ours["float32"])


@pytest.mark.benchmark(group="sparse search, one query")
@pytest.mark.parametrize("peer", DENSE)
def test_dense_search(benchmark, keep, queries, ours, against_dense, peer):
    bar = {"at_least": 300.0} if queries.nnz == 10 * QUERIES else {}
    kept(keep, against_dense, queries, peer, **bar)
    timed(benchmark, ours["float32"])


@pytest.mark.benchmark(group="sparse search, one query")
@pytest.mark.parametrize("kind", OURS[1:])
def test_smaller_weights(benchmark, keep, queries, indices, ours, expected, against_exact, kind):
    found = indices[kind].search(queries, TOP)
    pairs = zip(found.documents, expected.documents, strict=True)
    common = np.mean([len(np.intersect1d(*pair)) / TOP for pair in pairs])
    size = indices[kind].nbytes / (DOCUMENTS * TOKENS)
    kept(keep, against_exact, queries, kind, note=f"{size:.2f} B a posting, {common:.4f} in common")
    timed(benchmark, ours[kind])


@pytest.mark.benchmark(group="sparse search, one query")
def test_seismic(benchmark, keep, rows, queries, ours, expected):
    pytest.importorskip("seismic", reason="pyseismic-lsr is not installed")
    search = peers.seismic(rows, queries, TOP)
    found = [
        np.intersect1d(search(query)[0], expected.documents[query]) for query in range(QUERIES)
    ]
    recall = np.mean([len(own) / TOP for own in found])
    comparison = in_turns({"float32": ours["float32"], "Seismic": search})
    kept(keep, comparison, queries, "Seismic", note=f"recall {recall:.4f}", at_least=1.0)
    timed(benchmark, ours["float32"])


@pytest.mark.benchmark(group="sparse search, a batch")
def test_batch(benchmark, keep, rows, queries, indices, expected):
    postings = rows.T.tocsr()
    index = indices["float32"]
    comparison = compare(
        {
            "float32": lambda: index.search(queries, TOP),
            "SciPy's product": lambda: queries @ postings,
        },
        rounds=10,
        warmup=1,
    )
    kept(keep, comparison, queries, "SciPy's product")
    found = benchmark(index.search, queries, TOP)
    np.testing.assert_array_equal(found.documents, expected.documents)
