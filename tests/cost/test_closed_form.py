"""Closed forms of a forward pass: by hand, and invariants."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.cost import closed_form
from harness.cost.closed_form import (
    QuadraticFlops,
    added_flops,
    closed_form_flops,
    forward_flops,
    head_flops,
    mlm_head_flops,
)
from harness.cost.shape import TransformerShape

TINY = TransformerShape(
    layers=2,
    width=4,
    attention_heads=2,
    key_value_heads=2,
    head_width=2,
    feed_forward_width=16,
    gated=False,
    vocabulary_size=10,
    embedding_width=4,
)


def test_forward_flops_by_hand():
    # One layer, one token: four projections 4 -> 4 are 4 * 2*4*4 = 128; two feed-forward matrices
    # 4 -> 16 -> 4 are 2 * 2*4*16 = 256; together 384. One layer, one pair of tokens: scores 2*4,
    # weighted sum 2*4, together 16. Two layers, three tokens: 2 * (3 * 384 + 9 * 16) = 2592.
    assert closed_form_flops(TINY) == QuadraticFlops(linear=768, quadratic=32)
    flops = forward_flops(TINY, np.array([0, 1, 3], dtype=np.int64))
    assert flops.dtype == np.float64
    assert flops.tolist() == [0, 800, 2592]


def test_grouped_gated_and_projected_by_hand():
    shape = replace(TINY, layers=1, key_value_heads=1, head_width=3, gated=True, embedding_width=5)
    # Queries and output 4 <-> 6: 2 * 2*4*6 = 96. Keys and values 4 -> 3: 2 * 2*4*3 = 48.
    # Three matrices 4 <-> 16: 3 * 2*4*16 = 384. Embeddings 5 -> 4 and back: 2 * 2*5*4 = 80.
    # Pairs: 2 * 2*6 = 24.
    assert closed_form_flops(shape) == QuadraticFlops(linear=96 + 48 + 384 + 80, quadratic=24)


def test_routed_experts_by_hand():
    # Attention as in TINY, 128; the router 2*4*5 = 40; three of five blocks 3 * 256 = 768.
    shape = replace(TINY, layers=1, experts=5, active_experts=3)
    assert closed_form_flops(shape) == QuadraticFlops(linear=128 + 40 + 768, quadratic=16)


def test_heads_by_hand():
    assert head_flops(4, 10) == 2 * 4 * 10
    assert mlm_head_flops(4, 10) == 2 * 4 * 4 + 2 * 4 * 10
    backbone, read = closed_form_flops(TINY), closed_form_flops(TINY, logits=True)
    assert read == backbone + QuadraticFlops(linear=32 + 80, quadratic=0)


def test_what_is_added_by_hand():
    # 7 numbers of adapters for each token; 3 from 2 and 5 from 3 for each text.
    added = added_flops(lora_parameters=7, dense_layers=[(3, 2), (5, 3)])
    assert added == QuadraticFlops(linear=14, quadratic=0, constant=12 + 30)
    assert added_flops() == QuadraticFlops(linear=0, quadratic=0)


def test_quadratic_flops_keep_the_shape_of_the_lengths():
    flops = QuadraticFlops(linear=10, quadratic=1).at([[1, 2], [3, 4]])
    assert flops.tolist() == [[11, 24], [39, 56]]
    assert float(QuadraticFlops(linear=10, quadratic=1).at(5)) == 75


def test_negative_lengths_are_refused():
    with pytest.raises(ValueError, match="negative"):
        forward_flops(TINY, [3, -1])


def test_parts_add_up():
    backbone = QuadraticFlops(linear=10.0, quadratic=2.0)
    both = backbone + QuadraticFlops(linear=1.0, quadratic=0.0, constant=7.0)
    assert both.at([0, 1, 3]).tolist() == [7.0, 20.0, 58.0]


SIZES = st.integers(1, 512)
SHAPES = st.builds(
    TransformerShape,
    layers=st.integers(1, 48),
    width=SIZES,
    attention_heads=SIZES,
    key_value_heads=SIZES,
    head_width=SIZES,
    feed_forward_width=SIZES,
    gated=st.booleans(),
    vocabulary_size=SIZES,
    embedding_width=SIZES,
    experts=st.integers(0, 64),
    active_experts=st.integers(1, 8),
)


@given(SHAPES, hnp.arrays(np.int64, st.integers(2, 20), elements=st.integers(0, 32768)))
def test_forward_flops_grow_with_length(shape, lengths):
    lengths = np.unique(lengths)
    flops = forward_flops(shape, lengths)
    assert np.all(np.diff(flops) > 0)
    # Two texts apart never cost more than one text of both.
    assert np.all(flops + flops[0] <= forward_flops(shape, lengths + lengths[0]))


def test_the_total_of_many_texts_is_their_sum(monkeypatch):
    monkeypatch.setattr(closed_form, "_AT_ONCE", 3)
    forward = QuadraticFlops(linear=10.0, quadratic=1.0, constant=7.0)
    # 7·7 + 10·(0 + … + 6) + (0 + 1 + 4 + … + 36)
    assert forward.total(np.arange(7)) == 49 + 210 + 91
    assert forward.total(np.zeros(0, np.int64)) == 0.0
