"""Document rows of an index, by hand and against plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from harness.alignment.aligned_tokens import AlignedTokens
from harness.retrieval import documents
from harness.retrieval.documents import document_matrix, with_literal_terms


def csr(rows):
    return sparse.csr_array(np.atleast_2d(np.array(rows, np.float32)))


def tokens(ids, weights):
    return AlignedTokens(np.array(ids, np.int32), np.array(weights, np.float32))


class TestAlignedTokens:
    IDS = ((3, 0, 1), (2, 1, -1), (-1, -1, -1))
    WEIGHTS = ((4, 3, -1), (2, 0, 0), (0, 0, 0))

    @pytest.mark.parametrize(
        ("weight", "expected"),
        [
            ("raw", [[3, -1, 0, 4, 0], [0, 0, 2, 0, 0], [0] * 5]),
            ("relu", [[3, 0, 0, 4, 0], [0, 0, 2, 0, 0], [0] * 5]),
            ("log1p", [[math.log(4), 0, 0, math.log(5), 0], [0, 0, math.log(3), 0, 0], [0] * 5]),
            ("binary", [[1, 1, 0, 1, 0], [0, 1, 1, 0, 0], [0] * 5]),
        ],
    )
    def test_by_hand(self, weight, expected):
        found = document_matrix(tokens(self.IDS, self.WEIGHTS), 5, weight=weight, l2=False)
        np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)
        assert found.dtype == np.float32
        assert (found.data != 0).all()  # no weight of 0 is stored
        assert found.has_sorted_indices
        scaled = document_matrix(tokens(self.IDS, self.WEIGHTS), 5, weight=weight, l2=True)
        lengths = [math.hypot(*row) or 1 for row in expected]
        np.testing.assert_allclose(scaled.toarray(), np.divide(expected, np.c_[lengths]), rtol=1e-6)

    @pytest.mark.parametrize("l2", [False, True])
    @pytest.mark.parametrize("weight", ["raw", "relu", "log1p", "binary"])
    def test_blocks_change_no_bit(self, monkeypatch, weight, l2):
        rng = np.random.default_rng(0)
        ids = np.argsort(rng.random((50, 9)), axis=1).astype(np.int32)
        ids[:, 5:][rng.random((50, 4)) < 0.5] = -1
        own = AlignedTokens(ids, rng.standard_normal((50, 9)).astype(np.float32))
        whole = document_matrix(own, 9, weight=weight, l2=l2)
        monkeypatch.setattr(documents, "_BLOCK", 7)
        found = document_matrix(own, 9, weight=weight, l2=l2)
        for name in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))

    def test_no_documents(self):
        none = tokens(np.zeros((0, 3)), np.zeros((0, 3)))
        assert document_matrix(none, 5, weight="raw", l2=True).shape == (0, 5)


def plain_mixture(aligned, literal, share, k, l2):
    """Rows as dictionaries; each step is rounded to float32, as an index stores its weights."""
    one, part = np.float32(1 - share), np.float32(share)
    rows = []
    for own, words in zip(aligned, literal, strict=True):
        norm = math.sqrt(sum(weight**2 for weight in own)) or 1
        mixed = {}
        for column, (weight, word) in enumerate(zip(own, words, strict=True)):
            value = np.float32(weight / norm) * one + np.float32(word) * part
            if value != 0:
                mixed[column] = value
        kept = sorted(mixed, key=lambda column: (-mixed[column], column))[:k]
        length = math.sqrt(sum(float(mixed[column]) ** 2 for column in kept)) if l2 else 1
        rows.append({column: float(mixed[column]) / length for column in kept})
    return rows


def rows_of(matrix):
    return [
        dict(zip(matrix.indices[start:end].tolist(), matrix.data[start:end].tolist(), strict=True))
        for start, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)
    ]


def unit(rows):
    """Rows as lexical weights are: L2-normalised float32."""
    rows = np.asarray(rows, np.float64)
    norms = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return (rows / norms).astype(np.float32)


@st.composite
def pairs_of_rows(draw):
    """Few different integers, so that ties are frequent; many zeros, so that rows may be empty."""
    columns = draw(st.integers(1, 8))
    count = draw(st.integers(0, 6))

    def rows(least, most):
        weight = st.one_of(st.just(0), st.integers(least, most))
        row = st.lists(weight, min_size=columns, max_size=columns)
        drawn = draw(st.lists(row, min_size=count, max_size=count))
        return np.array(drawn).reshape(count, columns)

    return rows(-2, 3), unit(rows(0, 2))


class TestLiteralTerms:
    @given(
        rows=pairs_of_rows(),
        share=st.sampled_from([0.1, 0.25, 0.5, 0.9]),
        k=st.integers(1, 9),
        l2=st.booleans(),
    )
    def test_equals_a_plain_loop_ties_by_column(self, rows, share, k, l2):
        aligned, literal = rows
        found = with_literal_terms(
            sparse.csr_array(aligned.astype(np.float32)),
            sparse.csr_array(literal),
            share=share,
            k=k,
            l2=l2,
        )
        expected = plain_mixture(aligned.tolist(), literal.tolist(), share, k, l2)
        assert found.shape == aligned.shape
        assert found.dtype == np.float32
        for own, wanted in zip(rows_of(found), expected, strict=True):
            assert list(own) == sorted(wanted)  # columns ascend
            if not l2:
                assert own == wanted
            assert own == pytest.approx(wanted, rel=1e-6)

    def test_half_by_hand(self):
        """[3, 4] has a length of 5; what is literal has one of 1."""
        aligned = csr([[3, 4, 0, 0], [0, 0, 0, 0], [0, -2, 0, 0], [0, 0, 0, 0]])
        literal = csr([[0, 0.6, 0.8, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
        both = with_literal_terms(aligned, literal, share=0.5, k=3, l2=False)
        expected = [[0.3, 0.7, 0.4, 0], [0, 0, 0.5, 0], [0, -0.5, 0, 0], [0] * 4]
        np.testing.assert_allclose(both.toarray(), expected, rtol=1e-6)
        two = with_literal_terms(aligned, literal, share=0.5, k=2, l2=True)
        norm = math.hypot(0.7, 0.4)
        expected = [[0, 0.7 / norm, 0.4 / norm, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0] * 4]
        np.testing.assert_allclose(two.toarray(), expected, rtol=1e-6)

    def test_a_share_of_a_quarter_by_hand(self):
        mixed = with_literal_terms(csr([3, 4, 0]), csr([0, 0, 1]), share=0.25, k=5, l2=False)
        np.testing.assert_allclose(mixed.toarray(), [[0.45, 0.6, 0.25]], rtol=1e-6)

    def test_of_equal_weights_those_of_the_smaller_columns_stay(self):
        aligned, literal = csr([[2, 0, 2, 2, 0, 2]] * 2), csr([[0] * 6, [0, 1, 0, 0, 0, 0]])
        for k, columns in ((1, [[0], [1]]), (2, [[0, 2], [0, 1]]), (3, [[0, 2, 3], [0, 1, 2]])):
            found = with_literal_terms(aligned, literal, share=0.5, k=k, l2=False)
            assert [list(row) for row in rows_of(found)] == columns

    def test_the_largest_weights_stay_and_not_those_far_from_0(self):
        found = with_literal_terms(csr([-4, 3, 0]), csr([0, 0, 0]), share=0.5, k=1, l2=False)
        np.testing.assert_allclose(found.toarray(), [[0, 0.3, 0]], rtol=1e-6)

    def test_what_cancels_is_left_out(self):
        found = with_literal_terms(csr([-1, 0]), csr([1, 0]), share=0.5, k=2, l2=True)
        assert found.nnz == 0

    def test_columns_in_any_order(self):
        """Products of sparse matrices have none."""
        aligned, literal = csr([[1, 2, 3, 4]] * 2), csr(unit([[4, 1, 2, 3]] * 2))
        expected = with_literal_terms(aligned, literal, share=0.3, k=3, l2=True)
        turned = literal.copy()
        turned.indices[:4] = [3, 2, 1, 0]
        turned.data[:4] = turned.data[:4][::-1]
        turned.has_sorted_indices = turned.has_canonical_format = False
        found = with_literal_terms(aligned, turned, share=0.3, k=3, l2=True)
        np.testing.assert_array_equal(found.toarray(), expected.toarray())
        assert [list(row) for row in rows_of(found)] == [[0, 2, 3]] * 2

    def test_what_is_given_stays_as_it_is(self):
        aligned, literal = csr([[3, 4, 0]]), csr([[0, 0.6, 0.8]])
        with_literal_terms(aligned, literal, share=0.5, k=1, l2=True)
        assert aligned.toarray().tolist() == [[3, 4, 0]]
        np.testing.assert_array_equal(literal.toarray(), np.array([[0, 0.6, 0.8]], np.float32))
