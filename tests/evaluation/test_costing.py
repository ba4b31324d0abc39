"""Costs by hand, from the counts of stand-ins."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from harness.alignment.head import FitRecord
from harness.config import CostConfig
from harness.cost.flops import QuadraticFlops, fit_choice_flops
from harness.embedding.ragged import Ragged
from harness.embedding.texts import EncodingRecord
from harness.evaluation.costing import CostMeter
from harness.retrieval.retriever import SearchWork

LENGTHS = {"a": 1, "bb": 2, "cccc": 4}  # a token a letter
FORWARD = QuadraticFlops(linear=10, quadratic=1, constant=100)  # 111, 124 and 156 FLOPs
FIT = FitRecord(
    documents=3,
    width=3,
    nonzeros=5,
    vocabulary=7,
    seconds=0.25,
    regularisation=0.1,
    chosen=False,
)
FIT_FLOPS = 2 * 3 * 9 + 2 * 5 * 3 + 9 + 2 * 9 * 7
READING = 28.0


class Encoder:
    """Makes texts that were never encoded."""

    backend = SimpleNamespace(device="cpu", dtype="float32")

    def __init__(self):
        self.made = []

    def fresh(self, ids, texts, side):
        self.made.append((list(ids), list(texts), side))
        return texts_of(texts, side=side, ids=ids, encoder=self)


class Texts(SimpleNamespace):
    def __len__(self):
        return len(self.texts)


def texts_of(texts, *, side="symmetric", ids=None, encoding=None, encoder=None):
    return Texts(
        texts=list(texts),
        ids=ids or [f"id {row}" for row in range(len(texts))],
        side=side,
        keys=[text.encode() for text in texts],
        lengths=np.array([LENGTHS[text] for text in texts], np.int64),
        encoding=encoding,
        encoder=encoder,
    )


def encoding(lengths, *, read=0, padded=None, seconds=2.0, **more):
    return EncodingRecord(
        texts=len(lengths) + read,
        distinct=len(lengths) + read,
        read=read,
        encoded=len(lengths),
        seconds=seconds if lengths else 0.0,
        lengths=np.array(lengths, np.int64),
        padded_lengths=np.array(padded or lengths, np.int64),
        **more,
    )


def meter(*, latency=0, fit=None, forward=FORWARD):
    head = SimpleNamespace(flops_per_text=READING, fit_record=fit)
    config = CostConfig(latency_queries=latency, latency_warmup=0, matmul_peak=False)
    made = CostMeter(config, Encoder(), head)
    made._forward = (forward, 0.99 if forward else None)
    return made


def vectors(parts, *, reads_head=False, **settings):
    vectoriser = SimpleNamespace(reads_head=reads_head)
    return meter(**settings).measure_vectors(vectoriser, parts, vector_bytes=77)


PARTS = [texts_of(["a", "bb", "a"]), texts_of(["cccc", "bb"])]


def test_vectors_of_distinct_texts():
    found = vectors(PARTS)
    assert (found["documents"], found["queries"]) == (3, 0)
    assert found["encode_flops_per_document"] == pytest.approx((111 + 124 + 156) / 3)
    assert found["corpus_flops"] == 111 + 124 + 156
    assert found["head_flops_per_document"] == found["fit_flops"] == found["fit_choice_flops"] == 0
    assert found["fit_seconds"] is None
    assert found["index_bytes"] == 77
    assert found["flops_closed_form_ratio"] == 0.99
    assert found["peak_host_bytes"] > 0
    unknown = ("encode_flops_per_query", "scoring_flops_per_query", "query_flops", "splade_flops")
    unknown += ("latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "latency_search_ms")
    assert {name: found[name] for name in unknown} == dict.fromkeys(unknown)


def test_a_text_is_another_one_on_another_side():
    parts = [texts_of(["a"], side="query"), texts_of(["a", "a"], side="document")]
    found = vectors(parts)
    assert found["documents"] == 2
    assert found["corpus_flops"] == 2 * 111


def test_vectors_that_are_read_from_a_head():
    found = vectors(PARTS, reads_head=True, fit=FIT)
    assert found["head_flops_per_document"] == READING
    assert found["fit_flops"] == FIT_FLOPS
    assert found["fit_seconds"] == 0.25
    assert found["corpus_flops"] == 111 + 124 + 156 + 3 * READING + FIT_FLOPS


def test_a_head_that_was_not_fitted_costs_no_fit():
    found = vectors(PARTS, reads_head=True)
    assert (found["fit_flops"], found["fit_seconds"]) == (0, None)
    assert found["corpus_flops"] == 111 + 124 + 156 + 3 * READING


def test_vectors_of_a_model_that_cannot_be_counted():
    found = vectors(PARTS, forward=None)
    assert found["encode_flops_per_document"] is found["corpus_flops"] is None
    assert found["documents"] == 3


def test_rates_are_of_all_texts_that_were_encoded():
    parts = [
        texts_of(["a", "cccc"], encoding=encoding([1, 4], padded=[4, 4])),
        texts_of(["bb", "a"], encoding=encoding([2], read=1)),
        texts_of(["a"], encoding=encoding([], read=1)),
        texts_of(["a"]),
    ]
    found = vectors(parts)
    assert (found["texts"], found["texts_encoded"], found["texts_read"]) == (5, 3, 2)
    assert found["documents_per_second"] == 3 / 4
    assert found["tokens_per_second"] == 7 / 4
    assert found["padding_share"] == pytest.approx(3 / 10)
    assert found["encode_flops_per_second"] == (111 + 124 + 156) / 4
    assert found["mfu"] is None


@pytest.mark.parametrize("count", [None, 1, 4])
def test_several_devices_have_their_peaks_together(count):
    made = meter()
    made._config.matmul_peak, made._peak = True, 50.0
    if count is not None:
        made._encoder.backend = SimpleNamespace(device="cpu", dtype="float32", device_count=count)
    parts = [texts_of(["a", "cccc"], encoding=encoding([1, 4]))]
    found = made.measure_vectors(SimpleNamespace(reads_head=False), parts, vector_bytes=77)
    assert found["matmul_peak"] == 50.0
    assert found["mfu"] == (111 + 156) / 2 / 50 / (count or 1)


@pytest.mark.parametrize(("stored", "size"), [(True, 123), (False, None)])
def test_an_index_is_on_disk_where_it_is_the_store(stored, size):
    made = meter()
    queries = texts_of(["a"], side="query", encoder=made._encoder)
    corpus = texts_of(["bb"], side="document", encoding=encoding([2], disk_bytes=123))
    found = made.measure(Retriever(stored=stored), corpus, queries, top_k=5)
    assert found["index_disk_bytes"] == size


def test_padding_is_counted_apart():
    parts = [texts_of(["a", "cccc"], encoding=encoding([1, 4], padded=[4, 4]))]
    found = vectors(parts)
    assert found["padding_flops"] == 156 - 111
    assert found["corpus_flops"] == 111 + 156


def test_memory_is_the_largest_of_the_passes_and_energy_their_sum():
    parts = [
        texts_of(["a"], encoding=encoding([1], peak_host_bytes=10, joules=1.5)),
        texts_of(["bb"], encoding=encoding([2], peak_host_bytes=30, joules=2.5)),
        texts_of(["a"], encoding=encoding([], read=1)),
    ]
    found = vectors(parts)
    assert (found["peak_encode_host_bytes"], found["encode_joules"]) == (30, 4.0)


def test_energy_that_one_pass_lacks_is_unknown_never_zero():
    parts = [
        texts_of(["a"], encoding=encoding([1], joules=1.5)),
        texts_of(["bb"], encoding=encoding([2])),
    ]
    assert vectors(parts)["encode_joules"] is None


def test_choosing_the_fit_counts_as_work_on_the_corpus():
    chosen = replace(
        FIT, criterion="loo", strengths=2, sample=2, sample_nonzeros=3, query_nonzeros=0
    )
    found = vectors(PARTS, reads_head=True, fit=chosen)
    choice = fit_choice_flops(
        criterion="loo", strengths=2, width=3, vocabulary_size=7, sample=2, sample_nonzeros=3
    )
    assert found["fit_choice_flops"] == choice > 0
    assert found["corpus_flops"] == 111 + 124 + 156 + 3 * READING + FIT_FLOPS + choice


def test_nothing_encoded_has_no_rate():
    found = vectors([texts_of(["a"], encoding=encoding([], read=1))])
    assert (found["texts"], found["texts_read"]) == (1, 1)
    assert found["documents_per_second"] is found["padding_share"] is None


class Retriever:
    """Does nothing, and records what it is asked to rank."""

    def __init__(self, **work):
        self.ranked = []
        self.asked = []
        self._work = SearchWork(
            **{
                "encodes_documents": True,
                "encodes_queries": True,
                "head_reads_queries": False,
                "head_reads_documents": False,
                "scoring_flops": 50.0,
                "index_bytes": 9,
                **work,
            }
        )

    def tokenise(self, queries): ...

    def encode(self, queries): ...

    def search(self, queries, top_k):
        self.ranked.append((queries.texts, None, top_k))

    def rerank(self, queries, candidates, top_k):
        rows = [candidates[row].tolist() for row in range(len(candidates))]
        self.ranked.append((queries.texts, rows, top_k))

    def work(self, queries, candidates=None):
        self.asked.append(candidates)
        return self._work


def ranked(retriever, *, candidates=None, **settings):
    made = meter(**settings)
    queries = texts_of(["a", "cccc", "bb"], side="query", encoder=made._encoder)
    corpus = texts_of(["bb", "cccc"], side="document", encoding=encoding([2, 4]))
    found = made.measure(retriever, corpus, queries, top_k=5, candidates=candidates)
    return found, made


CANDIDATES = Ragged.from_rows([[1], [0, 1], [0]])


@pytest.mark.parametrize("candidates", [None, CANDIDATES])
def test_ranking(candidates):
    retriever = Retriever(head_reads_documents=True)
    found, _ = ranked(retriever, candidates=candidates, fit=FIT)
    assert retriever.asked == [candidates]
    assert (found["documents"], found["queries"]) == (2, 3)
    assert found["encode_flops_per_document"] == (124 + 156) / 2
    assert found["encode_flops_per_query"] == pytest.approx((111 + 156 + 124) / 3)
    assert found["head_flops_per_document"] == READING
    assert found["head_flops_per_query"] == 0
    assert found["scoring_flops_per_query"] == 50
    assert found["query_flops"] == pytest.approx((111 + 156 + 124) / 3 + 50)
    assert found["corpus_flops"] == 124 + 156 + 2 * READING + FIT_FLOPS
    assert found["index_bytes"] == 9
    assert found["latency_p50_ms"] is None
    assert retriever.ranked == []


def test_a_mode_without_a_model():
    retriever = Retriever(encodes_documents=False, encodes_queries=False)
    found, _ = ranked(retriever)
    assert found["encode_flops_per_document"] == found["encode_flops_per_query"] == 0
    assert (found["query_flops"], found["corpus_flops"]) == (50, 0)
    assert (found["texts"], found["documents_per_second"]) == (0, None)


def test_a_query_that_no_model_reads_costs_its_scoring():
    found, _ = ranked(Retriever(encodes_queries=False))
    assert (found["encode_flops_per_query"], found["query_flops"]) == (0, 50)
    assert found["texts"] == 2


@pytest.mark.parametrize(
    ("count", "rows"), [(1, [0]), (2, [0, 2]), (3, [0, 1, 2]), (100, [0, 1, 2])]
)
def test_latency_is_of_queries_with_their_own_candidates(count, rows):
    """The first one comes twice: once before what is counted."""
    names, own = ["a", "cccc", "bb"], [[1], [0, 1], [0]]
    retriever = Retriever()
    found, made = ranked(retriever, candidates=CANDIDATES, latency=count)
    asked = [0, *rows]
    assert retriever.ranked == [([names[row]], [own[row]], 5) for row in asked]
    assert made._encoder.made == [([f"id {row}"], [names[row]], "query") for row in asked]
    assert 0 < found["latency_p50_ms"] <= found["latency_p95_ms"] <= found["latency_p99_ms"]
    for stage in ("tokenise", "encode", "search"):
        assert found[f"latency_{stage}_ms"] >= 0


def test_latency_of_a_search_has_no_candidates():
    retriever = Retriever()
    ranked(retriever, latency=1)
    assert retriever.ranked == [(["a"], None, 5)] * 2
