"""Dense search against a full sort of all scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.alignment.equal_rows import EqualRows
from harness.embedding.formats import decode, encode
from harness.embedding.mapped_rows import write_rows
from harness.errors import BadInputError
from harness.retrieval import dense_search as module
from harness.retrieval.dense_search import dense_search


@pytest.fixture
def blocks_of(monkeypatch):
    """Sets how many documents of one query are scored at a time."""
    return lambda count: monkeypatch.setattr(module, "_SCORES", count)


@given(data=st.data())
def test_equals_a_full_sort_with_ties_by_document(pairs, plain_ranking, data):
    # Small integers: products are exact in float32, ties and equal documents are frequent.
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    width, count, asked = data.draw(
        st.tuples(st.integers(1, 4), st.integers(0, 120), st.integers(0, 7))
    )
    k = data.draw(st.integers(1, 50))
    documents = rng.integers(-2, 3, (count, width)).astype(np.float32)
    queries = rng.integers(-2, 3, (asked, width)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SCORES", data.draw(st.integers(1, 900)))
        patch.setattr(module, "_QUERIES", data.draw(st.integers(1, 8)))
        found = dense_search(queries, documents, k)
    assert found.documents.shape == (asked, min(k, count))
    expected = [plain_ranking(scores, k) for scores in (queries @ documents.T).tolist()]
    assert pairs(found) == expected


@pytest.mark.parametrize(("documents_at_once", "queries_at_once"), [(64, 7), (100, 256), (1000, 3)])
def test_random_vectors_to_float32_rounding(monkeypatch, documents_at_once, queries_at_once):
    monkeypatch.setattr(module, "_SCORES", documents_at_once * min(queries_at_once, 15))
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
    monkeypatch.setattr(module, "_SCORES", 1000 * asked)
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


def test_equal_documents_across_the_last_rank(blocks_of):
    blocks_of(4)
    rng = np.random.default_rng(0)
    vector = rng.standard_normal(100).astype(np.float32)
    documents = np.tile(vector, (11, 1))
    documents[[0, 5]] = -vector
    found = dense_search(vector[None], documents, 6)
    assert found.documents.tolist() == [[1, 2, 3, 4, 6, 7]]


@pytest.mark.parametrize("size", [1, 7, 16, 100, 1000])
@pytest.mark.parametrize("order", ["ascending", "descending", "equal", "zero"])
def test_the_order_of_the_corpus(blocks_of, pairs, plain_ranking, size, order):
    blocks_of(size)
    ascending = np.arange(1, 101, dtype=np.float32)[:, None]
    documents = {
        "ascending": ascending,
        "descending": -ascending,
        "equal": np.ones_like(ascending),
        "zero": np.where(ascending % 2, np.float32(-0.0), np.float32(0)),
    }[order]
    found = dense_search(np.ones((1, 1), np.float32), documents, 3)
    assert pairs(found) == [plain_ranking(documents[:, 0].tolist(), 3)]


@pytest.mark.parametrize("size", [3, 8, 100])
def test_infinite_scores(blocks_of, pairs, size):
    blocks_of(size)
    largest = np.finfo(np.float32).max
    documents = np.full((40, 1), -largest)
    documents[[5, 31]] = largest
    documents[[2, 38]] = 0
    found = dense_search(np.full((1, 1), 2, np.float32), documents, 6)
    inf = float("inf")
    expected = [(5, inf), (31, inf), (2, 0), (38, 0), (0, -inf), (1, -inf)]
    assert pairs(found) == [expected]


@pytest.mark.parametrize("place", [0, 3, 39])
@pytest.mark.parametrize("size", [1, 8, 40])
def test_a_nan_is_refused_wherever_it_stands(blocks_of, place, size):
    blocks_of(size)
    documents = np.arange(40, 0, -1, dtype=np.float32)[:, None]
    documents[place] = np.nan
    with pytest.raises(BadInputError, match="NaN"):
        dense_search(np.ones((1, 1), np.float32), documents, 2)


def test_memory_mapped_documents_are_read_without_a_warning(tmp_path, recwarn):
    documents = np.arange(12, dtype=np.float32).reshape(6, 2)
    np.save(tmp_path / "documents.npy", documents)
    mapped = np.load(tmp_path / "documents.npy", mmap_mode="r")
    found = dense_search(np.ones((1, 2), np.float32), mapped, 2)
    assert found.documents.tolist() == [[5, 4]]
    assert found.scores.tolist() == [[21, 17]]
    assert not recwarn.list


def test_equal_documents_that_are_known_already():
    documents = np.arange(12, dtype=np.float32).reshape(6, 2)
    ranking = dense_search(documents[:1], documents, 6, equal=EqualRows.of(documents))
    assert ranking.documents.tolist() == [[5, 4, 3, 2, 1, 0]]


@given(data=st.data())
def test_rows_of_a_file_rank_as_those_in_memory(tmp_path_factory, pairs, plain_ranking, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    width, count, asked = data.draw(
        st.tuples(st.integers(1, 4), st.integers(1, 120), st.integers(0, 7))
    )
    k = data.draw(st.integers(1, 50))
    documents = rng.integers(-2, 3, (count, width)).astype(np.float32)
    queries = rng.integers(-2, 3, (asked, width)).astype(np.float32)
    kind = data.draw(st.sampled_from(["float32", "float16", "bfloat16"]))  # exact for these
    mapped = write_rows(tmp_path_factory.mktemp("rows") / "rows", [documents], kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK_BYTES", data.draw(st.integers(1, 500)))
        found = dense_search(queries, mapped, k)
    expected = [plain_ranking(scores, k) for scores in (queries @ documents.T).tolist()]
    assert pairs(found) == expected


@pytest.mark.parametrize("asked", [1, 3, 4, 44, 300])
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "int8"])
def test_rows_of_a_file_score_the_same_bits(tmp_path, monkeypatch, asked, kind):
    monkeypatch.setattr(module, "_BLOCK_BYTES", 100 * 4 * 96)
    rng = np.random.default_rng(asked)
    documents = rng.standard_normal((1190, 96)).astype(np.float32)
    documents[rng.integers(0, 1190, 100)] = documents[3]
    queries = rng.standard_normal((asked, 96)).astype(np.float32)
    mapped = write_rows(tmp_path / "rows", np.split(documents, [7, 500]), kind)
    found = dense_search(queries, mapped, 50)
    expected = dense_search(queries, decode(encode(documents, kind), kind), 50)
    np.testing.assert_array_equal(found.documents, expected.documents)
    np.testing.assert_array_equal(found.scores, expected.scores)
