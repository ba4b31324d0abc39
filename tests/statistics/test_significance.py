"""Paired tests against scipy, against hand-worked cases, and by what they promise."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranx.statistical_tests import fisher_randomization_test, paired_student_t_test
from scipy.stats import bootstrap, permutation_test

from harness.statistics.bootstrap import paired_interval
from harness.statistics.ranks import difference_variances, groups
from harness.statistics.significance import (
    holm,
    paired_randomisation,
    randomisation,
    stratified_randomisation,
)


def exact_p(first, second):
    """Every assignment of signs, counted by scipy."""
    found = permutation_test(
        (first, second),
        lambda a, b: np.mean(a) - np.mean(b),
        permutation_type="samples",
        n_resamples=np.inf,
        alternative="two-sided",
    )
    return found.pvalue


@pytest.mark.parametrize("seed", range(6))
def test_randomisation_nears_scipy_s_exact_test(seed):
    rng = np.random.default_rng(seed)
    first = rng.random(9)
    second = first + rng.normal(0.1 * seed, 0.3, 9)
    expected = exact_p(first, second)
    found = paired_randomisation(first, second, resamples=20_000, seed=seed)
    assert found == pytest.approx(expected, abs=5 * np.sqrt(expected * (1 - expected) / 20_000))


def test_randomisation_by_hand():
    """Of the 8 assignments of 1, 2 and 3, two sum to 6 in size, four to 4 or more."""
    ones, zeros = np.array([1.0, 2, 3]), np.zeros(3)
    sums = [abs(sum(s)) for s in itertools.product((1, -1), (2, -2), (3, -3))]
    assert sorted(sums) == [0, 0, 2, 2, 4, 4, 6, 6]
    assert paired_randomisation(ones, zeros, resamples=40_000) == pytest.approx(0.25, abs=0.015)
    assert paired_randomisation(np.array([-1.0, 2, 3]), zeros, resamples=40_000) == pytest.approx(
        0.5, abs=0.015
    )


def test_the_observed_assignment_counts_so_that_p_is_never_0():
    first, second = np.ones(200), np.zeros(200)
    assert paired_randomisation(first, second, resamples=99) == 1 / 100
    assert paired_randomisation(second, first, resamples=99) == 1 / 100


def test_equal_scores_differ_by_chance_alone():
    scores = np.linspace(0, 1, 50)
    assert paired_randomisation(scores, scores) == 1.0


def test_rounding_of_equal_sums_does_not_decide():
    """Every assignment of signs to 0.1, 0.2, 0.3 and 0.001 sums to 0.001 in size, or to more."""
    first = np.array([0.1, 0.2, -0.3, 0.001])
    assert abs(first.sum()) > abs((first * [-1, -1, -1, 1]).sum())  # in floating point
    assert paired_randomisation(first, np.zeros(4), resamples=500) == 1.0


@pytest.mark.parametrize("resamples", [1, 255, 256, 257, 1000])
def test_every_number_of_resamples_is_drawn(resamples):
    """Only equal scores are extreme in every draw."""
    assert paired_randomisation(np.ones(40), np.zeros(40), resamples=resamples) == pytest.approx(
        1 / (resamples + 1)
    )
    assert paired_randomisation(np.zeros(4), np.zeros(4), resamples=resamples) == 1.0


def test_p_is_uniform_under_the_null():
    rng = np.random.default_rng(0)
    p = np.array(
        [
            paired_randomisation(*rng.normal(size=(2, 30)), resamples=400, seed=seed)
            for seed in range(400)
        ]
    )
    for level in (0.05, 0.25, 0.5, 0.75):
        spread = np.sqrt(level * (1 - level) / len(p))
        assert (p <= level).mean() == pytest.approx(level, abs=4 * spread)


def test_a_seed_is_a_seed():
    rng = np.random.default_rng(1)
    first, second = rng.random((2, 40))
    scores = first, second + 0.02
    assert paired_randomisation(*scores, seed=3) == paired_randomisation(*scores, seed=3)
    p_values = {paired_randomisation(*scores, seed=seed) for seed in range(5)}
    assert len(p_values) > 1
    assert paired_interval(*scores, seed=3) == paired_interval(*scores, seed=3)
    assert paired_interval(*scores, seed=3) != paired_interval(*scores, seed=4)


# Holm.


def test_holm_by_hand():
    """0.01·4, 0.02·3 = 0.06 below; 0.03·2 = 0.06; 0.04·1 is raised to 0.06."""
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03, 0.02])), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm(np.array([0.6, 0.001, 0.5])), [1.0, 0.003, 1.0])
    np.testing.assert_allclose(holm(np.array([0.2])), [0.2])
    assert holm(np.array([])).tolist() == []


def plain_holm(p):
    """The textbook: in ascending order, the largest so far of (m - rank)·p, at most 1."""
    result, largest = {}, 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, (len(p) - rank) * p[place])
        result[place] = min(largest, 1.0)
    return [result[place] for place in range(len(p))]


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_the_textbook_s(p):
    found = holm(np.array(p))
    np.testing.assert_allclose(found, plain_holm(p))
    assert (found >= np.array(p)).all()


@given(st.lists(st.sampled_from([0.001, 0.01, 0.02, 0.2]), min_size=1, max_size=8))
def test_holm_rejects_step_by_step(p):
    """At 0.05: the smallest is compared with 0.05/m, the next with 0.05/(m-1), until one fails."""
    order = sorted(range(len(p)), key=p.__getitem__)
    rejected = set()
    for rank, place in enumerate(order):
        if p[place] * (len(p) - rank) > 0.05:
            break
        rejected.add(place)
    assert {place for place, value in enumerate(holm(np.array(p))) if value <= 0.05} == rejected


# The interval of a ratio.


def test_the_interval_is_scipy_s_percentile_bootstrap():
    rng = np.random.default_rng(5)
    below = rng.beta(2, 2, 120)
    above = np.clip(below * 0.8 + rng.normal(0, 0.1, 120), 0, 1)
    expected = bootstrap(
        (above, below),
        lambda a, b, axis=-1: a.mean(axis=axis) / b.mean(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=10_000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    low, high = paired_interval(above, below)
    width = expected.high - expected.low
    assert low == pytest.approx(expected.low, abs=0.05 * width)
    assert high == pytest.approx(expected.high, abs=0.05 * width)
    assert low < above.mean() / below.mean() < high


def test_the_interval_pairs_queries():
    """Scores that are a constant share of the others have that ratio in every resample."""
    below = np.random.default_rng(2).random(30) + 0.1
    assert paired_interval(below * 0.75, below) == pytest.approx((0.75, 0.75))


def test_about_95_of_100_intervals_hold_the_truth():
    """Ratio of means 0.6 / 0.75."""
    rng = np.random.default_rng(3)
    held = 0
    for seed in range(200):
        easy = rng.random(80)
        below = np.clip(0.75 + 0.4 * (easy - 0.5), 0, 1)
        above = np.clip(0.6 + 0.4 * (easy - 0.5) + rng.uniform(-0.2, 0.2, 80), 0, 1)
        low, high = paired_interval(above, below, resamples=500, seed=seed)
        held += low <= 0.6 / 0.75 <= high
    assert 180 <= held <= 199


def test_resamples_without_anything_below_are_left_out():
    """A resample of the second query alone divides by 0: it says nothing."""
    low, high = paired_interval(np.array([0.5, 0.0]), np.array([1.0, 0.0]))
    assert (low, high) == (0.5, 0.5)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10))
def test_the_interval_scales_with_its_numerator(seed, factor):
    rng = np.random.default_rng(seed)
    above, below = rng.random((2, 15))
    low, high = paired_interval(above, below, resamples=300)
    assert low <= high
    scaled = paired_interval(above * factor, below, resamples=300)
    assert scaled == pytest.approx((low * factor, high * factor))


# Several systems and tasks at once, and other libraries.


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.05, 0.1])
def test_randomisation_nears_ranx_s(shift):
    """Fisher's test of ranx, on scores of 60 queries; each draws its own assignments."""
    rng = np.random.default_rng(7)
    first = rng.beta(0.6, 0.5, 60)
    second = np.clip(first + rng.normal(shift, 0.2, 60), 0, 1)
    expected, _ = fisher_randomization_test(first, second, n_permutations=20_000)
    found = paired_randomisation(first, second, resamples=20_000)
    spread = np.sqrt(2 * max(expected * (1 - expected), 1e-4) / 20_000)
    assert found == pytest.approx(expected, abs=5 * spread)


