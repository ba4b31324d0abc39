"""Interleaved comparison, on a clock that the callables push forward."""

import gc

import numpy as np
import pytest

from harness.cost.comparison import compare
from tests.cost.clock import Clock


def taking(clock, durations, seen=None, name=None):
    """A callable that takes one duration after the other."""
    remaining = iter(durations)

    def run():
        clock.now += next(remaining)
        if seen is not None:
            seen.append(name)

    return run


def test_durations_and_ratios_by_hand():
    clock = Clock()
    record = compare(
        {
            "old": taking(clock, [99, 10, 20, 40]),
            "new": taking(clock, [99, 5, 20, 30]),
        },
        rounds=3,
        warmup=1,
        clock=clock,
    )
    assert {name: taken.tolist() for name, taken in record.nanoseconds.items()} == {
        "old": [10, 20, 40],
        "new": [5, 20, 30],
    }
    assert record.median_ms == {"old": 20e-6, "new": 20e-6}
    # Rounds have the ratios 0.5, 1 and 0.75; three rounds bound nothing closer than their range.
    new = record.ratios["new"]
    assert (new.value, new.low, new.high) == (0.75, 0.5, 1.0)
    old = record.ratios["old"]
    assert (old.value, old.low, old.high) == (1.0, 1.0, 1.0)


def test_the_order_is_rotated_every_round():
    clock, seen = Clock(), []
    callables = {name: taking(clock, [1] * 4, seen, name) for name in "ABC"}
    compare(callables, rounds=4, warmup=0, clock=clock)
    assert "".join(seen) == "ABC" + "BCA" + "CAB" + "ABC"


def test_the_interval_is_the_bootstraps_of_the_median_round():
    random = np.random.default_rng(3)
    old = random.integers(900, 1100, size=25)
    new = random.integers(1000, 1400, size=25)
    clock = Clock()
    ratio = compare(
        {"old": taking(clock, old), "new": taking(clock, new)},
        rounds=25,
        warmup=0,
        clock=clock,
        resamples=4000,
    ).ratios["new"]
    medians = []
    resample = np.random.default_rng(4)
    for _ in range(4000):
        rounds = resample.integers(25, size=25)
        medians.append(np.median((new / old)[rounds]))
    low, high = np.quantile(medians, [0.025, 0.975])
    assert ratio.value == np.median(new / old)
    # Another seed draws other resamples; the ends move by less than a fifth of the width.
    assert ratio.low == pytest.approx(low, abs=(high - low) / 5)
    assert ratio.high == pytest.approx(high, abs=(high - low) / 5)


def test_a_seed_gives_the_same_interval():
    random = np.random.default_rng(5)
    durations = random.integers(900, 1100, size=(2, 40))

    def ratio(**settings):
        clock = Clock()
        callables = {str(row): taking(clock, taken) for row, taken in enumerate(durations)}
        return compare(callables, rounds=40, warmup=0, clock=clock, **settings).ratios["1"]

    assert ratio(seed=1) == ratio(seed=1)
    assert ratio(seed=1, resamples=99) != ratio(seed=2, resamples=99)


def test_a_machine_that_slows_down_leaves_the_ratio():
    clock = Clock()
    speeds = 1 << np.arange(20)
    record = compare(
        {"old": taking(clock, 4 * speeds), "new": taking(clock, 3 * speeds)},
        rounds=20,
        warmup=0,
        clock=clock,
    )
    new = record.ratios["new"]
    assert (new.value, new.low, new.high) == (0.75, 0.75, 0.75)


def test_the_collector_is_off_and_the_device_waited_for():
    events = []

    def clock():
        events.append("clock")
        return len(events)

    def run():
        events.append(gc.isenabled())

    compare(
        {"a": run, "b": run},
        rounds=1,
        warmup=1,
        synchronise=lambda: events.append("wait"),
        clock=clock,
    )
    assert events == ["wait", "clock", False, "wait", "clock"] * 4


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"callables": {"a": list}}, "two callables"),
        ({"rounds": 0}, "rounds"),
        ({"warmup": -1}, "warmup"),
        ({"resamples": 0}, "resamples"),
        ({"clock": lambda: 0}, "took no time"),
    ],
)
def test_nothing_to_compare_is_refused(change, why):
    settings = {"callables": {"a": list, "b": list}, "rounds": 2, "warmup": 0, **change}
    callables = settings.pop("callables")
    with pytest.raises(ValueError, match=why):
        compare(callables, **settings)
