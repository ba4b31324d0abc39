"""The strength of a ridge head, against hat matrices and fits that leave each document out."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from harness.alignment import regularisation as module
from harness.alignment.head import normalise
from harness.alignment.regularisation import (
    CRITERIA,
    STRENGTHS,
    Losses,
    own_words,
    regularisation_losses,
)
from harness.alignment.ridge_fit import RidgeSums
from harness.alignment.term_weights import TermWeights
from harness.alignment.vocabulary import token_counts
from harness.config import RidgeHeadConfig
from harness.embedding.ragged import Ragged

pytestmark = pytest.mark.usefixtures("one_thread")

SOME = (0.01, 0.22, 4.6, 100.0)
SHAPES = [(30, 6), (12, 40)]  # more documents than columns, and fewer: these are fitted closely


def problem(seed, count=30, width=6, size=40, longest=14):
    """Embeddings and targets; document 2 is empty and document 5 repeats document 1."""
    rng = np.random.default_rng(seed)
    x = normalise(rng.standard_normal((count, width)).astype(np.float32))
    rows = [rng.integers(0, size, rng.integers(1, longest)).tolist() for _ in range(count)]
    rows[2], rows[5], x[5] = [], rows[1], x[1]
    counts = token_counts(Ragged.from_rows(rows), np.ones(size, np.bool_))
    return x, TermWeights.of(counts).rows(counts, "bm25")


def losses(x, y, criterion, seed=0, strengths=SOME):
    sums = RidgeSums.of(x, y)
    found = regularisation_losses(sums, x, y, criterion=criterion, seed=seed, strengths=strengths)
    return found.values


def chosen(x, y, criterion, seed=0):
    """λ of those that are always tried."""
    return regularisation_losses(RidgeSums.of(x, y), x, y, criterion=criterion, seed=seed).best


def dense(x, y):
    own = np.hstack([x.astype(np.float64), np.ones((len(x), 1))])
    return own, y.toarray().astype(np.float64)


def refitted(x, y, strength, without=None):
    """What all documents are predicted as by a fit on all, or on all but one: (n, V)."""
    own, targets = dense(x, y)
    kept = np.arange(len(own)) != without
    gram = own[kept].T @ own[kept] + strength * np.eye(own.shape[1])
    return own @ np.linalg.solve(gram, own[kept].T @ targets[kept])


def plain_errors(x, y, strength):
    """The squared error of each document under a fit without it."""
    _, targets = dense(x, y)
    left_out = [refitted(x, y, strength, without=row)[row] for row in range(len(x))]
    return np.square(targets - left_out).sum(axis=1)


def plain_self_retrieval(x, y, strength, queries, rows):
    """Mean 1/log2(1 + rank) of `rows`, each asked for by its words and predicted without itself."""
    everything = refitted(x, y, strength)
    found = []
    for row, words in zip(rows, queries, strict=True):
        if not words:
            continue
        scores = {}
        for other in rows:
            predicted = (everything if other != row else refitted(x, y, strength, row))[other]
            scores[other] = sum(predicted[word] for word in words) / np.linalg.norm(predicted)
        rank = 1 + sum(scores[other] >= scores[row] for other in rows if other != row)
        found.append(1 / math.log2(1 + rank))
    return sum(found) / len(found)


def columns(matrix):
    spans = itertools.pairwise(matrix.indptr.tolist())
    return [matrix.indices[start:end].tolist() for start, end in spans]


@pytest.mark.parametrize(("count", "width"), SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_gcv_equals_its_definition_by_a_hat_matrix(seed, count, width):
    """n⁻¹‖(I - H)Y‖² / (n⁻¹ tr(I - H))², H = X(XᵀX + λI)⁻¹Xᵀ."""
    x, y = problem(seed, count, width)
    own, targets = dense(x, y)
    expected = []
    for strength in SOME:
        gram = own.T @ own + strength * np.eye(width + 1)
        free = np.eye(count) - own @ np.linalg.inv(gram) @ own.T
        residual = np.square(free @ targets).sum()
        expected.append(residual / count / (np.trace(free) / count) ** 2)
    np.testing.assert_allclose(losses(x, y, "gcv"), expected, rtol=1e-8)


@pytest.mark.parametrize(("count", "width"), SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_leave_one_out_equals_a_fit_without_each_document(seed, count, width):
    x, y = problem(seed, count, width)
    expected = [plain_errors(x, y, strength).mean() for strength in SOME]
    np.testing.assert_allclose(losses(x, y, "loo"), expected, rtol=1e-8)


@pytest.mark.parametrize(("count", "width"), SHAPES)
@pytest.mark.parametrize("seed", range(4))
def test_self_retrieval_equals_a_plain_loop(seed, count, width):
    """Documents of few words are asked for by all of them, longer ones by what was drawn."""
    for longest in (8, 30):
        x, y = problem(seed, count, width, longest=longest)
        words = columns(y)
        if longest > 8:
            words = columns(own_words(y, 8, np.random.default_rng(seed)))
        expected = [-plain_self_retrieval(x, y, strength, words, range(count)) for strength in SOME]
        assert len(set(expected)) > 1
        np.testing.assert_allclose(losses(x, y, "self_retrieval", seed), expected, rtol=1e-12)


def test_a_document_that_is_fitted_closely_is_scored_to_many_digits():
    """Its prediction without itself is a small difference, of which float32 would leave little."""
    x, y = problem(0, 20, 90)
    strength = 0.01
    sample = module._Sample(RidgeSums.of(x, y), x, y)
    leverage, agreement, norms, _ = sample._predicted(strength)
    left_out = norms - 2 * leverage * agreement + leverage**2 * sample._energies
    for row in range(20):
        predicted = refitted(x, y, strength, row)[row]
        norm = np.sqrt(left_out[row]) / (1 - leverage[row])
        assert norm == pytest.approx(np.linalg.norm(predicted), rel=1e-6)


def test_self_retrieval_by_hand():
    """Three orthogonal documents, each with a word of its own, teach nothing of each other.

    Without itself a document is predicted as the others are: its own word gets 0 and theirs more,
    the lower it stands. Each is the third of three.
    """
    x = np.eye(3, dtype=np.float32)
    y = sparse.csr_array(np.eye(3, dtype=np.float32))
    np.testing.assert_allclose(losses(x, y, "self_retrieval"), -1 / math.log2(1 + 3))


def test_equal_scores_rank_a_document_last():
    x = np.zeros((4, 2), np.float32)  # all are predicted alike, by the constant column
    y = sparse.csr_array(np.ones((4, 1), np.float32))
    np.testing.assert_allclose(losses(x, y, "self_retrieval"), -1 / math.log2(1 + 4))


@pytest.mark.parametrize("criterion", ["loo", "self_retrieval"])
def test_a_leverage_that_rounds_to_1_keeps_losses_finite(criterion):
    y = sparse.csr_array(np.eye(3, dtype=np.float32))
    for seed in range(10):
        x = np.random.default_rng(seed).random((3, 2)).astype(np.float32)
        x[0] *= 1e8
        with np.errstate(all="raise"):
            found = losses(x, y, criterion, strengths=(1e-9, 1e-6, 1e-3, 1.0))
        assert np.isfinite(found).all()


class TestRanks:
    """How many others are not below a bar, where float32 tells it and where it does not."""

    @staticmethod
    def plain(left, right, bars):
        scores = (left[:, None] * right).sum(axis=2)
        np.fill_diagonal(scores, -np.inf)
        return (scores >= bars[:, None]).sum(axis=1)

    @given(data=st.data())
    def test_equals_products_in_float64(self, data):
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        count, width = data.draw(st.tuples(st.integers(1, 30), st.integers(1, 20)))
        left, right = rng.standard_normal((2, count, width))
        left *= 10.0 ** rng.integers(-6, 7, width)
        # Bars at another document's score, and the least step to both sides of it.
        scores = (left[:, None] * right).sum(axis=2)
        bars = scores[np.arange(count), rng.integers(0, count, count)]
        aside = np.nextafter(bars, rng.choice([-np.inf, np.inf], count))
        bars = np.where(rng.random(count) < 0.5, bars, aside)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_PAIRS", data.draw(st.sampled_from([1, 3, 4096])))
            found = module._others_above(left, right, bars)
        np.testing.assert_array_equal(found, self.plain(left, right, bars))

    def test_few_products_are_computed_again(self, monkeypatch):
        pairs = []
        rng = np.random.default_rng(0)
        left, right = rng.standard_normal((2, 300, 40))
        divided = np.divmod

        def record(places, width):
            pairs.append(len(places))
            return divided(places, width)

        monkeypatch.setattr(np, "divmod", record)
        module._others_above(left, right, rng.standard_normal(300))
        assert 0 < pairs[0] < 300 * 300 / 1000


class TestSample:
    """Above `_SAMPLE` documents some stand for all; fits and predictions are of all."""

    @pytest.fixture
    def sampled(self, monkeypatch):
        def given(count):
            monkeypatch.setattr(module, "_SAMPLE", count)

        return given

    def test_one_document_has_its_own_error(self, sampled):
        sampled(1)
        x, y = problem(1)
        errors = plain_errors(x, y, 0.22)
        drawn = set()
        for seed in range(30):
            (loss,) = losses(x, y, "loo", seed, strengths=(0.22,))
            (row, *_) = np.flatnonzero(np.isclose(errors, loss, rtol=1e-8))
            drawn.add(int(row))
        assert len(drawn) > 10

    def test_documents_are_drawn_once(self, sampled):
        """All but one of them: the mean error is that of all without one document's."""
        sampled(29)
        x, y = problem(1)
        errors = plain_errors(x, y, 0.22)
        (loss,) = losses(x, y, "loo", strengths=(0.22,))
        means = [np.delete(errors, row).mean() for row in range(30)]
        assert np.isclose(means, loss, rtol=1e-9).any()

    def test_ranks_are_among_the_sample(self, sampled):
        sampled(11)
        x, y = problem(4, longest=8)
        for seed in range(3):
            rows = np.sort(np.random.default_rng(seed).choice(30, 11, replace=False)).tolist()
            words = [columns(y)[row] for row in rows]
            expected = [-plain_self_retrieval(x, y, strength, words, rows) for strength in SOME]
            found = losses(x, y, "self_retrieval", seed)
            np.testing.assert_allclose(found, expected, rtol=1e-12)

    def test_as_many_documents_as_the_sample_are_all_taken(self, sampled):
        x, y = problem(1)
        everything = losses(x, y, "loo")
        for count in (30, 31):
            sampled(count)
            np.testing.assert_array_equal(losses(x, y, "loo", seed=5), everything)

    def test_gcv_is_of_all_documents(self, sampled):
        x, y = problem(1)
        expected = losses(x, y, "gcv")
        sampled(3)
        np.testing.assert_array_equal(losses(x, y, "gcv", seed=5), expected)