def test_groups_by_the_t_test_use_what_ranx_does():
    rng = np.random.default_rng(8)
    values = rng.random((50, 2))
    p, _ = paired_student_t_test(values[:, 0], values[:, 1])
    variances = difference_variances(np.cov(values, rowvar=False) / 50)
    means = values.mean(axis=0)
    apart, together = (groups(means, variances, 49, level=p * x) for x in (1.001, 0.999))
    assert sorted(apart.tolist()) == [0, 1]
    assert together.tolist() == [0, 0]


def test_systems_are_tested_as_if_alone():
    rng = np.random.default_rng(9)
    values = rng.random((40, 3))
    differences = values[:, 1:] - values[:, :1]
    alone = [paired_randomisation(values[:, n], values[:, 0], seed=5) for n in (1, 2)]
    np.testing.assert_allclose(randomisation(differences, seed=5), alone, atol=2e-4)


def test_strata_by_hand():
    """Tasks of one and of two queries weigh alike: the differences are 2, and 1 and 3 halved.

    Of the 8 assignments of signs to 2, 0.5 and 1.5 two sum to 4 in size; the others to 3, 1 or 0.
    """
    strata = [np.array([[2.0]]), np.array([[1.0], [3.0]])]
    found = stratified_randomisation(strata, resamples=40_000)
    assert found == pytest.approx(0.25, abs=0.015)
    sums = sorted(
        abs(a * 2 + b * 0.5 + c * 1.5) for a, b, c in itertools.product((1, -1), repeat=3)
    )
    assert sums == [0, 0, 1, 1, 3, 3, 4, 4]


def test_strata_of_weight_0_do_not_count():
    rng = np.random.default_rng(10)
    one, other = rng.normal(0.2, 0.5, (30, 1)), rng.normal(-5, 0.1, (30, 1))
    found = stratified_randomisation([one, other], weights=[1.0, 0.0], resamples=20_000)
    expected = randomisation(one, resamples=20_000)
    assert found == pytest.approx(expected, abs=0.02)


def test_a_difference_that_is_no_number_has_no_p():
    found = randomisation(np.array([[np.nan, 0.1], [0.1, 0.2], [0.2, 0.3]]), resamples=100)
    assert np.isnan(found).tolist() == [True, False]
