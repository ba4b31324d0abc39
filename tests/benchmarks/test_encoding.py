"""Encoding documents of SciFact with all-MiniLM-L6-v2, against those who encode with it by default.

Embeddings are compared before anything is timed.
"""

import json

import numpy as np
import pytest
import pytrec_eval

from harness.cost.comparison import compare
from harness.retrieval.dense_search import dense_search
from tests.benchmarks import encoders
from tests.benchmarks.fresh import fresh_call

ROUNDS = 3

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def texts(documents):
    return list(documents.values())


@pytest.fixture(scope="module")
def sentence_transformers():
    return encoders.sentence_transformers()


@pytest.fixture(scope="module")
def expected(sentence_transformers, texts):
    return sentence_transformers(texts)


@pytest.fixture(scope="module")
def budgets(tmp_path_factory):
    """Where token budgets are remembered: an encoder's first pass finds its own."""
    return tmp_path_factory.mktemp("budgets")


@pytest.fixture(scope="module")
def float32(budgets, texts, expected):
    """The harness's encoder, and the embeddings of its first pass."""
    encode = encoders.ours(budgets, dtype="float32")
    found = encode(texts)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    return encode, found


@pytest.fixture(scope="module")
def fastest(budgets, texts, expected):
    """As `float32`, in the fastest dtype."""
    encode = encoders.ours(budgets, dtype="fastest")
    found = encode(texts)
    assert np.min(np.sum(found * expected, axis=1)) >= 0.999
    return encode, found


@pytest.fixture(scope="module")
def in_turns(float32, budgets, sentence_transformers, texts, expected):
    """The harness in float32, both peers and its own padded path, timed in turns."""
    mteb_wrapper = encoders.mteb_wrapper()
    padded = encoders.ours(budgets, dtype="float32", attention="sdpa")
    for encode in (mteb_wrapper, padded):
        np.testing.assert_allclose(encode(texts), expected, rtol=0, atol=1e-6)
    return compare(
        {
            "ours": lambda: float32[0](texts),
            "sentence-transformers": lambda: sentence_transformers(texts),
            "mteb's wrapper": lambda: mteb_wrapper(texts),
            "ours with padding": lambda: padded(texts),
        },
        rounds=ROUNDS,
        warmup=0,
    )


@pytest.mark.benchmark(group="encoding")
@pytest.mark.parametrize("peer", ["sentence-transformers", "mteb's wrapper", "ours with padding"])
def test_float32(benchmark, keep, in_turns, float32, texts, peer):
    bar = {} if peer == "ours with padding" else {"at_least": 1.25}
    keep(in_turns.ratios[peer], what=f"float32, {len(texts):,} documents", peer=peer, **bar)
    benchmark.pedantic(float32[0], (texts,))


@pytest.mark.benchmark(group="encoding")
def test_fastest(benchmark, keep, fastest, sentence_transformers, texts):
    encode, _ = fastest
    comparison = compare(
        {"ours": lambda: encode(texts), "peer": lambda: sentence_transformers(texts)},
        rounds=ROUNDS,
        warmup=0,
    )
    keep(
        comparison.ratios["peer"],
        what=f"fastest dtype, {len(texts):,} documents",
        peer="sentence-transformers",
        at_least=4.0,
    )
    benchmark.pedantic(encode, (texts,))


@pytest.mark.benchmark(group="quality of the fastest dtype")
def test_quality(benchmark, keep, text_count, documents, queries, judgements, float32, fastest):
    if text_count:
        pytest.skip("whole collections have a quality: HARNESS_BENCH_TEXTS=0")
    ids = np.array(list(documents))
    order = np.argsort(ids)  # rows of a ranking's corpus ascend by id

    def ndcg(encode, embeddings):
        vectors = encode(list(queries.values()))
        ranking = dense_search(vectors, embeddings[order], 10)
        run = {
            query: dict(zip(ids[order][rows].tolist(), scores.tolist(), strict=True))
            for query, rows, scores in zip(queries, ranking.documents, ranking.scores, strict=True)
        }
        values = pytrec_eval.RelevanceEvaluator(judgements, {"ndcg_cut.10"}).evaluate(run).values()
        return np.mean([each["ndcg_cut_10"] for each in values])

    full, fast = ndcg(*float32), benchmark.pedantic(ndcg, fastest)
    assert abs(fast - full) <= 0.001
    keep(
        fast / full,
        what=f"nDCG@10 of dense on SciFact, {fast:.4f}",
        peer=f"ours in float32, {full:.4f}",
        of="in the fastest dtype / in float32",
    )


@pytest.mark.benchmark(group="memory of encoding")
@pytest.mark.parametrize("dtype", ["float32", "fastest"])
def test_memory(benchmark, keep, tmp_path, texts, dtype):
    file = tmp_path / "texts.json"
    file.write_text(json.dumps(texts), encoding="utf-8")

    def encode(encoder, **settings):
        called = "tests.benchmarks.encoders:encode_once"
        return fresh_call(called, encoder, settings, str(file))

    expected, peer_peak = encode("sentence_transformers")
    found, peak = benchmark.pedantic(encode, ("ours",), {"dtype": dtype})
    assert np.dot(found, expected) >= 0.999
    keep(
        peer_peak / peak,
        what=f"{dtype}, a process of its own, {peak / 1e6:.0f} MB",
        peer=f"sentence-transformers, {peer_peak / 1e6:.0f} MB",
        of="peer's peak memory / ours",
        at_least=1.0,
    )
