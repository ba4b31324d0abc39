"""Ranks by hand and against mteb's own, groups by hand and against scipy's t-test."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from mteb.benchmarks._create_table import _get_borda_rank
from scipy.stats import ttest_rel

from harness.statistics.ranks import borda_counts, difference_variances, groups, ranks
from harness.statistics.significance import holm

NAN = np.nan
SCORES = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.sampled_from([0.1, 0.2, 0.3, 0.4, NAN]),
)


def test_ranks_by_hand():
    np.testing.assert_equal(ranks(np.array([0.2, 0.5, NAN, 0.5, 0.1])), [3, 1, NAN, 1, 4])


def test_borda_counts_by_hand():
    """First task: ranks 1, 2.5, 2.5 of 3; second: 2, 1 and one that is missing."""
    scores = np.array([[0.9, 0.1], [0.5, 0.2], [0.5, NAN]])
    assert borda_counts(scores).tolist() == [2 + 1, 0.5 + 2, 0.5]


@given(SCORES)
def test_borda_ranks_are_mteb_s(scores):
    names = [f"task {number}" for number in range(scores.shape[1])]
    frame = pl.DataFrame(scores, schema=names).fill_nan(None)
    expected = frame.select(_get_borda_rank(names)).to_series().to_list()
    assert ranks(borda_counts(scores)).tolist() == expected


def groups_of(values):
    """Groups by one task's scores, (queries, systems)."""
    count = len(values)
    covariance = np.atleast_2d(np.cov(values, rowvar=False)) / count
    return groups(values.mean(axis=0), difference_variances(covariance), count - 1)


def test_p_values_are_scipy_s():
    """Just significant by scipy's test is a group of its own, just not is none."""
    rng = np.random.default_rng(0)
    values = rng.random((40, 2))
    values[:, 1] += 0.1
    p = ttest_rel(values[:, 0], values[:, 1]).pvalue
    variances = difference_variances(np.cov(values, rowvar=False) / 40)
    for level, expected in ((p * 1.001, [1, 0]), (p * 0.999, [0, 0])):
        assert groups(values.mean(axis=0), variances, 39, level=level).tolist() == expected


def plain_groups(values, level=0.05):
    found = [None] * values.shape[1]
    left = sorted(range(values.shape[1]), key=lambda system: -values[:, system].mean())
    group = 0
    while left:
        best, *rest = left
        p = [
            1.0
            if np.array_equal(values[:, best], values[:, other])
            else ttest_rel(values[:, best], values[:, other]).pvalue
            for other in rest
        ]
        worse = [n for n, corrected in enumerate(holm(np.array(p))) if corrected <= level]
        end = worse[0] if worse else len(rest)
        for system in (best, *rest[:end]):
            found[system] = group
        left, group = rest[end:], group + 1
    return found


@pytest.mark.parametrize("seed", range(10))
def test_groups_are_those_of_a_loop_over_scipy_s_test(seed):
    rng = np.random.default_rng(seed)
    values = rng.random((30, 1)) + rng.normal(0, 0.2, (30, 9)) - np.linspace(0, 0.6, 9)
    values[:, 4] = values[:, 3]
    found = groups_of(values).tolist()
    assert found == plain_groups(values)
    assert len(set(found)) > 1


def test_what_differs_alike_in_every_query_is_certain():
    ones = np.random.default_rng(1).random(20)
    values = np.column_stack([ones, ones - 0.001, ones])
    assert groups_of(values).tolist() == [0, 1, 0]


def test_a_system_without_a_mean_has_no_group():
    found = groups(np.array([0.5, NAN, 0.6]), np.zeros((3, 3)), 9)
    assert found.tolist() == [1, -1, 0]


def test_degrees_of_freedom_are_each_pair_s_own():
    """A difference of 2 errors is significant with 30 degrees of freedom, with 3 not."""
    means, variances = np.array([2.0, 0.0]), np.array([[0.0, 0.9], [0.9, 0.0]])
    for degrees, expected in ((30, [0, 1]), (3, [0, 0])):
        assert groups(means, variances, np.full((2, 2), degrees)).tolist() == expected


def test_an_unknown_variance_tells_no_difference():
    assert groups(np.array([0.9, 0.1]), np.full((2, 2), np.nan), 9).tolist() == [0, 0]
