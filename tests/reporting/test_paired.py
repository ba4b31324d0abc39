"""Two results query by query: five queries by hand, and every resample of them."""

import itertools

import numpy as np
import pytest

from harness.evaluation.metrics import NAMES, QueryMetrics, per_query_metrics
from harness.reporting.paired import (
    PlacePair,
    QueryPair,
    contrast,
    losses_and_gains,
    moved,
    pair_queries,
)
from tests.reporting.stored import FIRST, PLACE, QRELS, SECOND

FIRST_VALUES = np.array([1, 1, 0.5, 1, 0])
SECOND_VALUES = np.array([1, 0.5, 1, 0, 0])


@pytest.fixture
def five():
    first, second = ({PLACE: per_query_metrics(run, QRELS)} for run in (FIRST, SECOND))
    return pair_queries(first, second, "mrr_at_10")


def place(first, second, name="default"):
    ids = tuple(f"q{row}" for row in range(len(first)))
    return PlacePair(("test", name), ids, np.array(first, float), np.array(second, float))


def metrics(values):
    """Metrics of queries by id, all with the query's value."""
    rows = np.repeat(np.array(list(values.values()), float)[:, None], len(NAMES), axis=1)
    return QueryMetrics(tuple(values), rows)


def test_values_of_the_metric(five):
    (pair,) = five
    assert (pair.place, pair.query_ids) == (PLACE, ("q1", "q2", "q3", "q4", "q5"))
    assert pair.first.tolist() == FIRST_VALUES.tolist()
    assert pair.second.tolist() == SECOND_VALUES.tolist()


def test_only_what_both_have_is_paired():
    first = {("test", "b"): metrics({"x": 1, "y": 2}), ("test", "a"): metrics({"z": 3, "w": 4})}
    second = {
        ("test", "a"): metrics({"v": 5, "w": 6, "z": 7}),
        ("test", "b"): metrics({"v": 8}),
        ("dev", "a"): metrics({"z": 9}),
    }
    (pair,) = pair_queries(first, second, "ndcg_at_10")
    assert (pair.place, pair.query_ids) == (("test", "a"), ("w", "z"))
    assert (pair.first.tolist(), pair.second.tolist()) == ([4, 3], [6, 7])


def test_five_queries_by_hand(five):
    found = contrast([five])
    assert (found.queries, found.wins, found.ties, found.losses) == (5, 1, 2, 2)
    assert (found.first, found.second) == (pytest.approx(0.7), pytest.approx(0.5))
    assert found.difference == pytest.approx(-0.2)
    assert found.ratio == pytest.approx(5 / 7)
    # Of ±.5 ± .5 ± 1 six of eight sums are at least 1 away from 0.
    assert found.p == pytest.approx(0.75, abs=0.02)


def test_intervals_are_of_all_resamples(five):
    """The percentiles of all 5⁵ resamples, which 10,000 of them approach."""
    draws = np.array(list(itertools.product(range(5), repeat=5)))
    first, second = (values[draws].mean(axis=1) for values in (FIRST_VALUES, SECOND_VALUES))
    found = contrast([five])
    defined = first > 0
    for exact, low, high in (
        (second - first, found.difference_low, found.difference_high),
        (second[defined] / first[defined], found.ratio_low, found.ratio_high),
    ):
        bounds = np.quantile(exact, [0.02, 0.03, 0.97, 0.98])
        assert bounds[0] - 1e-6 <= low <= bounds[1] + 1e-6
        assert bounds[2] - 1e-6 <= high <= bounds[3] + 1e-6


def test_places_of_a_task_weigh_the_same():
    task = [place([1, 1, 1], [0, 0, 0], "a"), place([0.5], [1.0], "b")]
    found = contrast([task])
    assert (found.queries, found.first, found.second) == (4, 0.75, 0.5)
    # Within a place all queries differ alike, so every resample is the same.
    assert (found.difference_low, found.difference, found.difference_high) == (-0.25,) * 3
    assert found.ratio == pytest.approx(2 / 3)
    # Each place's mean may be anything from -1 to 1, or ±.5: of 16 sums 14 are as large as .5 / 2.
    sums = [abs(sum(s[:3]) / 3 - s[3] / 2) for s in itertools.product((-1, 1), repeat=4)]
    expected = np.mean([value >= 0.5 - 1e-9 for value in sums])
    assert found.p == pytest.approx(expected, abs=0.02)


def test_the_mean_of_tasks_is_of_their_values_and_ratios():
    tasks = [[place([0.5, 0.5], [0.25, 0.25])], [place([0.2], [0.2])]]
    found = contrast(tasks)
    assert (found.first, found.second) == (pytest.approx(0.35), pytest.approx(0.225))
    assert found.ratio == pytest.approx((0.5 + 1) / 2)
    assert (found.ratio_low, found.ratio_high) == (pytest.approx(0.75), pytest.approx(0.75))
    assert (found.wins, found.ties, found.losses) == (0, 1, 2)


def test_no_share_of_nothing():
    found = contrast([[place([0, 0], [1, 0])]])
    assert (found.ratio, found.ratio_low, found.ratio_high) == (None, None, None)
    assert found.difference == 0.5


def test_rounding_is_a_tie():
    pair = place([0.3, 0.3], [0.1 + 0.2, 0.4])
    assert pair.differences.tolist() == [0, pytest.approx(0.1)]
    found = contrast([[pair]])
    assert (found.wins, found.ties, found.losses) == (1, 1, 0)


def test_the_queries_that_moved_most(five):
    assert moved(five, most=2) == [
        QueryPair(PLACE, "q4", 1.0, 0.0, -1.0),
        QueryPair(PLACE, "q2", 1.0, 0.5, -0.5),  # before q3, which moves as much
    ]
    assert [query.query_id for query in moved(five, most=9)] == ["q4", "q2", "q3"]
    losses, gains = losses_and_gains(five, most=1)
    assert [query.query_id for query in losses] == ["q4"]
    assert [query.query_id for query in gains] == ["q3"]
    losses, gains = losses_and_gains(five, most=9)
    assert [query.query_id for query in losses] == ["q4", "q2"]
