"""Resampled means by plain loops, intervals by what they promise."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from harness.statistics.bootstrap import interval, ratios, resampled_means


def test_means_are_those_of_drawn_queries():
    """Every resampled mean of two columns is one of a draw with replacement, the same in both."""
    values = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    sums = {a + b + c for a in (1, 2, 4) for b in (1, 2, 4) for c in (1, 2, 4)}
    means = resampled_means(values, resamples=2_000)
    np.testing.assert_allclose(means[:, 1], 10 * means[:, 0])
    assert {round(3 * mean) for mean in means[:, 0]} == sums


def test_each_draw_has_its_probability():
    """Of two queries: both are the first in a quarter of the draws, one of each in half."""
    means = resampled_means(np.array([[0.0], [1.0]]), resamples=40_000)[:, 0]
    for mean, share in ((0.0, 0.25), (0.5, 0.5), (1.0, 0.25)):
        assert (means == mean).mean() == pytest.approx(share, abs=0.012)


@pytest.mark.parametrize("resamples", [1, 255, 256, 257])
def test_draws_depend_on_nothing_else(resamples):
    rng = np.random.default_rng(0)
    values = rng.random((11, 5))
    alone = resampled_means(values[:, 3:4], resamples=resamples, seed=7)
    together = resampled_means(values, resamples=resamples, seed=7)
    assert together.shape == (resamples, 5)
    np.testing.assert_allclose(together[:, 3:4], alone, rtol=1e-6)
    assert not np.allclose(alone, resampled_means(values[:, 3:4], resamples=resamples, seed=8))


def test_intervals_are_numpy_s_quantiles():
    samples = np.random.default_rng(3).random((1000, 4))
    samples[:900, 1] = np.nan
    samples[:, 2] = np.nan
    low, high = interval(samples)
    for column in (0, 3):
        expected = np.percentile(samples[:, column], [2.5, 97.5])
        np.testing.assert_allclose([low[column], high[column]], expected)
    # Of the 100 that are left the third lowest and highest: 2.5 % of 99 steps, and outwards.
    known = np.sort(samples[900:, 1])
    assert (low[1], high[1]) == (known[2], known[-3])
    assert np.isnan([low[2], high[2]]).all()


def test_intervals_of_means_are_scipy_s():
    scores = np.random.default_rng(9).beta(0.5, 0.4, (150, 2))
    low, high = interval(resampled_means(scores))
    for column in range(2):
        expected = bootstrap(
            (scores[:, column],), np.mean, method="percentile", n_resamples=10_000, rng=0
        ).confidence_interval
        width = expected.high - expected.low
        assert low[column] == pytest.approx(expected.low, abs=0.04 * width)
        assert high[column] == pytest.approx(expected.high, abs=0.04 * width)


def test_95_of_100_intervals_hold_the_truth():
    """Scores as nDCG has them: many zeros, many ones; the mean is 0.3·1 + 0.4·0.5 = 0.5."""
    rng = np.random.default_rng(4)
    draws = rng.choice([0.0, 1.0, -1.0], (200, 1500), p=[0.3, 0.3, 0.4])
    scores = np.where(draws < 0, rng.random(draws.shape), draws)
    low, high = interval(resampled_means(scores, resamples=1000))
    held = (low <= 0.5) & (high >= 0.5)
    assert held.mean() == pytest.approx(0.95, abs=0.02)


def test_95_of_100_intervals_of_a_ratio_hold_the_truth():
    """A mode that keeps 0.8 of what the other has, with noise of its own."""
    rng = np.random.default_rng(5)
    below = rng.beta(2, 1, (200, 1000))  # of mean 2/3
    above = 0.8 * below + rng.uniform(-0.2, 0.2, below.shape)
    both = resampled_means(np.hstack([above, below]), resamples=1000)
    low, high = interval(ratios(both[:, :1000], both[:, 1000:]))
    assert ((low <= 0.8) & (high >= 0.8)).mean() == pytest.approx(0.95, abs=0.02)


def test_a_share_of_nothing_is_none_and_something_over_nothing_is_without_bound():
    found = ratios(np.array([1.0, 1.0, -1.0, 0.0, 0.0]), np.array([2.0, 0.0, -2.0, 4.0, 0.0]))
    np.testing.assert_equal(found, np.array([0.5, np.inf, np.nan, 0.0, np.nan], np.float32))


def test_an_interval_may_have_no_upper_end():
    """Of 100 resamples 10 are without bound; of 1,000 with 10, fewer than 2.5 %, it has one."""
    samples = np.linspace(0, 1, 1000)[:, None].astype(np.float32)
    samples[-10:] = np.inf
    few = interval(samples)[1]
    many = interval(samples[900:])[1]
    assert np.isfinite(few).all()
    assert np.isinf(many).all()