class TestSeed:
    @pytest.mark.parametrize("criterion", CRITERIA)
    def test_one_seed_gives_one_result(self, criterion, monkeypatch):
        monkeypatch.setattr(module, "_SAMPLE", 20)
        x, y = problem(2, longest=30)
        first = losses(x, y, criterion, seed=3)
        np.testing.assert_array_equal(losses(x, y, criterion, seed=3), first)

    def test_another_seed_draws_other_words(self):
        x, y = problem(2, longest=40)
        found = {tuple(losses(x, y, "self_retrieval", seed)) for seed in range(5)}
        assert len(found) > 1

    @pytest.mark.parametrize("criterion", ["loo", "gcv"])
    def test_nothing_else_is_drawn_where_all_documents_are_taken(self, criterion):
        x, y = problem(2)
        assert len({tuple(losses(x, y, criterion, seed)) for seed in range(5)}) == 1


class TestChoice:
    def test_what_is_tried(self):
        assert (
            *(0.01, 0.022, 0.046, 0.1, 0.22, 0.46),
            *(1.0, 2.2, 4.6, 10.0, 22.0, 46.0, 100.0),
        ) == STRENGTHS

    def test_every_criterion_can_be_configured(self):
        assert [RidgeHeadConfig(regularisation=name).regularisation for name in CRITERIA] == [
            *CRITERIA
        ]

    @pytest.mark.parametrize("criterion", CRITERIA)
    @pytest.mark.parametrize("seed", range(3))
    def test_the_least_loss(self, criterion, seed):
        x, y = problem(seed)
        found = losses(x, y, criterion, seed, STRENGTHS)
        best = [s for s, loss in zip(STRENGTHS, found, strict=True) if loss == found.min()]
        assert chosen(x, y, criterion, seed) == max(best)

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ([1, 0, 0, 2], 4.6),
            ([0, 1, 0, 0], 100.0),
            ([0, 1, 1, 1], 0.01),
            ([-1, -1, -1, -1], 100.0),
        ],
    )
    def test_of_equal_losses_the_largest_strength(self, given, expected):
        assert Losses(SOME, np.array(given)).best == expected

    @pytest.mark.parametrize("criterion", CRITERIA)
    def test_targets_without_a_weight(self, criterion):
        x, _ = problem(0)
        y = sparse.csr_array((30, 40), dtype=np.float32)
        assert losses(x, y, criterion).tolist() == [0, 0, 0, 0]
        assert chosen(x, y, criterion) == 100.0

    @pytest.mark.parametrize("criterion", ["loo", "gcv"])
    def test_noise_wants_more_than_what_can_be_predicted(self, criterion):
        rng = np.random.default_rng(0)
        x = normalise(rng.standard_normal((60, 8)).astype(np.float32))
        clear = normalise(np.maximum(x @ rng.standard_normal((8, 40)), 0).astype(np.float32))
        noise = normalise(np.maximum(rng.standard_normal((60, 40)), 0).astype(np.float32))
        of_clear, of_noise = (
            chosen(x, y, criterion) for y in map(sparse.csr_array, (clear, noise))
        )
        assert of_clear < of_noise


