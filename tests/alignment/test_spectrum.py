"""Principal directions against numpy's SVD, and the parts of an embedding through a real head."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.alignment import spectrum as module
from harness.alignment.aligned_tokens import aligned_tokens
from harness.alignment.linear import LmHead
from harness.alignment.spectrum import (
    adjust,
    blocks_of,
    contributions,
    leading_directions,
    mean_of,
    split,
    variation,
)
from harness.config import LmHeadConfig, ModelConfig
from harness.embedding.model import EmbeddingModel

pytestmark = pytest.mark.usefixtures("one_thread")

DECAYS = {
    "power": lambda j: (j + 1.0) ** -0.5,
    "exponential": lambda j: np.exp(-j / 6),
    "one direction dwarfs the others": lambda j: np.where(j == 0, 100.0, 1 / (j + 1)),
}


def matrix_of(values, count, width, seed=0):
    """A float32 matrix (count, width) with these singular values."""
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.standard_normal((count, len(values)))).Q
    right = np.linalg.qr(rng.standard_normal((width, len(values)))).Q
    return ((left * values) @ right.T).astype(np.float32)


def assert_same_directions(found, expected, tolerance=1e-4):
    assert found.shape == expected.shape
    np.testing.assert_allclose(np.abs(np.sum(found * expected, axis=1)), 1, atol=tolerance)
    signs = np.sign(np.sum(found * expected, axis=1))[:, None]
    np.testing.assert_allclose(found, signs * expected, atol=tolerance)


class TestLeadingDirections:
    @pytest.mark.parametrize("decay", DECAYS)
    @pytest.mark.parametrize("exact", [True, False])
    @pytest.mark.parametrize(("count", "width", "block"), [(300, 40, 7), (41, 64, 40), (9, 80, 9)])
    def test_equal_to_numpy(self, decay, exact, count, width, block):
        vectors = matrix_of(DECAYS[decay](np.arange(min(count, width))), count, width)
        _, values, directions = np.linalg.svd(vectors.astype(np.float64), full_matrices=False)
        found = leading_directions(blocks_of(vectors, block), 5, seed=3, exact=exact)
        np.testing.assert_allclose(found.values, values[:5], rtol=1e-4)
        assert_same_directions(found.directions, directions[:5])
        assert found.values.dtype == np.float64
        assert found.directions.dtype == np.float32
        assert found.texts == count

    @pytest.mark.parametrize("exact", [True, False])
    def test_centred_equal_to_numpy(self, exact):
        vectors = matrix_of(DECAYS["power"](np.arange(30)), 200, 30, seed=1) + np.float32(2)
        centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
        _, values, directions = np.linalg.svd(centred, full_matrices=False)
        blocks = blocks_of(vectors, 33)
        mean, count = mean_of(blocks)
        found = leading_directions(blocks, 4, seed=0, mean=mean, exact=exact)
        assert count == 200
        np.testing.assert_allclose(mean, vectors.mean(axis=0, dtype=np.float64), rtol=1e-12)
        np.testing.assert_allclose(found.values, values[:4], rtol=1e-4)
        assert_same_directions(found.directions, directions[:4])

    @pytest.mark.parametrize("exact", [True, False])
    def test_small_singular_values(self, exact):
        """Down to a millionth of the largest: squared, they are still above float64's rounding."""
        vectors = matrix_of(10.0 ** -np.arange(0, 7, dtype=float), 100, 20).astype(np.float64)
        _, values, directions = np.linalg.svd(vectors, full_matrices=False)
        found = leading_directions(lambda: iter([vectors]), 6, seed=0, exact=exact)
        np.testing.assert_allclose(found.values, values[:6], rtol=1e-4)
        assert_same_directions(found.directions, directions[:6])

    def test_by_hand(self):
        # Columns are orthogonal, of lengths 5 and 2; the first one's mean is negative.
        vectors = np.array([[-3, 0], [-4, 0], [0, 2], [0, 0]], np.float32)
        found = leading_directions(blocks_of(vectors), 9, seed=0)
        np.testing.assert_allclose(found.values, [5, 2])
        np.testing.assert_allclose(found.directions, [[-1, 0], [0, 1]], atol=1e-12)

    @pytest.mark.parametrize(
        ("shape", "wanted", "given"), [((3, 20), 5, 3), ((50, 4), 9, 4), ((1, 6), 1, 1)]
    )
    @pytest.mark.parametrize("exact", [True, False])
    def test_there_are_no_more_than_rows_or_columns(self, shape, wanted, given, exact):
        vectors = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        found = leading_directions(blocks_of(vectors, 2), wanted, seed=0, exact=exact)
        assert found.directions.shape == (given, shape[1])
        np.testing.assert_allclose(found.directions @ found.directions.T, np.eye(given), atol=1e-6)

    @settings(max_examples=30)
    @given(
        seed=st.integers(0, 2**32 - 1),
        count=st.integers(1, 40),
        width=st.integers(1, 30),
        flip=st.booleans(),
        exact=st.booleans(),
    )
    def test_the_mean_projection_is_not_negative(self, seed, count, width, flip, exact):
        rng = np.random.default_rng(seed)
        vectors = (rng.standard_normal((count, width)) + 0.3).astype(np.float32)
        vectors = -vectors if flip else vectors
        found = leading_directions(blocks_of(vectors, 11), 3, seed=1, exact=exact)
        along = vectors.astype(np.float64) @ found.directions.T
        assert (along.mean(axis=0) >= -2e-6 * found.values / np.sqrt(count)).all()

    @pytest.mark.parametrize("exact", [True, False])
    def test_without_a_mean_the_largest_entry_is_positive(self, exact):
        half = matrix_of(DECAYS["exponential"](np.arange(10)), 50, 10)
        found = leading_directions(blocks_of(np.vstack([half, -half])), 3, seed=0, exact=exact)
        largest = np.abs(found.directions).argmax(axis=1)
        assert (found.directions[np.arange(3), largest] > 0).all()

    def test_the_seed_decides_the_random_basis(self):
        vectors = np.random.default_rng(0).standard_normal((200, 60)).astype(np.float32)
        first, again, other = (
            leading_directions(blocks_of(vectors), 2, seed=seed, exact=False) for seed in (0, 0, 1)
        )
        np.testing.assert_array_equal(first.directions, again.directions)
        assert not np.array_equal(first.values, other.values)

    def test_only_leading_directions_of_much_are_randomised(self, monkeypatch):
        taken = []
        randomised = module._randomised
        monkeypatch.setattr(
            module, "_randomised", lambda *given: taken.append(given[1]) or randomised(*given)
        )
        vectors = np.random.default_rng(0).standard_normal((50, 20)).astype(np.float32)
        leading_directions(blocks_of(vectors), 2, seed=0)
        monkeypatch.setattr(module, "_EXACT_WORK", 50 * 20**2)
        leading_directions(blocks_of(vectors), 3, seed=0)
        monkeypatch.setattr(module, "_EXACT_WORK", 50 * 20**2 - 1)
        leading_directions(blocks_of(vectors), 4, seed=0)
        leading_directions(blocks_of(vectors), 10, seed=0)  # half of all: nothing is saved
        leading_directions(blocks_of(vectors), 5, seed=0, exact=True)
        assert taken == [4]

    @pytest.mark.parametrize("exact", [True, False])
    def test_the_matrix_is_never_held(self, exact):
        width, block, blocks = 32, 500, 80

        def rows():
            for number in range(blocks):
                rng = np.random.default_rng(number)
                yield (rng.standard_normal((block, width)) + 1).astype(np.float32)

        tracemalloc.start()
        try:
            found = leading_directions(rows, 1, seed=0, exact=exact)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert found.texts == block * blocks
        assert peak < block * blocks * width * 4 / 5
        np.testing.assert_allclose(found.directions, np.full((1, width), width**-0.5), atol=0.01)

    def test_passes_end_when_the_directions_are_found(self, monkeypatch):
        vectors = matrix_of(DECAYS["exponential"](np.arange(40)), 100, 40)
        passes = []

        def blocks():
            passes.append(1)
            return iter([vectors])

        leading_directions(blocks, 2, seed=0, exact=False)
        assert 3 <= len(passes) <= 8
        passes.clear()
        monkeypatch.setattr(module, "_PASSES", 2)
        leading_directions(blocks, 2, seed=0, exact=False)
        assert len(passes) == 1 + 2  # the mean first

    @pytest.mark.parametrize("blocks", [lambda: iter(()), lambda: iter([np.zeros((0, 4))])])
    def test_nothing_is_refused(self, blocks, refusal):
        message = refusal(lambda: leading_directions(blocks, 1, seed=0))
        assert message == "no text was given, so there is no principal direction; give at least one"

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_what_is_not_finite_is_refused(self, value, refusal):
        vectors = np.ones((5, 3), np.float32)
        vectors[3, 1] = value
        message = refusal(lambda: leading_directions(blocks_of(vectors), 1, seed=0))
        assert message == (
            "vectors with NaN or infinity have no principal directions; check the weights, or use "
            "backend.dtype=float32"
        )


