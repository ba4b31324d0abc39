"""Steps of sorted differences, worked by hand."""

import numpy as np

from harness.reporting.difference_chart import DifferenceChart, difference_chart


def test_steps_above_and_below_the_line():
    chart = difference_chart(np.array([0.0, -0.25, 0.5]))
    assert chart == DifferenceChart(
        gains="M0,60V0H213.3V60Z", losses="M426.7,60V90H640V60Z", largest=0.5
    )


def test_equal_steps_are_one():
    chart = difference_chart(np.array([1.0, 1.0, 0.5, 0.5]))
    assert chart == DifferenceChart(gains="M0,60V0H320V30H640V60Z", losses="", largest=1.0)


def test_many_queries_are_drawn_as_their_means():
    # 1, .5 | 0, 0 | -.5, -1: two to a step.
    chart = difference_chart(np.array([-0.5, 0.5, 0, -1, 1, 0]), most=3)
    assert chart.gains == "M0,60V15H213.3V60Z"
    assert chart.losses == "M426.7,60V105H640V60Z"


def test_nothing_to_draw():
    assert difference_chart(np.zeros(4)) is None
    assert difference_chart(np.zeros(0)) is None
