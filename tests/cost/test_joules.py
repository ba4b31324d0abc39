"""Joules from readings, worked by hand."""

import pytest

from harness.cost.joules import EnergyCounter, PowerIntegral


def counted(readings, **settings):
    remaining = iter(readings)
    counter = EnergyCounter("c", lambda: next(remaining), joules_per_unit=0.5, **settings)
    for _ in readings:
        counter.sample()
    return counter.joules


@pytest.mark.parametrize(
    ("readings", "joules"),
    [
        ([100, 110], 5.0),
        ([100, 110, 130], 15.0),
        # 900 -> 1000 -> 50, twice: 150 units each time, and 850 from 50 to 900 between.
        ([900, 50], 75.0),
        ([900, 50, 900, 50], 75.0 + 425.0 + 75.0),
        ([100], None),
        ([100, 100, 100], None),
        ([100, None, 130], None),
        ([None, 110, 130], None),
        ([100, 110, None], None),
    ],
)
def test_a_counter_that_wraps_after_a_thousand(readings, joules):
    assert counted(readings, wraps_after=1000) == joules


def test_a_counter_that_never_wraps_and_falls_is_unknown():
    assert counted([900, 950]) == 25.0
    assert counted([900, 50, 60]) is None


@pytest.mark.parametrize(
    ("samples", "joules"),
    [
        # 2 s at (10 + 20) / 2 W, 1 s at (20 + 40) / 2 W.
        ([(0, 10), (2, 20), (3, 40)], 60.0),
        ([(0, 10)], None),
        ([(0, 10), (2, None), (3, 40)], None),
        ([(0, 0), (2, 0)], None),
    ],
)
def test_power_over_time(samples, joules):
    watts = iter([power for _, power in samples])
    seconds = iter([time for time, _ in samples])
    integral = PowerIntegral("p", lambda: next(watts), clock=lambda: next(seconds))
    for _ in samples:
        integral.sample()
    assert integral.joules == joules
