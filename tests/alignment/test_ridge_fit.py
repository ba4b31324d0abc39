"""Sums for a ridge regression: by hand, by shards, and what is solved from them."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from harness.alignment import ridge_fit as module
from harness.alignment.head import normalise
from harness.alignment.ridge_fit import RidgeSums, design

PARTS = ("gram", "moments", "energy", "documents", "nonzeros")


def problem(seed, count=50, width=6, size=30):
    rng = np.random.default_rng(seed)
    x = normalise(rng.standard_normal((count, width)).astype(np.float32))
    y = rng.random((count, size)) * (rng.random((count, size)) < 0.2)
    return x, sparse.csr_array(y.astype(np.float32))


def assert_close(found, expected, tolerance):
    """Equal to a share of the largest entry."""
    scale = np.abs(expected).max(initial=0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale + 1e-300)


def test_by_hand():
    x = np.array([[1, 2], [3, 0]], np.float32)
    sums = RidgeSums.of(x, sparse.csr_array(np.array([[0, 5, 0], [7, 1, 0]], np.float32)))
    assert sums.gram.tolist() == [[10, 2, 4], [2, 4, 2], [4, 2, 2]]
    assert sums.moments.tolist() == [[21, 0, 7], [8, 10, 6], [0, 0, 0]]
    assert (sums.energy, sums.documents, sums.nonzeros) == (75, 2, 3)
    assert design(x).tolist() == [[1, 2, 1], [3, 0, 1]]
    # (XᵀX + λI) W = XᵀY with λ = 1.
    weights = np.linalg.solve([[11, 2, 4], [2, 5, 2], [4, 2, 3]], [[21, 8], [0, 10], [7, 6]])
    found = sums.weights(1.0)
    np.testing.assert_allclose(found, np.hstack([weights, np.zeros((3, 1))]), rtol=1e-6)
    assert sums.gram.tolist() == [[10, 2, 4], [2, 4, 2], [4, 2, 2]]  # λ is not added to the sums


def test_sums_are_exact_where_float32_is_not():
    value = 4097.0  # its square needs 25 bits
    sums = RidgeSums.of(
        np.array([[value]], np.float32), sparse.csr_array(np.array([[value]], np.float32))
    )
    assert sums.gram[0, 0] == sums.moments[0, 0] == sums.energy == value**2
    assert np.float32(value) ** 2 != value**2


@settings(max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 50),
    cuts=st.lists(st.integers(0, 50), max_size=5),
    block=st.sampled_from([1, 7, 8192]),
    order=st.randoms(use_true_random=False),
)
def test_shards_in_any_order_are_the_whole(seed, count, cuts, block, order):
    x, y = problem(seed, count)
    whole = RidgeSums.of(x, y)
    ends = [0, *sorted(min(cut, count) for cut in cuts), count]
    spans = [slice(start, end) for start, end in itertools.pairwise(ends)]
    order.shuffle(spans)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        shards = [RidgeSums.of(x[span], y[span]) for span in spans]
    added = shards[0]
    for shard in shards[1:]:
        added = added + shard
    for part in PARTS:
        assert_close(getattr(added, part), getattr(whole, part), 1e-9)
    assert (added.documents, added.nonzeros) == (count, y.nnz)
    for regularisation in (0.1, 10.0):
        assert_close(added.weights(regularisation), whole.weights(regularisation), 1e-6)


@pytest.mark.parametrize("regularisation", [0.01, 0.1, 1.0, 100.0])
@pytest.mark.parametrize("count", [4, 50])  # fewer documents than columns, and more
def test_weights_of_added_shards(count, regularisation):
    from sklearn.linear_model import Ridge

    x, y = problem(3, count)
    sums = RidgeSums.of(x[:3], y[:3]) + RidgeSums.of(x[3:], y[3:])
    own = np.hstack([x, np.ones((count, 1))]).astype(np.float64)
    dense = y.toarray().astype(np.float64)
    direct = np.linalg.solve(own.T @ own + regularisation * np.eye(7), own.T @ dense)
    fitted = Ridge(alpha=regularisation, fit_intercept=False, solver="svd").fit(own, dense)
    found = sums.weights(regularisation)
    assert found.shape == (7, 30)
    assert found.dtype == np.float32
    assert_close(found, direct, 1e-7)
    assert_close(found, fitted.coef_.T, 1e-7)


def test_the_constant_column_is_regularised_like_the_others():
    sums = RidgeSums.of(np.zeros((3, 1), np.float32), sparse.csr_array(np.ones((3, 1), np.float32)))
    np.testing.assert_allclose(sums.weights(1.0), [[0], [3 / 4]], rtol=1e-6)


@pytest.mark.parametrize("count", [0, 3, 50])
def test_spectrum(count):
    x, y = problem(7, count)
    sums = RidgeSums.of(x, y)
    values, vectors = sums.spectrum
    assert (values >= 0).all()
    assert (values > 1e-9).sum() == min(count, 7)
    np.testing.assert_allclose(vectors * values @ vectors.T, sums.gram, atol=1e-12)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(7), atol=1e-12)
    assert sums.spectrum[1] is vectors  # decomposed once
    again = sums + sums
    np.testing.assert_allclose(again.spectrum[0], 2 * values, atol=1e-12)  # and anew for new sums
