"""Sparse rows against the same rows made dense, in NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.spatial.distance import cdist

from harness.errors import TaskFailedError
from harness.retrieval import vectors as module
from harness.retrieval.vectors import (
    SparseVectors,
    dense_columns,
    paired_similarities,
    similarities,
    used_columns,
    vector_bytes,
    with_small_indices,
)

WEIGHT = st.sampled_from([0.0, 0.0, -2.0, -0.5, 1.0, 3.0])


@st.composite
def two(draw, paired=False):
    """Two arrays of one width, many weights and whole rows of them 0."""
    width, one = draw(st.integers(1, 6)), draw(st.integers(0, 5))
    other = one if paired else draw(st.integers(0, 5))

    def rows(count):
        values = [[draw(WEIGHT) for _ in range(width)] for _ in range(count)]
        return np.array(values, np.float32).reshape(count, width)

    return rows(one), rows(other)


def unit(rows, how):
    if how == "dot":
        return rows.astype(np.float64)
    return rows / np.maximum(np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True), 1e-12)


def vectors_of(rows):
    return SparseVectors(sparse.csr_array(rows))


@pytest.mark.parametrize("how", ["cosine", "dot"])
@given(given=two())
def test_similarities_equal_numpy(given, how):
    one, other = given
    expected = unit(one, how) @ unit(other, how).T
    for found in (
        similarities(one, other, how),
        similarities(vectors_of(one), vectors_of(other), how),
    ):
        assert isinstance(found, np.ndarray)
        assert found.dtype == np.float32
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("how", ["cosine", "dot"])
@given(given=two(paired=True))
def test_paired_similarities_equal_numpy(given, how):
    one, other = given
    expected = (unit(one, how) * unit(other, how)).sum(axis=1)
    for found in (
        paired_similarities(one, other, how),
        paired_similarities(vectors_of(one), vectors_of(other), how),
    ):
        assert isinstance(found, np.ndarray)
        assert found.dtype == np.float32
        assert found.shape == (len(one),)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_single_vectors_are_rows_of_their_own():
    one, others = np.array([3.0, 4.0]), np.array([[0.0, 2.0], [0.0, 0.0], [6.0, 8.0]])
    np.testing.assert_allclose(similarities(one, others, "cosine"), [[0.8, 0, 1]], rtol=1e-6)
    np.testing.assert_allclose(similarities(others, one, "dot"), [[8], [0], [50]], rtol=1e-6)
    assert similarities(one, one, "dot").tolist() == [[25]]


def test_large_weights_do_not_overflow_and_small_ones_do_not_vanish():
    rows = np.array([[3e15, 4e15], [3e-10, 4e-10]], np.float32)
    for made in (rows, vectors_of(rows)):
        np.testing.assert_allclose(similarities(made, made, "cosine"), np.ones((2, 2)), rtol=1e-5)


@given(given=two())
def test_products_of_rows_equal_numpy(given):
    one, other = given
    left, right = np.asarray(vectors_of(one)), np.asarray(vectors_of(other))
    assert left.shape == (len(one),)
    for row, mine in enumerate(one):
        for column, theirs in enumerate(other):
            assert np.dot(left[row], right[column]) == pytest.approx(float(mine @ theirs))


def test_products_of_unsorted_rows():
    rows = sparse.csr_array(
        (np.array([2, 5, 7], np.float32), np.array([3, 0, 2]), np.array([0, 2, 3])), shape=(2, 4)
    )
    first, second = np.asarray(SparseVectors(rows))
    assert (first * first, first * second, second * second) == (29.0, 0.0, 49.0)


@given(given=two())
def test_rows_are_counted_and_sliced_as_dense_ones(given):
    rows, _ = given
    made = vectors_of(rows)
    assert len(made) == len(rows)
    for part in (slice(1, 3), np.arange(len(rows)) % 2 == 0, list(range(len(rows)))[::-1]):
        assert isinstance(made[part], SparseVectors)
        assert len(made[part]) == len(rows[part])
        np.testing.assert_array_equal(made[part].toarray(), rows[part])


@given(given=two())
def test_dense_columns_keep_products_norms_and_distances(given):
    one, other = given
    both = sparse.csr_array(np.vstack([one, other]))
    columns = used_columns(both)
    assert columns.tolist() == np.flatnonzero(both.toarray().any(axis=0)).tolist()
    few, others = (dense_columns(sparse.csr_array(rows), columns) for rows in (one, other))
    assert few.shape == (len(one), len(columns))
    assert few.dtype == np.float32
    np.testing.assert_array_equal(few @ others.T, one @ other.T)
    for metric in ("euclidean", "cityblock") if len(columns) else ():
        np.testing.assert_allclose(cdist(few, others, metric), cdist(one, other, metric))


def test_dense_columns_that_do_not_fit_are_refused(monkeypatch):
    """Three rows of two columns take 24 bytes."""
    rows = sparse.csr_array(np.array([[1, 0, 2], [0, 0, 1], [1, 0, 0]], np.float32))
    columns = used_columns(rows)
    monkeypatch.setattr(module, "_DENSE_BYTES", 24)
    assert dense_columns(rows, columns).tolist() == [[1, 2], [0, 1], [1, 0]]
    monkeypatch.setattr(module, "_DENSE_BYTES", 23)
    with pytest.raises(TaskFailedError) as caught:
        dense_columns(rows, columns)
    message = str(caught.value)
    assert message.startswith("3 sparse vectors over 2 tokens would take 0 GiB")
    assert message.endswith("set a smaller retrieval.aligned_sparse.doc_top_k")
    assert "\n" not in message


def test_indices_are_narrowed_where_they_fit(monkeypatch):
    wide = sparse.csr_array(np.array([[0, 2], [1, 0]], np.float32))
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    narrow = with_small_indices(wide)
    assert narrow.indices.dtype == narrow.indptr.dtype == np.int32
    assert narrow.toarray().tolist() == [[0, 2], [1, 0]]
    empty = sparse.csr_array((2, 2**31), dtype=np.float32)
    assert with_small_indices(empty) is empty


def test_bytes():
    assert vector_bytes(np.zeros((3, 5), np.float32)) == 60
    rows = with_small_indices(sparse.csr_array(np.array([[0, 2], [1, 3]], np.float32)))
    assert vector_bytes(rows) == 3 * 4 + 3 * 4 + 3 * 4  # weights, tokens, offsets
