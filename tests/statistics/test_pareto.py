"""The front against a double loop, and by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.statistics.pareto import on_front

COSTS = st.sampled_from([0.0, 1.0, 2.0, 3.0, 1e-9])
SOME = st.lists(st.tuples(COSTS, st.sampled_from([-1.0, 0.0, 0.5, 0.7])), max_size=12)


def plain_front(points):
    """No other point costs no more and is better, or costs less and is as good.

    Of equal points the first stands for all.
    """
    front = []
    for number, (cost, quality) in enumerate(points):
        beaten = any((c <= cost and q > quality) or (c < cost and q >= quality) for c, q in points)
        front.append(not beaten and points.index((cost, quality)) == number)
    return front


@given(SOME)
def test_the_front_is_what_no_other_point_beats(points):
    cost, quality = np.array(points, np.float64).reshape(-1, 2).T
    assert on_front(cost, quality).tolist() == plain_front(points)


def test_the_front_by_hand():
    cost, quality = np.array([3.0, 1, 2, 2, 4]), np.array([0.9, 0.5, 0.5, 0.7, 0.9])
    assert on_front(cost, quality).tolist() == [True, True, False, True, False]