class TestCounts:
    """What was computed, for the FLOPs of it."""

    @pytest.mark.parametrize(
        ("criterion", "expected"),
        [("gcv", (0, 0, 0)), ("loo", (3, 12, 0)), ("self_retrieval", (3, 12, 9))],
    )
    def test_of_all_documents(self, criterion, expected):
        x = np.eye(3, dtype=np.float32)
        y = np.zeros((3, 12), np.float32)
        y[0, :11] = y[2, 0] = 1  # eight of eleven words are drawn, and one of one
        y = sparse.csr_array(y)
        found = regularisation_losses(RidgeSums.of(x, y), x, y, criterion=criterion, seed=0)
        assert (found.sample, found.sample_nonzeros, found.query_nonzeros) == expected
        assert found.strengths == STRENGTHS

    def test_of_a_sample(self, monkeypatch):
        monkeypatch.setattr(module, "_SAMPLE", 2)
        x = np.eye(4, dtype=np.float32)
        y = sparse.csr_array(np.ones((4, 3), np.float32))
        found = regularisation_losses(RidgeSums.of(x, y), x, y, criterion="self_retrieval", seed=0)
        assert (found.sample, found.sample_nonzeros, found.query_nonzeros) == (2, 6, 6)


TARGETS = st.lists(st.sets(st.integers(0, 20)), max_size=6)


