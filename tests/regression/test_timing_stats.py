"""The statistics beside pytest-benchmark's own."""

import math

import numpy as np
import pytest
from pytest_benchmark.stats import Stats

from harness.regression.timing_stats import relative_error, timing_stats

SAMPLES = {
    "one": [0.5],
    "two": [0.5, 0.25],
    "equal": [0.25] * 7,
    "outlier": [1.0, 1.1, 1.2, 1.3, 9.0],
    **{
        f"{count} of a skewed distribution": np.random.default_rng(count)
        .lognormal(0, 1, count)
        .tolist()
        for count in (3, 4, 5, 6, 7, 8, 9, 100, 101, 102, 103)
    },
}


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_fields_are_those_of_pytest_benchmark(sample):
    theirs = Stats()
    for value in sample:
        theirs.update(value)
    ours = timing_stats(sample)
    assert ours.pop("data") == sample
    assert ours.pop("iterations") == 1
    expected = theirs.as_dict()
    assert ours.keys() == expected.keys()
    outliers = ours.pop("outliers"), expected.pop("outliers")
    assert outliers[0] == outliers[1]
    assert ours == pytest.approx(expected)


def test_relative_error_by_hand():
    """IQR 2.698 is σ = 2; of 4 values the mean's error is 1 and the median's √(π/2), of 10."""
    error = relative_error({"iqr": 2.698, "rounds": 4, "median": 10.0})
    assert error == pytest.approx(math.sqrt(math.pi / 2) / 10)
    assert relative_error({"iqr": 0.0, "rounds": 4, "median": 0.0}) == math.inf


def test_relative_error_is_how_far_medians_spread():
    rng = np.random.default_rng(1)
    samples = rng.normal(1.0, 0.1, (2000, 100))
    errors = [relative_error(timing_stats(sample.tolist())) for sample in samples[:200]]
    assert np.median(errors) == pytest.approx(np.median(samples, axis=1).std(), rel=0.1)
