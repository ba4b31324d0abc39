"""Who is asked what, how often, and which figures come of it."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from harness.config import CostConfig
from harness.embedding.ragged import Ragged
from harness.evaluation.timing import Asking, time_queries

TEXTS = [f"text {row}" for row in range(9)]


class Encoder:
    """Makes texts that were never encoded."""

    def fresh(self, ids, texts, side):
        assert side == "query"
        return SimpleNamespace(ids=list(ids), texts=list(texts), stages=[])


class Queries(SimpleNamespace):
    def __len__(self):
        return len(self.texts)


class Mode:
    """Records what it is asked, and that each text went through every stage."""

    def __init__(self):
        self.searched = []

    def tokenise(self, queries):
        queries.stages.append("tokenise")

    def encode(self, queries):
        queries.stages.append("encode")

    def search(self, queries, top_k):
        assert queries.stages == ["tokenise", "encode"]
        self.searched.append((tuple(queries.texts), None, top_k))

    def rerank(self, queries, candidates, top_k):
        assert queries.stages == ["tokenise", "encode"]
        rows = tuple(tuple(candidates[row].tolist()) for row in range(len(candidates)))
        self.searched.append((tuple(queries.texts), rows, top_k))


def asking(**given):
    queries = Queries(ids=[f"q{row}" for row in range(9)], texts=TEXTS, encoder=Encoder())
    return Asking(Mode(), queries, 5, **given)


def config(**given):
    return CostConfig(latency_warmup=0, matmul_peak=False, **given)


def test_queries_are_spread_over_all():
    assert [row for row, _, _ in asking().some(3)] == [0, 4, 8]
    assert asking().some(100)[8] == (8, "q8", "text 8")


def test_nothing_is_timed_when_nothing_is_asked_for():
    mode = asking()
    assert time_queries(mode, config(latency_queries=0), "cpu") == {}
    assert mode.retriever.searched == []


def test_every_query_is_timed_as_often_as_asked_and_the_first_one_more_cold():
    mode = asking()
    found = time_queries(mode, config(latency_queries=9, latency_repetitions=2), "cpu")
    counts = Counter(texts for texts, _, _ in mode.retriever.searched)
    assert counts == {(text,): 3 if row == 0 else 2 for row, text in enumerate(TEXTS)}
    assert found["latency_p50_low_ms"] <= found["latency_p50_ms"] <= found["latency_p50_high_ms"]
    assert found["latency_p50_ms"] <= found["latency_p95_ms"] <= found["latency_p99_ms"]
    # Nine queries bound neither the 95th nor the 99th percentile from above.
    assert found["latency_p95_high_ms"] is found["latency_p99_high_ms"] is None
    assert found["cold_latency_ms"] > 0
    assert set(found).isdisjoint({"batch_size", "queries_per_second", "load"})
    assert "latency_cold_cache_p50_ms" not in found


def test_candidates_are_the_querys_own():
    candidates = Ragged.from_rows([[row, row + 1] for row in range(9)])
    mode = asking(candidates=candidates)
    time_queries(mode, config(latency_queries=3, batch_sizes=[2]), "cpu")
    expected = {TEXTS[row]: (row, row + 1) for row in range(9)}
    for texts, rows, top_k in mode.retriever.searched:
        assert rows == tuple(expected[text] for text in texts)
        assert top_k == 5


def test_batches_of_every_size_hold_every_query():
    mode = asking()
    found = time_queries(mode, config(latency_queries=9, batch_sizes=[4, 100, 1]), "cpu")
    sizes = Counter(len(texts) for texts, _, _ in mode.retriever.searched)
    # One at a time: 10 with the cold one, 9 in batches of one and a warm-up; 4 + 4 + 1 and a
    # warm-up of 4; the 100 are the 9 there are, and a warm-up.
    assert sizes == {1: 10 + 9 + 1 + 1, 4: 2 + 1, 9: 1 + 1}
    assert found["batch_size"] == 9
    assert found["batch_latency_ms"] == pytest.approx(1000 / found["queries_per_second"])
    assert found["query_joules"] is None or found["query_joules"] > 0


def test_clients_share_the_queries():
    mode = asking()
    found = time_queries(mode, config(latency_queries=9, clients=[1, 3, 50]), "cpu")
    assert [one["clients"] for one in found["load"]] == [1, 3]
    counts = Counter(texts for texts, _, _ in mode.retriever.searched)
    assert counts == {(text,): 4 if row == 0 else 3 for row, text in enumerate(TEXTS)}
    assert found["load"][0]["queries_per_second"] > 0


def test_cold_caches_are_timed_apart():
    found = time_queries(asking(), config(latency_queries=2, cold_caches=True), "cpu")
    assert found["latency_cold_cache_p50_ms"] > 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"latency_repetitions": 0}, "latency_repetitions=0 must be at least 1"),
        ({"batch_sizes": [0]}, "batch_sizes=0 must be at least 1"),
        ({"clients": [2, 2]}, "clients=[2, 2] names a number twice"),
        ({"clients": [1], "latency_queries": 0}, "latency_queries=0 leaves none"),
        ({"cold_caches": True, "latency_queries": 0}, "latency_queries=0 leaves none"),
        ({"load_seconds": 0}, "load_seconds=0 must be above 0"),
        ({"load_seconds": np.nan}, "load_seconds=nan must be above 0"),
    ],
)
def test_settings_that_cannot_be_meant(given, words):
    with pytest.raises(ValueError, match=words.replace("[", r"\[").replace("]", r"\]")):
        CostConfig(**given)
