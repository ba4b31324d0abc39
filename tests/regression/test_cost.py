import math

import pytest

from harness.regression.check import Verdict
from harness.regression.cost import judge_cost


def test_a_share_may_be_allowed():
    assert judge_cost(1000, 1001, 0.001) is Verdict.WITHIN
    assert judge_cost(1000, 1002, 0.001) is Verdict.REGRESSION
    assert judge_cost(0.0, 1e-9, 0.001) is Verdict.REGRESSION


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        (317944, 317944, Verdict.EQUAL),
        (317944, 317945, Verdict.REGRESSION),
        (317944, 317943, Verdict.BETTER),
        (0.0, 0.0, Verdict.EQUAL),
        (0.0, 1.0, Verdict.REGRESSION),
        (1298.792, math.nextafter(1298.792, 2000), Verdict.EQUAL),  # a mean's last digit
        (1298.792, 1298.794, Verdict.REGRESSION),  # one posting in a thousand queries
        (2593438832497.0, 2593438832498.0, Verdict.REGRESSION),  # one FLOP
        (None, None, Verdict.EQUAL),
        (None, 5.0, Verdict.BETTER),
        (5.0, None, Verdict.REGRESSION),
    ],
)
def test_any_rise_is_a_regression(before, now, verdict):
    assert judge_cost(before, now) is verdict
