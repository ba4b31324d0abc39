"""Batches by token budget, padded and packed."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.embedding.batching import longest_first, next_batch

lengths_of_texts = st.lists(st.integers(0, 60), max_size=40)
budgets = st.integers(1, 200)


def batches_of(lengths, budget, packed):
    """A whole pass: indices of each batch's texts."""
    lengths = np.array(lengths, np.int64)
    order = longest_first(lengths)
    batches = []
    while len(order):
        count = next_batch(lengths[order], budget, packed=packed)
        assert count >= 1
        batches.append(order[:count].tolist())
        order = order[count:]
    return batches


def size(lengths, packed):
    """Tokens that a batch of such texts takes; one without tokens is given one."""
    if packed:
        return sum(max(length, 1) for length in lengths)
    return max(*lengths, 1) * len(lengths)


both = pytest.mark.parametrize("packed", [False, True])


@both
def test_literal_case(packed):
    assert batches_of([2, 9, 3, 3, 1], 7, packed) == [[1], [2, 3], [0, 4]]


def test_packed_batches_take_what_padding_would_have_taken():
    # Padded to 10 each, two texts fill 20; packed, 10 + 4 + 3 + 2 + 1 = 20.
    lengths = [3, 10, 1, 4, 2]
    assert batches_of(lengths, 20, packed=False) == [[1, 3], [0, 4, 2]]
    assert batches_of(lengths, 20, packed=True) == [[1, 3, 0, 4, 2]]
    assert batches_of(lengths, 19, packed=True) == [[1, 3, 0, 4], [2]]


@both
@given(lengths_of_texts, budgets)
def test_every_text_is_in_one_batch(packed, lengths, budget):
    members = [row for batch in batches_of(lengths, budget, packed) for row in batch]
    assert sorted(members) == list(range(len(lengths)))


@both
@given(lengths_of_texts, budgets)
def test_a_batch_stays_within_the_budget(packed, lengths, budget):
    for batch in batches_of(lengths, budget, packed):
        assert size([lengths[row] for row in batch], packed) <= budget or len(batch) == 1


@both
@given(lengths_of_texts, budgets)
def test_longest_first_and_ties_in_their_own_order(packed, lengths, budget):
    order = [row for batch in batches_of(lengths, budget, packed) for row in batch]
    assert order == sorted(range(len(lengths)), key=lambda row: -lengths[row])


@both
@given(lengths_of_texts, budgets)
def test_no_batch_could_take_the_next_text(packed, lengths, budget):
    for batch, following in pairwise(batches_of(lengths, budget, packed)):
        assert size([lengths[row] for row in [*batch, following[0]]], packed) > budget


@both
def test_a_text_above_the_budget_is_alone(packed):
    assert batches_of([50, 8, 51], 10, packed) == [[2], [0], [1]]


@both
def test_empty_texts_take_a_token_each(packed):
    assert batches_of([0, 0, 0], 2, packed) == [[0, 1], [2]]
    assert batches_of([1, 0, 0], 2, packed) == [[0, 1], [2]]


@both
def test_no_texts(packed):
    assert batches_of([], 10, packed) == []
