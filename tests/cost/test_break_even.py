"""Break-even: by hand, and the least n by brute force."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cost.break_even import break_even, break_even_queries, total_flops

SMALL = st.integers(0, 30)


def test_total_flops_by_hand():
    assert total_flops(100, 7, 3) == 121
    totals = total_flops(1e20, 2.0, [[0, 1], [10, 10**12]])
    assert totals.dtype == np.float64
    assert totals.tolist() == [[1e20, 1e20 + 2], [1e20 + 20, 1e20 + 2e12]]
    with pytest.raises(ValueError, match="fewer than 0"):
        total_flops(1, 1, [3, -1])


@pytest.mark.parametrize(
    ("figures", "least"),
    [
        ((130, 4, 100, 10), 5),  # 30 more, 6 less a query: 130 + 20 = 100 + 50
        ((131, 4, 100, 10), 6),  # 131 + 20 > 150, 131 + 24 < 160
        ((100, 10, 100, 10), 0),
        ((90, 10, 100, 4), 0),  # cheaper at first, whatever comes
        ((101, 10, 100, 10), math.inf),
        ((101, 10, 100, 4), math.inf),
        ((1, 0, 0, 0.1), 10),  # 0.1 is a little above a tenth in float64, so 10 of them reach 1
    ],
)
def test_break_even_by_hand(figures, least):
    assert break_even_queries(*figures) == least


def test_figures_that_floats_cannot_add():
    # Here floats lie 256 apart: their sums are equal long before.
    corpus, other = 2.0**60 + 256, 2.0**60
    assert corpus + 65 * 1.0 == other + 65 * 2.0
    assert break_even_queries(corpus, 1.0, other, 2.0) == 256


@given(SMALL, SMALL, SMALL, SMALL)
def test_break_even_is_the_least_n_of_all_that_are_tried(corpus, query, other, other_query):
    # The corpora differ by 30 at most, so if 30 queries do not pay it back, none do.
    reached = [n for n in range(31) if corpus + n * query <= other + n * other_query]
    expected = reached[0] if reached else math.inf
    assert break_even_queries(corpus, query, other, other_query) == expected


@given(*(st.floats(0, 1e30) for _ in range(4)))
def test_either_mode_is_no_dearer_from_some_n_on(corpus, query, other, other_query):
    one = break_even_queries(corpus, query, other, other_query)
    two = break_even_queries(other, other_query, corpus, query)
    assert min(one, two) == 0
    if query < other_query:
        assert one < math.inf


@pytest.mark.parametrize("wrong", [-1.0, math.inf, math.nan])
def test_impossible_figures_are_refused(wrong):
    for place in range(4):
        figures = [1.0, 1.0, 1.0, 1.0]
        figures[place] = wrong
        with pytest.raises(ValueError, match="finite and not negative"):
            break_even_queries(*figures)


def test_break_even_of_cost_records():
    sparse = {"corpus_flops": 131.0, "query_flops": 4.0, "index_bytes": 3}
    dense = {"corpus_flops": 100.0, "query_flops": 10.0, "index_bytes": 9}
    assert break_even(sparse, dense) == 6
    assert break_even(dense, sparse) == 0
    assert break_even(sparse | {"query_flops": 10.0}, dense) == math.inf
    for name in ("corpus_flops", "query_flops"):
        assert break_even(sparse | {name: None}, dense) is None
        assert break_even(sparse, {k: v for k, v in dense.items() if k != name}) is None
