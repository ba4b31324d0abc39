"""Batches by token budget."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.embedding.batching import token_budget_batches

lengths_of_texts = st.lists(st.integers(0, 60), max_size=40)
budgets = st.integers(1, 200)


def batches_of(lengths, budget):
    return token_budget_batches(np.array(lengths, np.int64), budget)


def test_literal_case():
    batches = batches_of([2, 9, 3, 3, 1], 7)
    assert [batch.tolist() for batch in batches] == [[1], [2, 3], [0, 4]]


@given(lengths_of_texts, budgets)
def test_every_text_is_in_one_batch(lengths, budget):
    members = [int(row) for batch in batches_of(lengths, budget) for row in batch]
    assert sorted(members) == list(range(len(lengths)))


@given(lengths_of_texts, budgets)
def test_padded_size_stays_within_the_budget(lengths, budget):
    for batch in batches_of(lengths, budget):
        padded = max(lengths[row] for row in batch) * len(batch)
        assert padded <= budget or len(batch) == 1


@given(lengths_of_texts, budgets)
def test_longest_first_and_ties_in_their_own_order(lengths, budget):
    order = [int(row) for batch in batches_of(lengths, budget) for row in batch]
    assert order == sorted(range(len(lengths)), key=lambda row: -lengths[row])


@given(lengths_of_texts, budgets)
def test_no_batch_could_take_the_next_text(lengths, budget):
    batches = batches_of(lengths, budget)
    for batch in batches[:-1]:
        longest = max(lengths[batch[0]], 1)
        assert longest * (len(batch) + 1) > budget


def test_a_text_above_the_budget_is_alone():
    assert [batch.tolist() for batch in batches_of([50, 8, 51], 10)] == [[2], [0], [1]]


def test_empty_texts_are_batched():
    assert [batch.tolist() for batch in batches_of([0, 0, 0], 2)] == [[0, 1], [2]]


def test_no_texts():
    assert batches_of([], 10) == []
