"""Dense retrieval: similarities, reranking and counts."""

import numpy as np
import pytest

from harness.config import DenseConfig
from harness.embedding.ragged import Ragged
from harness.errors import BadInputError
from harness.retrieval.dense import DenseRetriever


@pytest.fixture
def dense(dependencies, fake_texts):
    def make(documents, *, similarity="cosine", normalize=False, published=None):
        retriever = DenseRetriever(
            DenseConfig(similarity=similarity),
            dependencies=dependencies(normalize=normalize, similarity=published),
        )
        retriever.index(fake_texts(embeddings=documents))
        return retriever

    return make


DOCUMENTS = [[3, 4], [0, 2], [0, 0], [-5, 0], [6, 8]]


@pytest.mark.parametrize(
    ("similarity", "normalize", "expected"),
    [
        ("cosine", False, [(1, 1), (0, 0.8), (4, 0.8), (2, 0), (3, 0)]),
        ("cosine", True, [(1, 1), (0, 0.8), (4, 0.8), (2, 0), (3, 0)]),
        ("dot", False, [(4, 80), (0, 40), (1, 20), (2, 0), (3, 0)]),
        ("dot", True, [(1, 1), (0, 0.8), (4, 0.8), (2, 0), (3, 0)]),
    ],
)
def test_similarity(dense, fake_texts, pairs, similarity, normalize, expected):
    retriever = dense(DOCUMENTS, similarity=similarity, normalize=normalize)
    (found,) = pairs(retriever.search(fake_texts(embeddings=[[0, 10]]), 10))
    assert [document for document, _ in found] == [document for document, _ in expected]
    np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], rtol=1e-6)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("published", ["cosine", "dot"])
def test_auto_is_the_models_own_similarity(dense, fake_texts, pairs, published, normalize):
    queries = fake_texts(embeddings=[[0, 10], [1, 1]])
    found, expected = (
        dense(DOCUMENTS, normalize=normalize, **similarity).search(queries, 10)
        for similarity in (
            {"similarity": "auto", "published": published},
            {"similarity": published},
        )
    )
    assert pairs(found) == pairs(expected)
    assert (found.scores.max() > 2) == (published == "dot" and not normalize)


def test_cosine_equals_a_brute_force_oracle(dense, fake_texts):
    rng = np.random.default_rng(9)
    documents = rng.standard_normal((200, 33)) * rng.lognormal(0, 4, (200, 1))
    queries = rng.standard_normal((9, 33)) * 1e6
    found = dense(documents).search(fake_texts(embeddings=queries), 30)
    norms = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(documents, axis=1)
    cosine = queries @ documents.T / norms
    np.testing.assert_allclose(found.scores, -np.sort(-cosine, axis=1)[:, :30], atol=1e-6)
    of_found = np.take_along_axis(cosine, found.documents.astype(np.int64), axis=1)
    np.testing.assert_allclose(found.scores, of_found, atol=1e-6)


def test_no_documents(dense, fake_texts):
    found = dense(np.zeros((0, 0))).search(fake_texts(embeddings=np.ones((3, 2))), 10)
    assert found.documents.shape == (3, 0)


def test_no_queries(dense, fake_texts):
    found = dense(DOCUMENTS).search(fake_texts(embeddings=np.zeros((0, 0))), 3)
    assert found.documents.shape == (0, 3)


def test_one_document(dense, fake_texts, pairs):
    found = dense([[2, 0]]).search(fake_texts(embeddings=[[-1, 0], [1, 0]]), 1000)
    assert pairs(found) == [[(0, -1.0)], [(0, 1.0)]]


def test_a_nan_is_refused(dense, fake_texts):
    with pytest.raises(BadInputError, match="NaN"):
        dense(DOCUMENTS).search(fake_texts(embeddings=[[np.nan, 1]]), 2)


def test_what_a_query_needs(dense, fake_texts):
    retriever, queries = dense(DOCUMENTS), fake_texts(embeddings=[[1, 0]])
    retriever.tokenise(queries)
    assert queries.asked == ["prompts"]
    retriever.encode(queries)
    assert queries.asked == ["prompts", "embeddings"]


def test_work(dense, fake_texts):
    work = dense(DOCUMENTS).work(fake_texts(embeddings=[[1, 0]]))
    assert work.scoring_flops == 2 * 2 * 5
    assert work.index_bytes == 5 * 2 * 4
    assert (work.encodes_documents, work.encodes_queries) == (True, True)
    assert (work.head_reads_documents, work.head_reads_queries) == (False, False)
    assert work.splade_flops is None


def test_work_on_candidates(dense, fake_texts):
    """Two dimensions of one candidate, and of three."""
    candidates = Ragged.from_rows([[4], [0, 1, 2]])
    work = dense(DOCUMENTS).work(fake_texts(embeddings=[[1, 0], [0, 1]]), candidates)
    assert work.scoring_flops == 2 * 2 * 2


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_reranking_equals_searching(dense, fake_texts, pairs, similarity):
    rng = np.random.default_rng(4)
    documents = rng.standard_normal((40, 33)) * rng.lognormal(0, 1, (40, 1))
    retriever = dense(documents, similarity=similarity)
    queries = fake_texts(embeddings=rng.standard_normal((6, 33)))
    searched = [dict(query) for query in pairs(retriever.search(queries, 40))]
    candidates = [rng.permutation(40)[:count].tolist() for count in (1, 40, 0, 7, 2, 15)]
    found = pairs(retriever.rerank(queries, Ragged.from_rows(candidates), 40))
    for query, (own, ranked) in enumerate(zip(candidates, found, strict=True)):
        assert sorted(document for document, _ in ranked) == sorted(own)
        scores = [score for _, score in ranked]
        assert scores == sorted(scores, reverse=True)
        expected = [searched[query][document] for document, _ in ranked]
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("normalize", "expected"),
    [(True, [[0.6, 0.8], [0, 0]]), (False, [[3, 4], [0, 0]])],
)
def test_vectors_are_normalised_where_the_model_does(dense, fake_texts, normalize, expected):
    retriever = dense(DOCUMENTS, normalize=normalize)
    retriever.prepare(fake_texts(embeddings=[[1, 0]]))
    vectors = retriever.vectors(fake_texts(embeddings=[[3, 4], [0, 0]]))
    np.testing.assert_allclose(vectors, expected, rtol=1e-6)
