"""A batch's inputs, token by token."""

import numpy as np

from harness.embedding.inputs import PackedInputs, PaddedInputs
from tests.embedding.passes import prompts_of

PART = prompts_of([[7, 8, 9], [], [5, 4], [6]], starts=[1, 0, 2, 0])  # nothing is left of the third


def packed(**options):
    return PackedInputs.of(
        PART,
        **({"include_instruction": True, "padding_token": 3, "after_padding": False} | options),
    )


def padded(**options):
    return PaddedInputs.of(
        PART, **({"include_instruction": True, "padding_token": 3, "left": False} | options)
    )


def test_one_after_the_other():
    inputs = packed()
    assert inputs.packing.lengths.tolist() == [3, 1, 2, 1]
    assert inputs.ids.tolist() == [7, 8, 9, 3, 5, 4, 6]
    assert inputs.positions.tolist() == [0, 1, 2, 0, 0, 1, 0]
    assert inputs.pooled.tolist() == [True, True, True, False, True, True, True]
    assert inputs.ids.dtype == inputs.positions.dtype == np.int64


def test_one_after_the_other_without_instructions():
    inputs = packed(include_instruction=False)
    assert inputs.ids.tolist() == [7, 8, 9, 3, 5, 4, 6]
    assert inputs.pooled.tolist() == [False, True, True, False, False, False, True]


def test_positions_after_padding():
    inputs = packed(after_padding=True, padding_token=4)  # which the third text holds
    assert inputs.ids.tolist() == [7, 8, 9, 4, 5, 4, 6]
    assert inputs.positions.tolist() == [5, 6, 7, 4, 5, 4, 5]
    assert inputs.pooled.tolist() == [True, True, True, False, True, True, True]


def test_padded_on_the_right():
    inputs = padded()
    assert inputs.ids.tolist() == [[7, 8, 9], [3, 3, 3], [5, 4, 3], [6, 3, 3]]
    assert inputs.real.astype(int).tolist() == [[1, 1, 1], [0, 0, 0], [1, 1, 0], [1, 0, 0]]
    assert inputs.pooled.tolist() == inputs.real.tolist()
    without = padded(include_instruction=False)
    assert without.real.tolist() == inputs.real.tolist()
    assert without.pooled.astype(int).tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_padded_on_the_left():
    inputs = padded(left=True, include_instruction=False)
    assert inputs.ids.tolist() == [[7, 8, 9], [3, 3, 3], [3, 5, 4], [3, 3, 6]]
    assert inputs.real.astype(int).tolist() == [[1, 1, 1], [0, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert inputs.positions.tolist() == [[0, 1, 2], [0, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert inputs.pooled.astype(int).tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_texts_without_tokens_are_given_one():
    part = prompts_of([[], []])
    options = {"include_instruction": True, "padding_token": 3}
    together = PackedInputs.of(part, after_padding=False, **options)
    assert together.ids.tolist() == [3, 3]
    assert not together.pooled.any()
    apart = PaddedInputs.of(part, left=False, **options)
    assert apart.ids.tolist() == [[3], [3]]
    assert not apart.real.any()
