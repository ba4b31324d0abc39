"""The layout of postings, by hand, and weights as integers."""

import numpy as np
import pytest
from scipy import sparse

from harness.retrieval import postings as layout
from harness.retrieval.postings import Postings, Rows


def rows(values):
    return sparse.csr_array(np.array(values, np.float32))


def test_by_token_then_block_then_document(monkeypatch):
    monkeypatch.setattr(layout, "BLOCK", 2)
    values = [[0, 5, 0, 1], [0, 0, 0, 2], [0, 6, 0, 3], [0, 0, 0, 0], [0, 7, 0, 0]]
    postings = Postings.of(rows(values), "float32")
    assert postings.tokens.tolist() == [1, 3]
    assert postings.offsets.tolist() == [0, 1, 2, 3, 5, 6, 6]
    assert postings.places.tolist() == [0, 0, 0, 0, 1, 0]
    assert postings.weights.tolist() == [5, 6, 7, 1, 2, 3]
    assert postings.scales.tolist() == []
    assert (postings.block, postings.documents, postings.vocabulary) == (2, 5, 4)
    assert postings.largest == 7
    assert postings.document_frequency.tolist() == [0, 3, 0, 3]


def test_the_types_that_a_posting_takes():
    for kind, size in (("float32", 6), ("uint16", 4), ("uint8", 3)):
        postings = Postings.of(rows([[1, 2], [3, 0]]), kind)
        assert postings.places.nbytes + postings.weights.nbytes == 3 * size
        assert postings.offsets.dtype == np.uint32
        scales = 0 if kind == "float32" else 2 * 4
        assert postings.nbytes == 3 * size + 2 * 4 + 3 * 4 + scales


def test_integers_are_steps_of_the_largest_weight():
    values = [[510.0, 0.51], [2.9, 0.0], [3.1, 0.2]]
    postings = Postings.of(rows(values), "uint8")
    assert postings.weights.dtype == np.uint8
    np.testing.assert_allclose(postings.scales, [2.0, 0.002], rtol=1e-6)
    assert postings.weights.tolist() == [255, 1, 2, 255, 100]


def test_signed_integers_where_a_weight_is_negative():
    for kind, signed, steps in (("uint8", np.int8, 127), ("uint16", np.int16, 32767)):
        postings = Postings.of(rows([[-1.0, 1.0], [0.5, 0.0]]), kind)
        assert postings.weights.dtype == signed
        assert postings.weights.tolist() == [-steps, round(steps / 2), steps]


@pytest.mark.parametrize("weight", [1e-12, -1e-12, 1e-44])
def test_a_weight_that_is_not_zero_keeps_a_step(weight):
    postings = Postings.of(rows([[weight], [abs(weight) * 1e4]]), "uint8")
    assert postings.weights.tolist()[0] == np.sign(weight)


@pytest.mark.parametrize(("kind", "signed"), [("uint8", 127), ("uint16", 32767)])
@pytest.mark.parametrize("negative", [False, True])
def test_an_integer_is_at_most_half_a_step_off(kind, signed, negative):
    rng = np.random.default_rng(0)
    values = rng.lognormal(size=(2000, 3)).astype(np.float32)
    if negative:
        values *= rng.choice([-1, 1], values.shape)
    postings = Postings.of(rows(values), kind)
    kept = postings.weights.reshape(3, -1).T * postings.scales
    steps = signed if negative else 2 * signed + 1
    step = np.abs(values).max(axis=0) / steps
    off = np.abs(kept - values)
    assert (
        off[np.abs(values) > step]
        <= 0.5001 * np.broadcast_to(step, off.shape)[np.abs(values) > step]
    ).all()
    assert (off <= step).all()
    np.testing.assert_allclose(np.abs(kept).max(axis=0), np.abs(values).max(axis=0), rtol=1e-6)


def test_rows_are_not_copied_where_their_types_are_right():
    matrix = rows([[1, 0], [0, 2]])
    read = Rows.of(matrix)
    assert np.shares_memory(read.tokens, matrix.indices)
    assert np.shares_memory(read.weights, matrix.data)
    matrix.indices, matrix.data = matrix.indices.astype(np.int64), matrix.data.astype(np.float64)
    read = Rows.of(matrix)
    assert [array.dtype for array in read] == [np.int64, np.int32, np.float32]


VALUES = [[0, 5, 0, 1], [0, 0, 0, -2], [0, 6, 0, 3], [0, 0, 0, 0], [0, 7, 0, 0]]


@pytest.mark.parametrize("at_once", [1, 2, 100])
@pytest.mark.parametrize("kind", ["float32", "uint8"])
def test_rows_of_documents_from_their_postings(monkeypatch, at_once, kind):
    monkeypatch.setattr(layout, "BLOCK", 2)
    monkeypatch.setattr(layout, "_AT_ONCE", at_once)
    postings = Postings.of(rows(VALUES), kind)
    wanted = np.array([4, 2, 3, 0, 2, 1])
    found = postings.rows(wanted)
    assert found.dtype == np.float32
    assert found.has_sorted_indices
    steps = {"float32": 0.0, "uint8": 7 / 127}[kind]
    np.testing.assert_allclose(found.toarray(), np.array(VALUES)[wanted], atol=steps / 2, rtol=0)
    assert np.diff(found.indptr).tolist() == [1, 2, 0, 2, 2, 1]
    assert postings.rows(np.array([], np.int64)).shape == (0, 4)


def test_rows_of_an_index_without_postings():
    assert Postings.of(rows([[0, 0], [0, 0]]), "float32").rows(np.array([1])).nnz == 0
