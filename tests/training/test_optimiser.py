"""AdamW and Muon: steps by hand, and a state that goes on as if nothing had been."""

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
    names = ("linear", "tokens", "positions", "head")
    found = parameters(**{name: [[1.0]] for name in names}, norm=[1.0])
    tables = [found["tokens"], found["positions"]]
    optimiser = Optimiser(found, weight_decay=0.5, embeddings=tables, head=found["head"])
    optimiser.gradients()
    optimiser.step(0.1, clip=1.0)
    values = {name: one.item() for name, one in found.items()}
    decayed = pytest.approx(0.95)
    assert values == {"linear": decayed, "tokens": 1.0, "positions": 1.0, "head": decayed} | {
        "norm": 1.0
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
    found = parameters(**{name: [[1.0]] for name in ("linear", "tokens", "head", "norm")})
    tables = {"embeddings": [found["tokens"]], "head": found["head"]}
    optimiser = Optimiser(found, weight_decay=0.0, embedding_rate=0.2, **tables)
    for rate, at in ((0.1, (0.9, 0.98)), (0.05, (0.85, 0.97))):
        for one in found.values():
            one.grad = torch.ones(1, 1)  # Adam's steps are then the rate, whatever its length
        optimiser.step(rate, clip=1e9)
        whole, share = pytest.approx(at[0]), pytest.approx(at[1])
        assert [one.item() for one in found.values()] == [whole, share, share, whole]


def test_muon_moves_a_matrix_by_its_gradients_directions_all_alike():
    draw = torch.Generator().manual_seed(0)
    gradient = torch.randn(6, 4, generator=draw) @ torch.diag(torch.tensor([1.0, 2.0, 4.0, 8.0]))
    found = parameters(**{"linear.weight": [[0.0] * 4] * 6})
    optimiser = Optimiser(found, weight_decay=0.0, muon=True)
    found["linear.weight"].grad = gradient.clone()
    optimiser.step(0.1, clip=1e9)
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    moved = -(left.T @ found["linear.weight"].detach() @ right.T)  # in the gradient's directions
    alike = moved / (0.1 * 0.2 * 6**0.5)  # the root mean square of AdamW's steps
    assert torch.allclose(alike, torch.diag(alike.diag()), atol=0.05)  # bfloat16 inside
    assert alike.diag().min() > 0.65  # after five Newton-Schulz steps
    assert alike.diag().max() < 1.25


def test_muon_decays_matrices():
    found = parameters(**{"linear.weight": [[1.0, 2.0], [3.0, 4.0]]})
    optimiser = Optimiser(found, weight_decay=0.5, muon=True)
    optimiser.gradients()
    optimiser.step(0.1, clip=1.0)
    # By 0.1 * 0.5; a gradient of zeros has no direction to go.
    assert found["linear.weight"].flatten().tolist() == pytest.approx([0.95, 1.9, 2.85, 3.8])


def test_muon_leaves_embeddings_heads_and_vectors_to_adamw():
    found = parameters(tokens=[[1.0, 1.0]], head=[[1.0, 1.0]], norm=[1.0, 1.0])
    tables = {"embeddings": [found["tokens"]], "head": found["head"]}
    optimiser = Optimiser(found, weight_decay=0.0, embedding_rate=0.5, muon=True, **tables)
    for one in found.values():
        one.grad = torch.full_like(one, 3.0)
    optimiser.step(0.1, clip=1e9)
    assert [one.flatten().tolist() for one in found.values()] == [
        [pytest.approx(0.95)] * 2,
        [pytest.approx(0.95)] * 2,
        [pytest.approx(0.9)] * 2,
    ]


def test_a_state_with_muon_goes_on_bit_by_bit():
    start = {"matrix": [[0.1, 0.2], [0.3, 0.4]], "tokens": [[1.0, 0.5]], "norm": [1.0, 2.0]}
    whole, cut, resumed = parameters(**start), parameters(**start), parameters(**start)

    def muon(found):
        return Optimiser(found, weight_decay=0.1, muon=True, embeddings=[found["tokens"]])

    moved(muon(whole), whole, range(6))
    first = muon(cut)
    moved(first, cut, range(4))
    kept = {name: tensor.clone() for name, tensor in first.state().items()}
    assert {name for name in kept if name.endswith("/matrix")} == {
        "weight/matrix",
        "momentum_buffer/matrix",
    }
    second = muon(resumed)
    second.load(kept, 4)
    moved(second, resumed, range(4, 6))
    for name, one in whole.items():
        assert torch.equal(one, resumed[name])
    with pytest.raises(BadInputError, match="other weights"):
        Optimiser(parameters(**start), weight_decay=0.1).load(kept, 4)


def test_the_mean_row_of_a_centred_head_is_taken_out_after_each_step():
    found = parameters(head=[[1.0, 2.0], [3.0, 6.0]], linear=[[1.0]])
    head = found["head"]
    optimiser = Optimiser(found, weight_decay=0.0, head=head, center_head=True)
    head.grad = torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    optimiser.gradients()
    optimiser.step(0.1, clip=1e9)
    # [[0.9, 2.1], [2.9, 5.9]] without its mean [1.9, 4.0].
    assert [row.tolist() for row in head] == [
        pytest.approx([-1.0, -1.9]),
        pytest.approx([1.0, 1.9]),
    ]
    assert found["linear"].item() == 1.0
