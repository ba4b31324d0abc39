"""AdamW: steps by hand, and a state that goes on as if nothing had been."""

import pytest
import torch

from harness.errors import BadInputError
from harness.training.optimiser import Optimiser


def parameters(**values):
    return {name: torch.nn.Parameter(torch.tensor(value)) for name, value in values.items()}


def test_the_first_step_by_hand():
    found = parameters(matrix=[[1.0, 1.0]], norm=[1.0])
    optimiser = Optimiser(found, weight_decay=0.5)
    found["matrix"].grad = torch.tensor([[3.0, -4.0]])
    optimiser.gradients()
    assert optimiser.step(0.1, clip=1e9) == pytest.approx(5.0)
    # Decayed by 0.1 * 0.5, then moved by the rate against the sign.
    assert found["matrix"].tolist() == [pytest.approx([0.85, 1.05])]
    assert found["norm"].tolist() == [1.0]
    assert found["matrix"].grad is None


def test_only_matrices_that_are_no_embeddings_are_decayed():
    names = ("linear.weight", "embed_tokens.weight", "transformer.wte.weight")
    found = parameters(**{name: [[1.0]] for name in names}, norm=[1.0])
    optimiser = Optimiser(found, weight_decay=0.5)
    optimiser.gradients()
    optimiser.step(0.1, clip=1.0)
    values = {name: one.item() for name, one in found.items()}
    assert values == {
        "linear.weight": pytest.approx(0.95),
        "embed_tokens.weight": 1.0,
        "transformer.wte.weight": 1.0,
        "norm": 1.0,
    }


def test_a_long_gradient_is_clipped_and_told_whole():
    found = parameters(matrix=[[0.0, 0.0]])
    optimiser = Optimiser(found, weight_decay=0.0)
    found["matrix"].grad = torch.tensor([[3.0, 4.0]])
    assert optimiser.step(0.1, clip=1.0) == pytest.approx(5.0)
    moment = optimiser.state()["exp_avg/matrix"]  # (1 - 0.9) of the clipped gradient
    assert moment.tolist() == [pytest.approx([0.06, 0.08], rel=1e-5)]


def moved(optimiser, found, steps):
    for number in steps:
        for one in found.values():
            draw = torch.Generator().manual_seed(number)
            one.grad = torch.randn(one.shape, generator=draw)
        optimiser.step(0.01, clip=1.0)


def test_a_state_goes_on_bit_by_bit():
    start = {"matrix": [[0.1, 0.2], [0.3, 0.4]], "norm": [1.0, 2.0]}
    whole, cut, resumed = parameters(**start), parameters(**start), parameters(**start)
    moved(Optimiser(whole, weight_decay=0.1), whole, range(6))
    first = Optimiser(cut, weight_decay=0.1)
    moved(first, cut, range(4))
    kept = {name: tensor.clone() for name, tensor in first.state().items()}
    assert set(kept) == {
        f"{part}/{name}" for part in ("weight", "exp_avg", "exp_avg_sq") for name in start
    }
    second = Optimiser(resumed, weight_decay=0.1)
    second.load(kept, 4)
    moved(second, resumed, range(4, 6))
    for name, one in whole.items():
        assert torch.equal(one, resumed[name])


def test_weights_without_a_gradient_have_a_state():
    found = parameters(used=[[1.0]], unused=[[1.0]])
    optimiser = Optimiser(found, weight_decay=0.0)
    found["used"].grad = torch.ones(1, 1)
    assert [one.tolist() for one in optimiser.gradients()] == [[[1.0]], [[0.0]]]
    optimiser.step(0.1, clip=1.0)
    assert optimiser.state()["exp_avg/unused"].tolist() == [[0.0]]


def test_a_state_of_other_weights_is_refused():
    optimiser = Optimiser(parameters(a=[1.0]), weight_decay=0.0)
    with pytest.raises(BadInputError, match="other weights"):
        optimiser.load({"weight/b": torch.ones(1)}, 1)


def test_embeddings_and_heads_move_by_their_share_of_the_rate():
    names = ("linear.weight", "embed_tokens.weight", "lm_head.weight", "norm.weight")
    found = parameters(**{name: [[1.0]] for name in names})
    optimiser = Optimiser(found, weight_decay=0.0, embedding_rate=0.2)
    for rate, at in ((0.1, (0.9, 0.98)), (0.05, (0.85, 0.97))):
        for one in found.values():
            one.grad = torch.ones(1, 1)  # Adam's steps are then the rate, whatever its length
        optimiser.step(rate, clip=1e9)
        whole, share = pytest.approx(at[0]), pytest.approx(at[1])
        assert [one.item() for one in found.values()] == [whole, share, share, whole]
