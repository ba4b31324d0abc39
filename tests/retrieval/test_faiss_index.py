"""FAISS' engines against dense search."""

import sys

import faiss
import numpy as np
import pytest
import torch

from harness.config import DenseConfig, FaissHnswConfig, FaissIvfConfig, build
from harness.embedding.ragged import Ragged
from harness.errors import BadInputError
from harness.retrieval.dense import DenseRetriever

COSINE = {"similarity": "cosine"}
ALL = {  # settings with which nothing is missed
    "hnsw": lambda **more: FaissHnswConfig(**{**COSINE, "m": 32, "ef_search": 1000, **more}),
    "ivf": lambda **more: FaissIvfConfig(**{**COSINE, "nlist": 9, "nprobe": 9, **more}),
}
engines = pytest.mark.parametrize("engine", ALL)


@pytest.fixture
def indexed(dependencies, fake_texts):
    def make(config, documents, *, normalize=False, name="mode"):
        needs = dependencies(normalize=normalize, name=name)
        retriever = build(config, dependencies=needs)
        retriever.index(fake_texts(embeddings=documents))
        return retriever

    return make


@pytest.fixture
def exact(dependencies, fake_texts):
    def search(documents, queries, k, *, similarity="cosine", normalize=False):
        dense = DenseRetriever(
            DenseConfig(similarity=similarity), dependencies=dependencies(normalize=normalize)
        )
        dense.index(fake_texts(embeddings=documents))
        return dense.search(fake_texts(embeddings=queries), k)

    return search


@pytest.fixture(scope="module")
def vectors():
    """Documents of different lengths, and queries."""
    rng = np.random.default_rng(0)
    documents = rng.standard_normal((300, 24)) * rng.lognormal(0, 0.3, (300, 1))
    return documents.astype(np.float32), rng.standard_normal((11, 24)).astype(np.float32)


@engines
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("k", [1, 20, 1000])
def test_equals_exact_search_where_nothing_is_missed(
    indexed, exact, fake_texts, vectors, engine, similarity, normalize, k
):
    documents, queries = vectors
    retriever = indexed(ALL[engine](similarity=similarity), documents, normalize=normalize)
    found = retriever.search(fake_texts(embeddings=queries), k)
    expected = exact(documents, queries, k, similarity=similarity, normalize=normalize)
    assert found.documents.tolist() == expected.documents.tolist()
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5, atol=1e-5)


@engines
def test_equal_documents_stand_by_row(indexed, fake_texts, vectors, engine):
    documents = vectors[0].copy()
    documents[[7, 150, 299]] = documents[3]
    retriever = indexed(ALL[engine](), documents)
    found = retriever.search(fake_texts(embeddings=documents[3:4]), 4)
    assert found.documents.tolist() == [[3, 7, 150, 299]]
    assert len(set(found.scores[0].tolist())) == 1


FEW = {
    "hnsw": FaissHnswConfig(**COSINE, m=2, ef_construction=2, ef_search=1),
    "ivf": FaissIvfConfig(**COSINE, nlist=30, nprobe=1),
}


@engines
@pytest.mark.parametrize(("searched", "measured"), [(20, 20), (200, 100)])
def test_recall_is_that_of_the_last_search(
    indexed, exact, fake_texts, vectors, engine, searched, measured
):
    documents, queries = vectors
    retriever = indexed(FEW[engine], documents)
    texts = fake_texts(embeddings=queries)
    found = retriever.search(texts, searched).documents.tolist()
    best = exact(documents, queries, measured).documents.tolist()
    shares = [len(set(a) & set(b)) / measured for a, b in zip(found, best, strict=True)]
    assert retriever.work(texts).recall == pytest.approx(np.mean(shares))
    assert np.mean(shares) < 1


@engines
def test_recall_of_everything(indexed, fake_texts, vectors, engine):
    documents, queries = vectors
    work = indexed(ALL[engine](), documents[:40]).work(fake_texts(embeddings=queries))
    assert work.recall == 1


def test_distances_to_all_centroids_and_all_documents(indexed, fake_texts, vectors):
    """Every list is read, and what was found is scored again."""
    documents, queries = vectors
    texts = fake_texts(embeddings=queries)
    retriever = indexed(ALL["ivf"](), documents)
    retriever.search(texts, 20)
    assert retriever.work(texts).scoring_flops == 2 * 24 * (9 + 300 + 20)


