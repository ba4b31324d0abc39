"""When a fall alarms: literal cases on both sides of every bound."""

import numpy as np
import pytest

from harness.regression.check import Verdict
from harness.regression.quality import QualityRule, differences, paired_p
from harness.regression.snapshot import Score
from tests.regression.conftest import many, score

EQUAL, BETTER, WITHIN, REGRESSION = (
    Verdict.EQUAL,
    Verdict.BETTER,
    Verdict.WITHIN,
    Verdict.REGRESSION,
)


@pytest.mark.parametrize(
    ("before", "now", "p", "verdict"),
    [
        (0.5, 0.5, 1.0, EQUAL),
        (0.5, 0.6, 0.0001, BETTER),
        (0.5, 0.495, 1.0, WITHIN),  # as large as the tolerance, and no more
        (0.5, 0.49499, 1.0, REGRESSION),  # beyond it, whatever the test says
        (0.5, 0.49499, None, REGRESSION),  # ... and without a test
        (0.5, 0.4, 0.9, REGRESSION),
        (0.5, 0.0, 1.0, REGRESSION),
        (0.5, 0.498, 0.01, REGRESSION),  # small, and significant
        (0.5, 0.498, 0.011, WITHIN),
        (0.5, 0.498, None, WITHIN),
        (0.5, 0.499, 0.0001, WITHIN),  # as large as the floor: rounding, however consistent
        (0.5, 0.49899, 0.0001, REGRESSION),
        (0.3, 0.295, 1.0, WITHIN),  # 0.3 − 0.295 is 0.005000000000000004
        (None, None, None, EQUAL),
        (0.5, None, None, REGRESSION),
        (None, 0.5, None, BETTER),
    ],
)
def test_falls(before, now, p, verdict):
    assert QualityRule().judge("ndcg_at_10", before, now, p) is verdict


def test_a_metric_has_its_own_tolerance():
    rule = QualityRule(tolerance=0.01, tolerances={"recall_at_100": 0.05})
    assert rule.allowed("recall_at_100") == 0.05
    assert rule.allowed("ndcg_at_10") == 0.01
    assert rule.judge("recall_at_100", 0.9, 0.86, None) is WITHIN
    assert rule.judge("ndcg_at_10", 0.9, 0.86, None) is REGRESSION


def test_an_error_regresses_when_it_rises():
    assert QualityRule().judge("rmse", 0.5, 0.6, None) is REGRESSION
    assert QualityRule().judge("rmse", 0.5, 0.4, None) is BETTER


def test_a_tolerance_of_nothing_lets_nothing_pass():
    rule = QualityRule(tolerance=0.0)
    assert rule.judge("ndcg_at_10", 0.5, 0.49999, 1.0) is REGRESSION
    assert rule.judge("ndcg_at_10", 0.5, 0.5, 1.0) is EQUAL


def test_p_of_queries_that_all_lose():
    """Of 2^n assignments of signs to n equal falls two are as extreme: p = 2/2^n."""
    before, now = many([0.5] * 6), many([0.4] * 6)
    (p,) = paired_p([(before, now)], 0.01)
    assert p == pytest.approx(2 / 2**6, abs=0.005)


def test_p_does_not_depend_on_queries_that_stay():
    few = many([0.5] * 6), many([0.4] * 6)
    more = many([0.5] * 6 + [1.0] * 500), many([0.4] * 6 + [1.0] * 500)
    assert paired_p([few], 0.01) == paired_p([more], 0.01)


def test_p_is_corrected_over_the_run():
    """Holm of one p and two of 1: three times as large."""
    fell = many([0.5] * 8), many([0.4] * 8)
    same = many([0.5] * 8), many([0.5] * 8)
    (alone,) = paired_p([fell], 0.01)
    assert paired_p([same, fell, same], 0.01) == [1.0, pytest.approx(3 * alone), 1.0]


def test_a_large_family_is_within_reach():
    """Of 2,000 tests the least p must be 5·10⁻⁶ or less for the corrected one to be .01."""
    fell = many([0.5] * 30), many([0.4] * 30)
    same = many([0.5]), many([0.5])
    assert min(paired_p([fell, *[same] * 1999], 0.01)) <= 0.01


def test_no_p_without_the_same_queries():
    nothing = Score(0.5, {})
    assert paired_p([(nothing, nothing), (score(q1=1.0), score(q2=1.0))], 0.01) == [None, None]
    assert paired_p([], 0.01) == []


def test_differences_are_by_query_and_not_by_order():
    before, now = Score(0.5, {"b": 0.25, "a": 0.75}), Score(0.5, {"a": 0.5, "b": 0.5})
    np.testing.assert_array_equal(differences(before, now), [-0.25, 0.25])


def fallen(rng, count):
    """500 queries of which some move by 0.1, up or down alike: before and now."""
    values = rng.choice([0.38685, 0.5, 0.63093], 500)
    moved = values.copy()
    moved[rng.choice(500, count, replace=False)] += rng.choice([-0.1, 0.1], count)
    return many(values), many(moved)


def verdict_on(before, now):
    rule = QualityRule()
    (p,) = paired_p([(before, now)], rule.significance)
    return rule.judge("ndcg_at_10", before.value, now.value, p)


def test_a_few_near_ties_that_change_places_never_alarm():
    """Seven falls of 0.1 and no rise: 0.0014 on the mean, p = 2/2⁷ = .016."""
    before = many([0.5] * 500)
    assert verdict_on(before, many([0.4] * 7 + [0.5] * 493)) is WITHIN
    assert verdict_on(before, many([0.4] * 9 + [0.5] * 491)) is REGRESSION  # .0018, p = .004


def test_many_that_move_by_chance_alarm_in_one_run_of_a_hundred_at_most():
    rng = np.random.default_rng(0)
    verdicts = [verdict_on(*fallen(rng, 20)) for _ in range(400)]
    assert verdicts.count(REGRESSION) <= 4


def test_a_small_fall_of_many_queries_alarms():
    """100 of 500 queries lose 0.01: 0.002 on the mean, below the tolerance."""
    values = np.full(500, 0.6)
    before, now = many(values), many(np.where(np.arange(500) < 100, 0.59, values))
    assert before.value - now.value == pytest.approx(0.002)
    assert verdict_on(before, now) is REGRESSION