class TestVariation:
    def test_by_hand(self):
        backbone = np.array([[1, 2], [3, 4]], np.float32)
        embedder = np.array([[0, 2], [0, 9]], np.float32)
        directions = np.array([[1, 0], [0.6, 0.8]], np.float32)
        found = variation(embedder, backbone, directions)
        np.testing.assert_allclose(found, [-2, -0.6 * 2 + 0.8 * 2.5], rtol=1e-6)
        assert found.dtype == np.float64

    def test_a_shift_along_the_first_direction_is_found_alone(self):
        rng = np.random.default_rng(2)
        backbone = (rng.standard_normal((500, 24)) + 1).astype(np.float32)
        directions = leading_directions(blocks_of(backbone), 4, seed=0).directions
        embedder = adjust(backbone, directions[0], -50.0)
        found = variation(embedder, backbone, directions)
        np.testing.assert_allclose(found, [-50, 0, 0, 0], atol=1e-4)

    def test_other_texts_are_an_error(self):
        with pytest.raises(ValueError, match=r"\(2, 3\) and \(1, 3\)"):
            variation(np.zeros((2, 3)), np.zeros((1, 3)), np.zeros((1, 3)))


class TestParts:
    def test_split_by_hand(self):
        direction = np.array([0.6, 0.8], np.float32)
        first, rest = split(np.array([[5, 0], [3, 4]], np.float32), direction)
        np.testing.assert_allclose(first, [[1.8, 2.4], [3, 4]], rtol=1e-6)
        np.testing.assert_allclose(rest, [[3.2, -2.4], [0, 0]], atol=1e-6)

    @settings(max_examples=30)
    @given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 20), width=st.integers(1, 20))
    def test_the_parts_are_orthogonal_and_add_up(self, seed, count, width):
        rng = np.random.default_rng(seed)
        vectors = rng.standard_normal((count, width)).astype(np.float32)
        direction = rng.standard_normal(width)
        direction = (direction / np.linalg.norm(direction)).astype(np.float32)
        first, rest = split(vectors, direction)
        np.testing.assert_allclose(first + rest, vectors, atol=1e-6)
        np.testing.assert_allclose(rest @ direction, 0, atol=5e-6)
        assert first.dtype == rest.dtype == np.float32

    def test_adjust(self):
        vectors = np.array([[1, 2], [3, 4]], np.float32)
        found = adjust(vectors, np.array([0.6, 0.8], np.float32), -50)
        np.testing.assert_allclose(found, [[-29, -38], [-27, -36]], rtol=1e-6)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(vectors, [[1, 2], [3, 4]])

    def test_contributions_by_hand(self):
        matrix = np.array([[1, 1], [2, 0], [0, 3]], np.float32)
        along, across = contributions(
            np.array([[5, 7], [1, 1]], np.float32),
            np.array([1, 0], np.float32),
            matrix,
            np.array([[2, 0], [1, -1]], np.int32),
        )
        np.testing.assert_array_equal(along, [[0, 5], [2, 0]])
        np.testing.assert_array_equal(across, [[21, 7], [0, 0]])
        assert along.dtype == across.dtype == np.float32

    @pytest.mark.parametrize("size", [1, 64 << 20])
    def test_the_parts_of_logits_of_a_real_head_add_up(self, stories, monkeypatch, size):
        monkeypatch.setattr(module, "_BLOCK_BYTES", size)
        model = EmbeddingModel(ModelConfig(path=str(stories)))
        head = LmHead(LmHeadConfig(), encoder=SimpleNamespace(model=model))
        vectors = (np.random.default_rng(0).standard_normal((30, 64)) + 1).astype(np.float32)
        direction = leading_directions(blocks_of(vectors), 1, seed=0).directions[0]
        allowed = np.ones(head.vocabulary, np.bool_)
        aligned = aligned_tokens(head, vectors, 10, allowed=allowed)
        along, across = contributions(vectors, direction, head.matrix, aligned.ids)
        np.testing.assert_allclose(along + across, aligned.weights, atol=1e-4)
        decoded = np.outer(vectors @ direction, head.matrix @ direction)
        np.testing.assert_allclose(
            along, np.take_along_axis(decoded, aligned.ids.astype(int), axis=1), atol=1e-4
        )
        assert np.abs(along).mean() > 0.1 * np.abs(aligned.weights).mean()

    def test_no_texts(self):
        empty = np.zeros((0, 3), np.float32)
        found = contributions(empty, np.eye(3)[0], np.ones((4, 3)), np.zeros((0, 0), np.int32))
        assert found[0].shape == found[1].shape == (0, 0)
