"""Padding: counts by hand, and invariants."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cost.closed_form import QuadraticFlops
from harness.cost.padding import padding_flops, padding_share

FORWARD = QuadraticFlops(linear=10.0, quadratic=1.0, constant=7.0)


def test_padding_share_by_hand():
    assert padding_share(75, 100) == 0.25
    assert padding_share(0, 0) == 0.0


@pytest.mark.parametrize(("true", "padded"), [(101, 100), (-1, 5), (1, 0)])
def test_padding_share_refuses_impossible_counts(true, padded):
    with pytest.raises(ValueError, match="tokens"):
        padding_share(true, padded)


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_padding_share_lies_between_zero_and_one(true, padding):
    assert 0 <= padding_share(true, true + padding) <= 1


def test_padding_flops_by_hand():
    # Two batches: 3 and 1 tokens in rows of 3, 2 alone. The text of 1 takes 7 + 30 + 9 = 46
    # in place of 7 + 10 + 1 = 18.
    assert padding_flops(FORWARD, [3, 1, 2], [3, 3, 2]) == 28


def test_what_is_packed_or_empty_has_no_padding():
    assert padding_flops(FORWARD, [3, 1, 2], [3, 1, 2]) == 0
    assert padding_flops(FORWARD, [], []) == 0


@pytest.mark.parametrize(("true", "padded"), [([2, 3], [3]), ([2, 3], [3, 2]), ([2], 3)])
def test_padding_flops_refuse_impossible_rows(true, padded):
    with pytest.raises(ValueError, match="padded length"):
        padding_flops(FORWARD, true, padded)


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), max_size=4))
def test_padding_flops_are_what_a_loop_over_batches_counts(batches):
    true = [length for batch in batches for length in batch]
    padded = [max(batch) for batch in batches for _ in batch]
    wasted = 0
    for length, row in zip(true, padded, strict=True):
        for token in range(length, row):
            wasted += 10 + 2 * token + 1  # its own products, and its pairs with those before it
    assert padding_flops(FORWARD, true, padded) == wasted
