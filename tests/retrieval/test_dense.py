"""Dense search against a full sort of all scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import DenseConfig
from harness.embedding.ragged import Ragged
from harness.errors import BadInputError
from harness.retrieval import dense as module
from harness.retrieval.dense import DenseRetriever, dense_search


@given(data=st.data())
def test_equals_a_full_sort_with_ties_by_document(pairs, plain_ranking, data):
    # Small integers: products are exact in float32, ties and equal documents are frequent.
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    width, count, asked = data.draw(
        st.tuples(st.integers(1, 4), st.integers(0, 40), st.integers(0, 7))
    )
    k = data.draw(st.integers(1, 50))
    documents = rng.integers(-2, 3, (count, width)).astype(np.float32)
    queries = rng.integers(-2, 3, (asked, width)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_DOCUMENTS", data.draw(st.integers(1, 45)))
        patch.setattr(module, "_QUERIES", data.draw(st.integers(1, 8)))
        found = dense_search(queries, documents, k)
    assert found.documents.shape == (asked, min(k, count))
    expected = [plain_ranking(scores, k) for scores in (queries @ documents.T).tolist()]
    assert pairs(found) == expected


@pytest.mark.parametrize(("documents_at_once", "queries_at_once"), [(64, 7), (100, 256), (1000, 3)])
def test_random_vectors_to_float32_rounding(monkeypatch, documents_at_once, queries_at_once):
    monkeypatch.setattr(module, "_DOCUMENTS", documents_at_once)
    monkeypatch.setattr(module, "_QUERIES", queries_at_once)
    rng = np.random.default_rng(1)
    documents = rng.standard_normal((401, 96)).astype(np.float32)
    queries = rng.standard_normal((15, 96)).astype(np.float32)
    exact = queries.astype(np.float64) @ documents.T.astype(np.float64)
    found = dense_search(queries, documents, 50)
    best = -np.sort(-exact, axis=1)[:, :50]
    np.testing.assert_allclose(found.scores, best, atol=2e-5)
    of_found = np.take_along_axis(exact, found.documents.astype(np.int64), axis=1)
    np.testing.assert_allclose(found.scores, of_found, atol=2e-5)
    assert all(len(set(row)) == 50 for row in found.documents.tolist())


@pytest.mark.parametrize("asked", [1, 3, 44])
@pytest.mark.parametrize(("count", "width"), [(5, 100), (17, 64), (1190, 384), (5183, 384)])
def test_equal_documents_score_the_same_wherever_they_stand(monkeypatch, asked, count, width):
    """A plain matrix product rounds these by position, and would order them by chance."""
    monkeypatch.setattr(module, "_DOCUMENTS", 1000)
    rng = np.random.default_rng(count + asked)
    documents = rng.standard_normal((count, width)).astype(np.float32)
    copies = np.sort(rng.permutation(count)[: max(2, count * 2 // 3)])
    documents[copies] = documents[copies[0]]
    queries = rng.standard_normal((asked, width)).astype(np.float32)
    found = dense_search(queries, documents, count)
    for row, scores in zip(found.documents, found.scores, strict=True):
        places = np.flatnonzero(np.isin(row, copies))
        assert len(set(scores[places].tolist())) == 1
        assert row[places].tolist() == copies.tolist()
        assert (np.diff(places) == 1).all()


def test_equal_documents_across_the_last_rank(monkeypatch):
    monkeypatch.setattr(module, "_DOCUMENTS", 4)
    rng = np.random.default_rng(0)
    vector = rng.standard_normal(100).astype(np.float32)
    documents = np.tile(vector, (11, 1))
    documents[[0, 5]] = -vector
    found = dense_search(vector[None], documents, 6)
    assert found.documents.tolist() == [[1, 2, 3, 4, 6, 7]]


def test_memory_mapped_documents_are_read_without_a_warning(tmp_path, recwarn):
    documents = np.arange(12, dtype=np.float32).reshape(6, 2)
    np.save(tmp_path / "documents.npy", documents)
    mapped = np.load(tmp_path / "documents.npy", mmap_mode="r")
    found = dense_search(np.ones((1, 2), np.float32), mapped, 2)
    assert found.documents.tolist() == [[5, 4]]
    assert found.scores.tolist() == [[21, 17]]
    assert not recwarn.list


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
