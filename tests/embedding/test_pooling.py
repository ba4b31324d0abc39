"""Poolings on cases that are small enough to add up by hand."""

import pytest
import torch

from harness.config import build, parse_component

STATES = torch.tensor(
    [
        [[1.0, 10.0], [2.0, 20.0], [4.0, 40.0], [8.0, 80.0]],
        [[3.0, 0.0], [5.0, 1.0], [7.0, 2.0], [9.0, 3.0]],
    ]
)
RIGHT = torch.tensor([[True, True, True, False], [True, True, False, False]])  # padding right
LEFT = torch.tensor([[False, True, True, True], [False, False, True, True]])
MIDDLE = torch.tensor([[False, True, True, False], [False, True, False, True]])
NONE = torch.tensor([[False] * 4, [True] * 4])

CASES = [
    ("mean", RIGHT, [[7 / 3, 70 / 3], [4.0, 0.5]]),
    ("mean", LEFT, [[14 / 3, 140 / 3], [8.0, 2.5]]),
    ("mean", MIDDLE, [[3.0, 30.0], [7.0, 2.0]]),
    ("mean", NONE, [[0.0, 0.0], [6.0, 1.5]]),
    # (1·1 + 2·2 + 3·4) / 6 and (1·3 + 2·5) / 3
    ("weighted_mean", RIGHT, [[17 / 6, 170 / 6], [13 / 3, 2 / 3]]),
    # (1·2 + 2·4 + 3·8) / 6 and (1·7 + 2·9) / 3: positions count from the first pooled token
    ("weighted_mean", LEFT, [[34 / 6, 340 / 6], [25 / 3, 8 / 3]]),
    ("weighted_mean", MIDDLE, [[10 / 3, 100 / 3], [23 / 3, 7 / 3]]),
    # (1·3 + 2·5 + 3·7 + 4·9) / 10
    ("weighted_mean", NONE, [[0.0, 0.0], [7.0, 2.0]]),
    ("last_token", RIGHT, [[4.0, 40.0], [5.0, 1.0]]),
    ("last_token", LEFT, [[8.0, 80.0], [9.0, 3.0]]),
    ("last_token", MIDDLE, [[4.0, 40.0], [9.0, 3.0]]),
    ("last_token", NONE, [[0.0, 0.0], [9.0, 3.0]]),
    ("cls", RIGHT, [[1.0, 10.0], [3.0, 0.0]]),
    ("cls", LEFT, [[2.0, 20.0], [7.0, 2.0]]),
    ("cls", MIDDLE, [[2.0, 20.0], [5.0, 1.0]]),
    ("cls", NONE, [[0.0, 0.0], [3.0, 0.0]]),
]
KINDS = ("mean", "weighted_mean", "last_token", "cls")


def pooling(kind):
    return build(parse_component("pooling", {"kind": kind}, where="pooling"))


@pytest.mark.parametrize(("kind", "pooled", "expected"), CASES)
def test_literal_cases(kind, pooled, expected):
    torch.testing.assert_close(pooling(kind)(STATES, pooled), torch.tensor(expected))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_what_an_unpooled_token_holds_does_not_matter(kind, poison):
    states = STATES.clone()
    states[~MIDDLE] = poison
    torch.testing.assert_close(pooling(kind)(states, MIDDLE), pooling(kind)(STATES, MIDDLE))
    nothing = torch.zeros_like(MIDDLE)
    assert pooling(kind)(torch.full_like(STATES, poison), nothing).tolist() == [[0.0, 0.0]] * 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_states_are_pooled_in_float32(kind, dtype):
    # A sum of 4,096 numbers near 1 stops growing at 256 in bfloat16.
    states = (1 + torch.rand(2, 4096, 3, generator=torch.Generator().manual_seed(0))).to(dtype)
    pooled = torch.ones(2, 4096, dtype=torch.bool)
    result = pooling(kind)(states, pooled)
    assert result.dtype == torch.float32
    exact = pooling(kind)(states.double(), pooled)
    torch.testing.assert_close(result, exact, rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_input_is_left_alone(kind):
    states = STATES.clone()
    pooling(kind)(states, RIGHT)
    assert torch.equal(states, STATES)
