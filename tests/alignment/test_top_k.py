"""The largest of each row, against a sort of all."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.alignment import top_k as module
from harness.alignment.top_k import largest, top_k

NAN, INF = float("nan"), float("inf")


def brute(logits, k):
    """Columns by descending logit, equal ones by ascending column; -inf is none, NaN the first."""
    ids = np.full((len(logits), k), -1)
    values = np.zeros((len(logits), k), np.float32)
    for row, own in enumerate(logits.tolist()):
        order = sorted(
            range(len(own)), key=lambda column: (own[column] == own[column], -own[column])
        )
        order = [column for column in order if own[column] != -INF][:k]
        ids[row, : len(order)], values[row, : len(order)] = order, [own[c] for c in order]
    return ids, values


def on_device(logits, k):
    places, values = module._on_device(torch.from_numpy(logits), k)
    return largest(*np.divmod(places, logits.shape[1]), values, len(logits), k)


WAYS = [lambda logits, k: top_k(torch.from_numpy(logits), k), on_device]


@pytest.mark.parametrize("way", WAYS, ids=["host", "device"])
@given(data=st.data())
def test_equals_a_sort(way, data):
    """Few different values, so that ties across the k-th place are frequent; some not finite."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    rows, width = data.draw(st.tuples(st.integers(1, 8), st.integers(1, 60)))
    k = data.draw(st.integers(1, width))
    logits = rng.integers(-3, 4, (rows, width)).astype(np.float32) / 2
    for value, share in ((-INF, 0.3), (INF, 0.05), (NAN, 0.05), (-0.0, 0.1)):
        if data.draw(st.booleans()):
            logits[rng.random(logits.shape) < share] = value
    ids, values = way(logits, k)
    expected = brute(logits, k)
    np.testing.assert_array_equal(ids, expected[0])
    np.testing.assert_array_equal(values, expected[1])
    assert (ids.dtype, values.dtype) == (np.int32, np.float32)


@pytest.mark.parametrize("way", WAYS, ids=["host", "device"])
def test_many_columns(way):
    logits = np.random.default_rng(0).standard_normal((20, 5000)).astype(np.float32)
    ids, values = way(logits, 30)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :30]
    np.testing.assert_array_equal(ids, order)
    np.testing.assert_array_equal(values, np.take_along_axis(logits, order, axis=1))


def test_few_are_sorted(monkeypatch):
    """Of 100,000 logits little more than the 64 that are wanted."""
    sorted_ones = []

    def record(rows, columns, values, count, k):
        sorted_ones.append(len(values))
        return largest(rows, columns, values, count, k)

    monkeypatch.setattr(module, "largest", record)
    logits = np.random.default_rng(1).standard_normal((5, 20_000)).astype(np.float32)
    top_k(torch.from_numpy(logits), 64)
    assert 5 * 64 <= sorted_ones[0] < 5 * 64 * 1.3


def test_a_negative_nan_is_above_all_too():
    logits = np.array([[1, 2, np.copysign(NAN, -1)]], np.float32)
    assert np.signbit(logits[0, 2])
    ids, values = top_k(torch.from_numpy(logits), 2)
    assert ids.tolist() == [[2, 1]]
    assert np.isnan(values[0, 0])


def test_largest_by_hand():
    rows = np.array([0, 0, 0, 2, 2])
    columns = np.array([7, 3, 5, 0, 2**31 - 1])
    values = np.array([1, -2, 1, -0.5, 4], np.float32)
    ids, kept = largest(rows, columns, values, 4, 2)
    assert ids.tolist() == [[5, 7], [-1, -1], [2**31 - 1, 0], [-1, -1]]
    assert kept.tolist() == [[1, 1], [0, 0], [4, -0.5], [0, 0]]


def test_no_rows():
    ids, values = top_k(torch.zeros((0, 5)), 2)
    assert ids.shape == values.shape == (0, 2)