def targets_of(rows):
    """Any weights above 0."""
    offsets = np.cumsum([0, *map(len, rows)])
    terms = np.array([term for row in rows for term in sorted(row)], np.int32)
    weights = np.arange(1, len(terms) + 1, dtype=np.float32)
    return sparse.csr_array((weights, terms, offsets), shape=(len(rows), 21))


class TestOwnWords:
    @given(rows=TARGETS, count=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
    def test_as_many_of_a_rows_own_as_there_are(self, rows, count, seed):
        found = own_words(targets_of(rows), count, np.random.default_rng(seed))
        assert found.shape == (len(rows), 21)
        assert found.dtype == np.float32
        assert (found.data == 1).all()
        for own, drawn in zip(rows, columns(found), strict=True):
            assert len(set(drawn)) == len(drawn) == min(count, len(own))
            assert set(drawn) <= own

    def test_rows_of_eight_or_fewer_keep_all(self):
        rows = [set(range(8)), {3}, set(), {20, 0}]
        found = own_words(targets_of(rows), 8, np.random.default_rng(0))
        assert [set(drawn) for drawn in columns(found)] == rows

    def test_every_word_is_drawn_as_often(self):
        """8 of 12 words in 3,000 draws: 2,000 times each, give or take five deviations of 26."""
        rows = [set(range(12))] * 3000
        found = own_words(targets_of(rows), 8, np.random.default_rng(1))
        times = np.bincount(found.indices, minlength=21)
        assert times.sum() == 8 * 3000
        assert (np.abs(times[:12] - 2000) < 130).all()
        assert len({frozenset(drawn) for drawn in columns(found)}) > 400  # of 495

    def test_the_generator_decides(self):
        rows = targets_of([set(range(21))] * 5)
        first, same, other = (
            columns(own_words(rows, 8, np.random.default_rng(seed))) for seed in (0, 0, 1)
        )
        assert first == same != other
