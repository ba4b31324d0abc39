"""Seismic's engine against the exact inverted index."""

import sys

import numpy as np
import pytest

from harness.config import AlignedSparseConfig, SeismicConfig, build
from harness.embedding.ragged import Ragged
from harness.errors import BadInputError

EXHAUSTIVE = {"query_cut": 60, "heap_factor": 1e-6, "summary_energy": 1.0}


class Collection:
    """Given logits of tokens, and texts of their words."""

    def __init__(self, matrix, documents, queries, *, document_tokens, query_tokens):
        self.matrix, self.documents, self.queries = matrix, documents, queries
        self.document_tokens, self.query_tokens = document_tokens, query_tokens


@pytest.fixture(scope="module")
def data():
    """400 documents: two are equal, one has no weights; a query has no words."""
    rng = np.random.default_rng(0)
    documents = rng.standard_normal((400, 8))
    documents[5], documents[6] = documents[2], 0
    query_tokens = [rng.integers(1, 60, 4).tolist() for _ in range(9)]
    query_tokens[3] = []
    return Collection(
        rng.standard_normal((60, 8)),
        documents,
        rng.standard_normal((9, 8)),
        document_tokens=[rng.integers(1, 60, 6).tolist() for _ in documents],
        query_tokens=query_tokens,
    )


@pytest.fixture
def indexed(dependencies, fake_head, fake_texts):
    def make(config, data):
        head, words = fake_head(data.matrix), [f"word{token}" for token in range(len(data.matrix))]
        retriever = build(config, dependencies=dependencies(head=head, words=words, name="near"))
        retriever.index(fake_texts(embeddings=data.documents, tokens=data.document_tokens))
        return retriever

    return make


@pytest.fixture
def queries(fake_texts, data):
    return lambda: fake_texts(embeddings=data.queries, tokens=data.query_tokens)


SETTINGS = [
    {"doc_top_k": 10},
    {"doc_top_k": 60, "query_expansion": 5, "query_weight": "score"},
    {"doc_top_k": 10, "doc_weight": "relu", "doc_norm": "none", "query_weight": "binary"},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_equals_exact_search_where_nothing_is_missed(indexed, queries, data, pairs, settings):
    seismic = indexed(SeismicConfig(**settings, **EXHAUSTIVE), data)
    exact = indexed(AlignedSparseConfig(**settings), data)
    found = seismic.search(queries(), 1000)
    assert pairs(found) == pairs(exact.search(queries(), 1000))
    assert found.documents.shape == (9, 400)


def test_what_is_found_has_its_exact_score_and_place(indexed, queries, data, pairs):
    seismic = indexed(SeismicConfig(doc_top_k=20, query_cut=1), data)
    exact = indexed(AlignedSparseConfig(doc_top_k=20), data)
    few, everything = pairs(seismic.search(queries(), 30)), pairs(exact.search(queries(), 400))
    for found, best in zip(few, everything, strict=True):
        assert found == [pair for pair in best if pair in found]
    assert [len(found) for found in few] == [30, 30, 30, 0, 30, 30, 30, 30, 30]


def test_recall_is_that_of_the_last_search(indexed, queries, data, pairs):
    settings = {"doc_top_k": 20, "query_expansion": 5}
    seismic = indexed(SeismicConfig(**settings, query_cut=1, heap_factor=1.0), data)
    exact = indexed(AlignedSparseConfig(**settings), data)
    for k, depth in ((200, 100), (30, 30)):
        texts = queries()
        found, best = pairs(seismic.search(texts, k)), pairs(exact.search(texts, depth))
        shares = [
            sum(pair in own for pair in wanted) / len(wanted)
            for own, wanted in zip(found, best, strict=True)
        ]
        assert seismic.work(texts).recall == pytest.approx(np.mean(shares))
        assert np.mean(shares) < 1


def test_work(indexed, queries, data):
    seismic = indexed(SeismicConfig(doc_top_k=10, **EXHAUSTIVE), data)
    exact = indexed(AlignedSparseConfig(doc_top_k=10), data)
    work, known = seismic.work(queries()), exact.work(queries())
    assert work.recall == 1
    assert work.scoring_flops is None
    assert work.index_bytes > known.index_bytes + 400 * 10 * 4  # two bytes a token, two a weight
    assert work.splade_flops == known.splade_flops
    assert (work.head_reads_documents, work.encodes_queries) == (True, False)


def test_candidates_are_ranked_exactly(indexed, queries, data, pairs):
    candidates = Ragged.from_rows([[4, 2], [], [5, 2, 6]] + [[9]] * 6)
    seismic = indexed(SeismicConfig(query_cut=1), data)
    exact = indexed(AlignedSparseConfig(), data)
    found, expected = (one.rerank(queries(), candidates, 2) for one in (seismic, exact))
    assert pairs(found) == pairs(expected)
    work = seismic.work(queries(), candidates)
    assert work.scoring_flops == exact.work(queries(), candidates).scoring_flops
    assert work.recall is None


@pytest.mark.parametrize("doc_weight", ["log1p", "binary"])
def test_the_same_each_time(indexed, queries, data, pairs, doc_weight):
    config = SeismicConfig(doc_top_k=20, doc_weight=doc_weight, query_cut=2, n_postings=50)
    first, second = (pairs(indexed(config, data).search(queries(), 20)) for _ in range(2))
    assert first == second


def test_nothing_is_printed(indexed, queries, data, capfd):
    seismic = indexed(SeismicConfig(doc_top_k=10), data)
    seismic.search(queries(), 5)
    seismic.work(queries())
    print("kept")
    assert capfd.readouterr().out == "kept\n"


def test_a_large_vocabulary(indexed, fake_texts, pairs):
    matrix = np.zeros((70_000, 2))
    matrix[69_999, 0] = matrix[3, 1] = 1
    documents = np.array([[2, 0], [0, 1], [1, 1]])
    data = Collection(matrix, documents, None, document_tokens=[[]] * 3, query_tokens=None)
    seismic = indexed(SeismicConfig(doc_top_k=2, query_weight="binary", doc_norm="none"), data)
    texts = fake_texts(embeddings=np.zeros((1, 2)), tokens=[[69_999]])
    (found,) = pairs(seismic.search(texts, 3))
    assert found == [(0, pytest.approx(np.log1p(2))), (2, pytest.approx(np.log1p(1)))]


def test_nothing_to_index(indexed, fake_texts):
    matrix, documents = np.ones((60, 2)), np.zeros((4, 2))
    data = Collection(matrix, documents, None, document_tokens=[[]] * 4, query_tokens=None)
    seismic = indexed(SeismicConfig(), data)
    texts = fake_texts(embeddings=np.zeros((1, 2)), tokens=[[1, 2]])
    assert seismic.search(texts, 3).documents.tolist() == [[-1, -1, -1]]
    assert seismic.work(texts).recall == 1


def test_without_seismic(monkeypatch, dependencies):
    monkeypatch.setitem(sys.modules, "seismic", None)
    with pytest.raises(BadInputError, match=r"retrieval\.near: .*pip install pyseismic-lsr"):
        build(SeismicConfig(), dependencies=dependencies(name="near"))