def test_distances_in_the_graph(indexed, fake_texts, vectors):
    documents, queries = vectors
    texts = fake_texts(embeddings=queries)
    retriever = indexed(ALL["hnsw"](ef_search=30), documents)
    faiss.cvar.hnsw_stats.reset()
    retriever.search(texts, 20)
    computed = faiss.cvar.hnsw_stats.ndis
    assert 30 * 11 < computed < 300 * 11
    work = retriever.work(texts)
    assert work.scoring_flops == pytest.approx(2 * 24 * (computed / 11 + 20))


@engines
def test_work(indexed, fake_texts, vectors, engine):
    documents, queries = vectors
    retriever = indexed(ALL[engine](), documents)
    work = retriever.work(fake_texts(embeddings=queries))
    saved = len(faiss.serialize_index(retriever._index))
    assert saved - 1000 < work.index_bytes <= saved
    assert (work.encodes_documents, work.encodes_queries) == (True, True)
    assert (work.head_reads_documents, work.head_reads_queries) == (False, False)
    assert work.splade_flops is None


@engines
def test_candidates_are_ranked_exactly(indexed, dependencies, fake_texts, vectors, pairs, engine):
    documents, queries = vectors
    candidates = Ragged.from_rows([[4, 2], [], [3, 150, 299]] + [[9]] * 8)
    dense = DenseRetriever(DenseConfig(similarity="cosine"), dependencies=dependencies())
    dense.index(fake_texts(embeddings=documents))
    retriever = indexed(FEW[engine], documents)
    texts = fake_texts(embeddings=queries)
    found, expected = (one.rerank(texts, candidates, 2) for one in (retriever, dense))
    assert pairs(found) == pairs(expected)
    work = retriever.work(texts, candidates)
    assert work.scoring_flops == pytest.approx(2 * 24 * 13 / 11)
    assert work.recall is None


@engines
def test_the_same_each_time_whatever_the_threads(indexed, vectors, engine):
    before = torch.get_num_threads()
    saved = []
    for threads in (1, 2, 1):
        torch.set_num_threads(threads)
        retriever = indexed(ALL[engine](), vectors[0])
        saved.append(faiss.serialize_index(retriever._index).tobytes())
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    other = indexed(ALL[engine](seed=1), vectors[0])
    assert saved[0] == saved[1] == saved[2] != faiss.serialize_index(other._index).tobytes()


@engines
@pytest.mark.parametrize(("count", "k"), [(1, 5), (2, 1), (5, 100)])
def test_a_small_corpus(indexed, fake_texts, pairs, engine, count, k):
    config = {"hnsw": FaissHnswConfig, "ivf": FaissIvfConfig}[engine](similarity="dot")
    documents = np.eye(8)[:count] * 3
    found = indexed(config, documents).search(fake_texts(embeddings=np.eye(8)[:1]), k)
    assert pairs(found) == [[(0, 3.0), *((row, 0.0) for row in range(1, count))][:k]]


@engines
def test_no_documents(indexed, fake_texts, engine):
    retriever = indexed(ALL[engine](), np.zeros((0, 0)))
    queries = fake_texts(embeddings=np.ones((3, 2)))
    assert retriever.search(queries, 10).documents.shape == (3, 0)
    work = retriever.work(queries)
    assert (work.scoring_flops, work.index_bytes, work.recall) == (0, 0, None)


@engines
def test_no_queries(indexed, fake_texts, vectors, engine):
    retriever, none = indexed(ALL[engine](), vectors[0]), fake_texts(embeddings=np.zeros((0, 24)))
    assert retriever.search(none, 3).documents.shape == (0, 3)
    assert retriever.work(none).recall is None


@engines
def test_a_nan_is_refused(indexed, fake_texts, engine):
    documents = np.ones((4, 2))
    retriever = indexed(ALL[engine](), documents)
    with pytest.raises(BadInputError, match=r"retrieval\.mode: an embedding is NaN"):
        retriever.search(fake_texts(embeddings=[[np.nan, 1]]), 2)
    documents[2, 1] = np.nan
    with pytest.raises(BadInputError, match=r"retrieval\.mode: an embedding is NaN"):
        indexed(ALL[engine](), documents)


@engines
def test_what_a_query_needs(indexed, fake_texts, engine):
    retriever, queries = indexed(ALL[engine](), np.ones((4, 2))), fake_texts(embeddings=[[1, 0]])
    retriever.tokenise(queries)
    assert queries.asked == ["prompts"]
    retriever.encode(queries)
    assert queries.asked == ["prompts", "embeddings"]


@engines
def test_without_faiss(monkeypatch, dependencies, engine):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(BadInputError, match=r"retrieval\.near: .*pip install faiss-cpu"):
        build(ALL[engine](), dependencies=dependencies(name="near"))
