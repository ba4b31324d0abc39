"""Percentiles and their intervals: worked by hand, against scipy's binomial, and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.cost.summary import interval_ranks, percentile_intervals, summarise

SHARES = (0.5, 0.95, 0.99)


def test_ranks_of_the_median_by_hand():
    # Bin(10, 1/2): P(< 2) = 11/1024 = 0.0107 and P(< 3) = 56/1024 = 0.0547, so ranks 2 and 9.
    assert interval_ranks(10, [0.5]).tolist() == [[2, 9]]
    # Bin(5, 1/2): P(0) = 1/32 = 0.03125 is above 0.025 already.
    assert interval_ranks(5, [0.5]).tolist() == [[0, 6]]
    assert interval_ranks(6, [0.5]).tolist() == [[1, 6]]


@pytest.mark.parametrize(("share", "needed"), [(0.95, 72), (0.99, 368)])
def test_an_upper_bound_needs_enough_values(share, needed):
    # P(all below the quantile) = share^n must be at most 0.025.
    assert needed == math.ceil(math.log(0.025) / math.log(share))
    for count, exists in ((needed - 1, False), (needed, True)):
        ((low, high),) = percentile_intervals(range(count), [share])
        assert (high is not None) is exists
        assert low is not None


def test_a_hundred_measurements_have_no_upper_bound_of_p99():
    # 100 values bound p99 from below by the 97th: P(Bin(100, 0.99) < 97) = 0.0184, < 98 0.0794.
    assert percentile_intervals(range(1, 101), [0.99]) == [(97.0, None)]


@given(st.integers(1, 400), st.floats(0.01, 0.99), st.floats(0.5, 0.999))
def test_ranks_are_the_closest_that_hold(count, share, confidence):
    ((lower, upper),) = interval_ranks(count, [share], confidence=confidence)
    below = stats.binom(count, share)
    tail = (1 - confidence) / 2
    close = 1e-9  # two ways to the same sum of probabilities
    assert below.cdf(lower - 1) <= tail + close
    assert below.cdf(lower) > tail - close
    assert below.sf(upper - 1) <= tail + close
    assert below.sf(upper - 2) > tail - close


def test_ranks_of_several_shares_are_those_of_each():
    each = [interval_ranks(500, [share])[0].tolist() for share in SHARES]
    assert interval_ranks(500, SHARES).tolist() == each


@pytest.mark.parametrize(("count", "share"), [(300, 0.5), (1000, 0.95), (1200, 0.99)])
def test_coverage(count, share):
    random = np.random.default_rng(7)
    quantile = stats.lognorm(1).ppf(share)
    held = 0
    for values in random.lognormal(size=(2000, count)):
        ((low, high),) = percentile_intervals(values, [share])
        held += low <= quantile <= high
    assert held / 2000 == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(("queries", "share"), [(150, 0.5), (100, 0.9)])
def test_coverage_where_repetitions_resemble_each_other(queries, share):
    # Queries of different difficulty, each measured 10 times with little noise.
    random = np.random.default_rng(8)
    quantile = stats.lognorm(1).ppf(share)
    right = wrong = 0
    for difficulty in random.lognormal(size=(1000, queries)):
        values = (difficulty * random.normal(1, 0.01, size=(10, queries))).ravel()
        ((low, high),) = percentile_intervals(values, [share], independent=queries)
        right += low <= quantile <= high
        ((low, high),) = percentile_intervals(values, [share])
        wrong += low <= quantile <= high
    assert right / 1000 == pytest.approx(0.95, abs=0.02)
    # Taken for independent, they would give intervals that are far too narrow.
    assert wrong / 1000 < 0.6


def test_coverage_is_more_than_asked_where_repetitions_differ_as_queries_do():
    random = np.random.default_rng(9)
    quantile = stats.lognorm(1).ppf(0.9)
    held = 0
    for values in random.lognormal(size=(1000, 500)):
        ((low, high),) = percentile_intervals(values, [0.9], independent=100)
        held += low <= quantile <= high
    assert held / 1000 > 0.99


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=30), st.integers(1, 6), st.floats(0.05, 0.95)
)
def test_copies_of_the_values_change_no_interval(values, copies, share):
    once = percentile_intervals(values, [share])
    assert percentile_intervals(values * copies, [share], independent=len(values)) == once


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=100), st.data())
def test_the_percentile_lies_in_its_interval(values, data):
    groups = data.draw(st.integers(1, len(values)))
    intervals = percentile_intervals(values, SHARES, independent=groups)
    for share, (low, high) in zip(SHARES, intervals, strict=True):
        value = np.percentile(values, 100 * share, method="inverted_cdf")
        assert low is None or low <= value
        assert high is None or value <= high


def test_summary_by_hand():
    milliseconds = np.arange(10, 0, -1)
    summary = summarise(milliseconds * 1_000_000, independent=10)
    assert (summary.count, summary.independent, summary.mean_ms) == (10, 10, 5.5)
    assert summary.p50_ms == 5.5
    assert summary.p50_interval_ms == (2.0, 9.0)
    # P(Bin(10, 0.95) < 8) = 0.0115, < 9 0.0861; P(Bin(10, 0.99) < 9) = 0.0043, < 10 0.0956.
    assert summary.p95_interval_ms == (8.0, None)
    assert summary.p99_interval_ms == (9.0, None)


@pytest.mark.parametrize(
    ("values", "settings", "why"),
    [
        ([], {}, "measurements"),
        ([1.0], {"independent": 2}, "independent"),
        ([1.0], {"independent": 0}, "independent"),
        ([1.0], {"shares": [1.0]}, "shares"),
        ([1.0], {"shares": [0.0]}, "shares"),
        ([1.0], {"confidence": 1.0}, "confidence"),
    ],
)
def test_what_has_no_interval_is_refused(values, settings, why):
    shares = settings.pop("shares", [0.5])
    with pytest.raises(ValueError, match=why):
        percentile_intervals(values, shares, **settings)
