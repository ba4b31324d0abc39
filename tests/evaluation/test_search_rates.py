"""Rates of searching: what is timed, with a clock that is made up."""

import numpy as np
import pytest

from harness.evaluation import search_rates
from harness.evaluation.search_rates import dense_rates, sparse_rate


@pytest.fixture
def half_a_second(monkeypatch):
    """Every action takes half a second."""

    def seconds(action):
        action()
        return 0.5

    monkeypatch.setattr(search_rates, "_seconds", seconds)


def test_dense_by_hand(half_a_second):
    # 2·100·8 a query, 256 of them; 100 rows of 32 bytes for one.
    assert dense_rates(8, documents=100) == (2 * 100 * 8 * 256 / 0.5, 3200 / 0.5)


def test_sparse_counts_the_postings_that_are_touched(half_a_second):
    random = np.random.default_rng(0)
    documents = search_rates._rows(random, 1000, 64)
    queries = search_rates._rows(random, 256, 8)
    assert (np.diff(np.sort(documents.indices.reshape(1000, 64), axis=1)) > 0).all()
    touched = (queries.astype(bool).astype(int) @ documents.astype(bool).astype(int).T).sum()
    assert sparse_rate(documents=1000, threads=1) == touched / 0.5


def test_real_rates_are_numbers():
    assert all(rate > 0 for rate in dense_rates(8, documents=100))
    assert sparse_rate(documents=1000) > 0


def test_the_median_counts_and_the_first_does_not(monkeypatch):
    ticks = iter([0, 9, 10, 11, 20, 22, 30, 33, 40, 41])
    monkeypatch.setattr(search_rates.time, "perf_counter", lambda: next(ticks))
    calls = []
    assert search_rates._seconds(lambda: calls.append(1)) == 2
    assert len(calls) == 6
