"""Aligned tokens against a sort of all logits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from harness.alignment import aligned_tokens as module
from harness.alignment.aligned_tokens import aligned_tokens, logits_at
from harness.alignment.top_k import top_k
from harness.embedding.ragged import Ragged


def brute(logits, k, allowed, literal=None):
    """The k allowed columns of each row by descending logit, then ascending column."""
    ids = np.full((len(logits), min(k, logits.shape[1])), -1)
    weights = np.zeros(ids.shape)
    for row, values in enumerate(logits):
        usable = allowed if literal is None else allowed & (literal[row] > 0)
        columns = sorted(np.flatnonzero(usable), key=lambda column: (-values[column], column))
        for place, column in enumerate(columns[: ids.shape[1]]):
            ids[row, place], weights[row, place] = column, values[column]
    return ids, weights


def everything(size):
    return np.ones(size, np.bool_)


@given(data=st.data())
def test_equals_a_sort_of_all_logits_with_ties_by_token_id(matrix_head, data):
    # Small integers: products are exact in float32, ties are frequent.
    seed = data.draw(st.integers(0, 2**32 - 1))
    texts, size, width = data.draw(
        st.tuples(st.integers(0, 12), st.integers(1, 30), st.integers(1, 4))
    )
    k, bias, scoped = data.draw(st.tuples(st.integers(1, 40), st.booleans(), st.booleans()))
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-2, 3, (size, width)).astype(np.float32)
    constant = rng.integers(-2, 3, size).astype(np.float32) if bias else None
    embeddings = rng.integers(-2, 3, (texts, width)).astype(np.float32)
    allowed = rng.random(size) < 0.8
    literal = (rng.random((texts, size)) < 0.4).astype(np.float32) if scoped else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            module, "_BLOCK_BYTES", data.draw(st.sampled_from([1, 4 * size * 3, 1 << 20]))
        )
        found = aligned_tokens(
            matrix_head(matrix, constant),
            embeddings,
            k,
            allowed=allowed,
            literal=None if literal is None else sparse.csr_array(literal),
        )
    logits = embeddings @ matrix.T + (0 if constant is None else constant)
    ids, weights = brute(logits, k, allowed, literal)
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_array_equal(found.weights, weights)
    assert found.ids.dtype == np.int32
    assert found.weights.dtype == np.float32


def test_equals_numpy_on_random_logits(matrix_head):
    rng = np.random.default_rng(3)
    matrix = rng.standard_normal((500, 48)).astype(np.float32)
    embeddings = rng.standard_normal((70, 48)).astype(np.float32)
    found = aligned_tokens(matrix_head(matrix), embeddings, 20, allowed=everything(500))
    logits = embeddings.astype(np.float64) @ matrix.T.astype(np.float64)
    best = -np.sort(-logits, axis=1)[:, :20]
    at_ids = np.take_along_axis(logits, found.ids.astype(np.int64), axis=1)
    np.testing.assert_allclose(found.weights, best, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.weights, at_ids, rtol=1e-5, atol=1e-5)
    assert all(len(set(row)) == 20 for row in found.ids.tolist())
    assert (np.diff(found.weights, axis=1) <= 0).all()


def test_more_tokens_than_there_are(matrix_head):
    head = matrix_head([[1.0], [3.0], [2.0]])
    found = aligned_tokens(head, np.ones((1, 1), np.float32), 10, allowed=everything(3))
    assert found.ids.tolist() == [[1, 2, 0]]
    assert found.weights.tolist() == [[3.0, 2.0, 1.0]]


def test_fewer_allowed_than_wanted_are_padded(matrix_head):
    head = matrix_head([[1.0], [3.0], [-2.0], [9.0]])
    allowed = np.array([True, False, True, False])
    found = aligned_tokens(head, np.ones((2, 1), np.float32), 3, allowed=allowed)
    assert found.ids.tolist() == [[0, 2, -1]] * 2
    assert found.weights.tolist() == [[1.0, -2.0, 0.0]] * 2


def test_nothing_allowed(matrix_head):
    head = matrix_head([[1.0], [3.0]])
    found = aligned_tokens(head, np.ones((1, 1), np.float32), 2, allowed=~everything(2))
    assert found.ids.tolist() == [[-1, -1]]
    assert found.weights.tolist() == [[0.0, 0.0]]


def test_literal_scope_keeps_a_texts_own_tokens(matrix_head):
    head = matrix_head([[4.0], [3.0], [2.0], [1.0]])
    literal = sparse.csr_array(np.array([[0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], np.float32))
    found = aligned_tokens(
        head, np.ones((3, 1), np.float32), 2, allowed=everything(4), literal=literal
    )
    assert found.ids.tolist() == [[1, 3], [-1, -1], [0, -1]]
    assert found.weights.tolist() == [[3.0, 1.0], [0.0, 0.0], [4.0, 0.0]]


def test_equal_embeddings_have_equal_tokens_wherever_they_stand(matrix_head, monkeypatch):
    rng = np.random.default_rng(0)
    head = matrix_head(rng.standard_normal((300, 100)))
    # The last block is narrow: a matrix product would round it differently.
    monkeypatch.setattr(module, "_BLOCK_BYTES", 4 * 300 * 64)
    for count in (2, 3, 5, 17, 66, 129, 197):
        embeddings = np.tile(rng.standard_normal(100).astype(np.float32), (count, 1))
        embeddings[: count // 2] = rng.standard_normal((count // 2, 100))
        found = aligned_tokens(head, embeddings, 50, allowed=everything(300))
        same = slice(count // 2, None)
        assert len(np.unique(found.ids[same], axis=0)) == 1
        assert len(np.unique(found.weights[same], axis=0)) == 1


def test_equal_embeddings_of_different_texts_keep_their_own_scope(matrix_head):
    head = matrix_head([[4.0], [3.0], [2.0]])
    literal = sparse.csr_array(np.array([[1, 0, 0], [0, 1, 1], [1, 0, 0]], np.float32))
    found = aligned_tokens(
        head, np.ones((3, 1), np.float32), 2, allowed=everything(3), literal=literal
    )
    assert found.ids.tolist() == [[0, -1], [1, 2], [0, -1]]


def test_logits_of_all_texts_are_never_held(matrix_head, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_BYTES", 4 * 1000 * 7)
    head = matrix_head(np.random.default_rng(0).standard_normal((1000, 3)))
    embeddings = np.random.default_rng(1).standard_normal((40, 3)).astype(np.float32)
    aligned_tokens(head, embeddings, 5, allowed=everything(1000))
    assert head.blocks == [7, 7, 7, 7, 7, 5]


def test_a_row_larger_than_a_block_is_a_block(matrix_head, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_BYTES", 1)
    head = matrix_head(np.eye(3))
    found = aligned_tokens(head, np.eye(3, dtype=np.float32), 1, allowed=everything(3))
    assert head.blocks == [1, 1, 1]
    assert found.ids.tolist() == [[0], [1], [2]]


class TestColumnsWithoutAWeight:
    """Many texts are read by the columns alone that can be among their tokens."""

    @pytest.fixture(autouse=True)
    def many(self, monkeypatch):
        monkeypatch.setattr(module, "_MANY_TEXTS", 1)

    @pytest.fixture
    def widths(self, monkeypatch):
        """How many columns each selection was made from."""
        found = []

        def record(logits, k):
            found.append(logits.shape[1])
            return top_k(logits, k)

        monkeypatch.setattr(module, "top_k", record)
        return found

    @given(data=st.data())
    def test_equals_a_sort_of_all_logits(self, matrix_head, data):
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        texts, size, k = data.draw(
            st.tuples(st.integers(1, 12), st.integers(1, 40), st.integers(1, 45))
        )
        matrix = rng.integers(-2, 3, (size, 2)).astype(np.float32)
        matrix[rng.random(size) < 0.6] = 0
        bias = rng.integers(-2, 3, size).astype(np.float32) if data.draw(st.booleans()) else None
        embeddings = rng.integers(-2, 3, (texts, 2)).astype(np.float32)
        allowed = rng.random(size) < 0.8
        found = aligned_tokens(matrix_head(matrix, bias), embeddings, k, allowed=allowed)
        logits = embeddings @ matrix.T + (0 if bias is None else bias)
        ids, weights = brute(logits, k, allowed)
        np.testing.assert_array_equal(found.ids, ids)
        np.testing.assert_array_equal(found.weights, weights)

    def test_all_but_the_k_first_are_left_out(self, matrix_head, widths):
        """Five columns differ between texts, two of which are not allowed; K are added."""
        matrix = np.zeros((30, 2), np.float32)
        matrix[[3, 9, 20, 21, 29]] = [[1, 0], [0, 1], [2, 2], [5, 5], [-1, 3]]
        allowed = everything(30)
        allowed[[9, 21]] = False
        embeddings = np.array([[1, 0], [-1, -1]], np.float32)
        found = aligned_tokens(matrix_head(matrix), embeddings, 4, allowed=allowed)
        assert widths == [3 + 4]
        assert found.ids.tolist() == [[20, 3, 0, 1], [0, 1, 2, 4]]
        assert found.weights.tolist() == [[2, 1, 0, 0], [0, 0, 0, 0]]

    def test_of_equal_logits_the_largest_bias_comes_first(self, matrix_head, widths):
        matrix = np.zeros((30, 1), np.float32)
        bias = np.zeros(30, np.float32)
        bias[[7, 12, 13]] = [1, 2, 2]
        found = aligned_tokens(
            matrix_head(matrix, bias), np.ones((1, 1), np.float32), 4, allowed=everything(30)
        )
        assert widths == [4]
        assert found.ids.tolist() == [[12, 13, 7, 0]]

    @pytest.mark.parametrize("full", [27, 28])
    def test_nothing_is_copied_to_leave_out_a_few(self, matrix_head, widths, full):
        matrix = np.zeros((30, 1), np.float32)
        matrix[:full] = 1
        aligned_tokens(matrix_head(matrix), np.ones((1, 1), np.float32), 1, allowed=everything(30))
        assert widths == [30]

    def test_a_bias_that_is_no_number_is_kept_for_the_caller_to_refuse(self, matrix_head):
        matrix, bias = np.zeros((30, 1), np.float32), np.zeros(30, np.float32)
        bias[11] = np.nan
        found = aligned_tokens(
            matrix_head(matrix, bias), np.ones((1, 1), np.float32), 2, allowed=everything(30)
        )
        assert np.isnan(found.weights).any()

    def test_a_head_without_a_matrix_is_read_as_it_is(self, matrix_head, widths):
        head = matrix_head(np.eye(30))
        head.matrix = None
        found = aligned_tokens(head, np.eye(1, 30, 5, dtype=np.float32), 2, allowed=everything(30))
        assert widths == [30]
        assert found.ids.tolist() == [[5, 0]]


def test_a_few_texts_are_read_by_all_columns(matrix_head, monkeypatch):
    """Looking for columns to leave out takes longer than reading them for one query."""
    monkeypatch.setattr(module, "_contenders", None)
    head = matrix_head(np.zeros((30, 1)))
    found = aligned_tokens(head, np.ones((1, 1), np.float32), 2, allowed=everything(30))
    assert found.ids.tolist() == [[0, 1]]


def test_nan_and_infinite_logits_are_kept_for_the_caller_to_refuse(matrix_head):
    head = matrix_head([[np.nan], [1.0], [np.inf]])
    found = aligned_tokens(head, np.ones((1, 1), np.float32), 2, allowed=everything(3))
    assert not np.isfinite(found.weights).all()


def test_no_texts(matrix_head):
    head = matrix_head(np.eye(3))
    found = aligned_tokens(head, np.zeros((0, 0), np.float32), 2, allowed=everything(3))
    assert found.ids.shape == found.weights.shape == (0, 2)


def test_a_moved_matrix_stays_on_the_device(monkeypatch):
    monkeypatch.setattr(module, "_PLACED", {})
    matrix, other = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)
    first = module._placed(matrix.T, "meta")
    assert module._placed(matrix.T, "meta") is first  # a new view of the same weights
    assert module._placed(other.T, "meta") is not first
    assert module._placed(matrix, "cpu").data_ptr() == matrix.ctypes.data
    assert list(module._PLACED) == ["meta"]


@pytest.mark.parametrize("block_bytes", [1, 4 * 50 * 3, 1 << 20])
def test_logits_at(matrix_head, monkeypatch, block_bytes):
    monkeypatch.setattr(module, "_BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(5)
    matrix = rng.standard_normal((50, 6)).astype(np.float32)
    bias = rng.standard_normal(50).astype(np.float32)
    embeddings = rng.standard_normal((5, 6)).astype(np.float32)
    rows = [[3, 49], [], [0], [7, 7, 8], []]
    found = logits_at(matrix_head(matrix, bias), embeddings, Ragged.from_rows(rows))
    logits = embeddings @ matrix.T + bias
    expected = [logits[row, token] for row, tokens in enumerate(rows) for token in tokens]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert found.dtype == np.float32
