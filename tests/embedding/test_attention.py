"""What a decoder's tokens attend to, against masks made by hand.

Which token depends on which, for every pair; the states of transformers' eager forward under a
hand-made mask, and of a Llama and a GPT-Neo written out in numpy; that neither kernel, padding nor
its side changes a state; and that no architecture is switched that would not follow.
"""

import functools
import json
import shutil

import numpy as np
import pytest
import torch

from harness.config import ModelConfig
from harness.embedding.model import EmbeddingModel
from harness.embedding.network import load_network
from harness.errors import BadInputError
from tests.embedding.tiny import (
    DECODERS,
    allowed,
    expected_states,
    gpt_neo_states,
    llama_states,
    masked_states,
    model_folder,
    plain_network,
)

pytestmark = pytest.mark.usefixtures("one_thread")

ATTENTIONS = ("causal", "bidirectional")
IDS = np.random.default_rng(5).integers(10, 250, 24).tolist()
ROWS = [IDS[:1], IDS[1:3], IDS[:9], IDS, IDS[4:17]]
KERNELS = [
    (name, kernel)
    for name in DECODERS
    for kernel in ("eager", "auto" if name == "gpt_neo" else "sdpa")  # GPT-Neo knows no sdpa
]
both_kernels = pytest.mark.parametrize(("name", "kernel"), KERNELS)
both_attentions = pytest.mark.parametrize("attention", ATTENTIONS)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A function from an architecture's name to the folder of its tiny model."""
    return functools.partial(model_folder, tmp_path_factory.getbasetemp())


@functools.cache
def loaded(folder, attention, kernel):
    model = EmbeddingModel(ModelConfig(path=str(folder), attention=attention))
    return load_network(model, dtype="float32", kernel=kernel)


def states_of(network, rows, side="right"):
    """Token states of each row, encoded together in one padded batch."""
    longest = max(len(row) for row in rows)
    ids = np.zeros((len(rows), longest), np.int64)
    real = np.zeros((len(rows), longest), bool)
    for number, row in enumerate(rows):
        place = slice(longest - len(row), None) if side == "left" else slice(len(row))
        ids[number, place] = row
        real[number, place] = True
    positions = np.maximum(real.cumsum(1) - 1, 0)
    with torch.inference_mode():
        states = network(
            input_ids=torch.from_numpy(ids),
            attention_mask=torch.from_numpy(real.astype(np.int64)),
            position_ids=torch.from_numpy(positions),
            use_cache=False,
        ).last_hidden_state.numpy()
    return [states[number][real[number]] for number in range(len(rows))]


def movement(network):
    """How much each token's state (row) moves when one token (column) is another."""
    changed = [[*IDS[:at], 255, *IDS[at + 1 :]] for at in range(len(IDS))]
    before, *after = states_of(network, [IDS, *changed])
    return np.stack([np.abs(states - before).max(axis=1) for states in after], axis=1)


def dependence(name, attention):
    """Which token's state (row) can depend on which token (column), through all layers."""
    masks = allowed(name, attention, len(IDS))
    return functools.reduce(lambda below, mask: mask @ below, masks)


def refusal(path, attention, kernel="eager"):
    with pytest.raises(BadInputError) as error:
        load_network(
            EmbeddingModel(ModelConfig(path=str(path), attention=attention)),
            dtype="float32",
            kernel=kernel,
        )
    assert "\n" not in str(error.value)
    return str(error.value)


@both_kernels
def test_causal_states_do_not_know_later_tokens(folder, name, kernel):
    moved = movement(loaded(folder(name), "causal", kernel))
    assert moved[np.triu_indices(len(IDS), 1)].max() <= 1e-6
    assert moved.diagonal().min() > 1e-3


@both_kernels
def test_a_decoder_is_causal_unless_told_otherwise(folder, name, kernel):
    own, causal = (states_of(loaded(folder(name), a, kernel), ROWS) for a in (None, "causal"))
    for found, expected in zip(own, causal, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@both_kernels
def test_bidirectional_states_know_later_tokens(folder, name, kernel):
    moved = movement(loaded(folder(name), "bidirectional", kernel))
    seen = dependence(name, "bidirectional")
    assert seen[0, -1] == (None in DECODERS[name].windows)
    assert moved[0, 1:].max() > 0.1
    assert moved[0][seen[0]].min() > 1e-3


@both_attentions
@both_kernels
def test_a_state_depends_on_no_token_outside_its_windows(folder, name, kernel, attention):
    moved = movement(loaded(folder(name), attention, kernel))
    seen = dependence(name, attention)
    assert moved[~seen].max(initial=0) <= 1e-6
    assert moved[seen].min() > 1e-5


# Tokens behind and ahead that a state depends on through two layers, counted by hand.
@pytest.mark.parametrize(
    ("name", "attention", "back", "ahead"),
    [
        ("mistral", "causal", 4, 0),  # twice a window of 3 that holds the token itself
        ("mistral", "bidirectional", 6, 6),  # twice 3 to each side
        ("phi3_sliding", "causal", 8, 0),
        ("phi3_sliding", "bidirectional", 10, 10),
    ],
)
def test_a_sliding_window_holds_to_both_sides(folder, name, attention, back, ahead):
    moved = movement(loaded(folder(name), attention, "sdpa"))[12]
    assert np.flatnonzero(moved > 1e-6).tolist() == list(range(12 - back, 12 + ahead + 1))


@pytest.mark.parametrize(
    ("attention", "back", "ahead"), [("causal", 3, 0), ("bidirectional", 3, 3)]
)
def test_gpt_neos_local_layers_see_less_than_a_window_to_both_sides(
    folder, tmp_path, attention, back, ahead
):
    copy = shutil.copytree(folder("gpt_neo"), tmp_path / "copy")
    settings = json.loads((copy / "config.json").read_text())
    settings |= {"attention_types": [[["local"], 2]], "attention_layers": ["local"] * 2}
    (copy / "config.json").write_text(json.dumps(settings))
    moved = movement(loaded(copy, attention, "eager"))[12]
    wanted = list(range(12 - 2 * back, 12 + 2 * ahead + 1))
    assert np.flatnonzero(moved > 1e-6).tolist() == wanted


@both_attentions
@both_kernels
def test_states_equal_transformers_under_a_mask_made_by_hand(folder, name, kernel, attention):
    found = states_of(loaded(folder(name), attention, kernel), ROWS)
    if name == "gpt_neo":  # takes no mask; see the next test for the function used here
        expected = [
            gpt_neo_states(folder(name), row, allowed(name, attention, len(row))) for row in ROWS
        ]
    else:
        network = plain_network(folder(name))
        expected = [
            masked_states(network, name, row, allowed(name, attention, len(row))) for row in ROWS
        ]
    for each, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(each, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "by_hand"), [("llama", llama_states), ("gpt_neo", gpt_neo_states)]
)
def test_the_forward_written_by_hand_is_the_models(folder, name, by_hand):
    plain = expected_states(folder(name), name, "causal")
    for row in ROWS:
        masks = allowed(name, "causal", len(row))
        np.testing.assert_allclose(by_hand(folder(name), row, masks), plain(row), rtol=0, atol=1e-4)


@both_attentions
@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_llama_equals_a_forward_written_by_hand(folder, kernel, attention):
    path = folder("llama")
    found = states_of(loaded(path, attention, kernel), ROWS)
    for each, row in zip(found, ROWS, strict=True):
        visible = np.ones((len(row), len(row)), bool)
        masks = [visible if attention == "bidirectional" else np.tril(visible)] * 2
        np.testing.assert_allclose(each, llama_states(path, row, masks), rtol=0, atol=1e-4)


@both_attentions
def test_gpt_neo_equals_a_forward_written_by_hand(folder, attention):
    path = folder("gpt_neo")
    found = states_of(loaded(path, attention, "eager"), ROWS)
    for each, row in zip(found, ROWS, strict=True):
        visible = np.ones((len(row), len(row)), bool)
        visible = visible if attention == "bidirectional" else np.tril(visible)
        near = np.abs(np.subtract.outer(range(len(row)), range(len(row)))) < 4
        masks = [visible, visible & near]  # the first layer is global, the second local
        np.testing.assert_allclose(each, gpt_neo_states(path, row, masks), rtol=0, atol=1e-4)


@pytest.mark.parametrize("side", ["right", "left"])
@both_attentions
@both_kernels
def test_neither_kernel_nor_padding_changes_a_state(folder, name, kernel, attention, side):
    found = states_of(loaded(folder(name), attention, kernel), ROWS, side)
    plain = loaded(folder(name), attention, "eager")
    for each, row in zip(found, ROWS, strict=True):
        (alone,) = states_of(plain, [row])
        np.testing.assert_allclose(each, alone, rtol=1e-5, atol=1e-5)


@both_attentions
@pytest.mark.parametrize("kernel", ["auto", "eager", "sdpa"])
def test_gemma2s_soft_cap_holds_whatever_the_kernel(folder, kernel, attention):
    path = folder("gemma2_capped")
    try:
        network = loaded(path, attention, kernel)
    except BadInputError as error:
        assert kernel == "sdpa"
        assert "backend.attention=eager" in str(error)  # noqa: PT017 -- it need not be raised
        return
    plain = plain_network(path)
    for each, row in zip(states_of(network, ROWS), ROWS, strict=True):
        wanted = masked_states(
            plain, "gemma2_capped", row, allowed("gemma2_capped", attention, len(row))
        )
        np.testing.assert_allclose(each, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_a_decoder_published_as_bidirectional_is_left_so(folder, kernel, side):
    path = folder("embeddinggemma")
    plain = plain_network(path)
    found = states_of(loaded(path, None, kernel), ROWS, side)
    for each, row in zip(found, ROWS, strict=True):
        masks = allowed("embeddinggemma", "bidirectional", len(row))
        wanted = masked_states(plain, "embeddinggemma", row, masks)
        np.testing.assert_allclose(each, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_a_decoder_published_as_bidirectional_can_be_made_causal(folder, kernel):
    moved = movement(loaded(folder("embeddinggemma"), "causal", kernel))
    assert moved[np.triu_indices(len(IDS), 1)].max() <= 1e-6
    assert moved.diagonal().min() > 1e-3


@both_attentions
@pytest.mark.parametrize("name", ["bert", "roberta", "modernbert", "t5", "gpt_neox", "bloom"])
def test_an_architecture_without_the_switch_is_refused(folder, name, attention):
    message = refusal(folder(name), attention)
    assert f"model.attention={attention}" in message
    assert name in message


@both_attentions
def test_gpt_neo_has_no_sdpa_and_says_what_to_use(folder, attention):
    assert "backend.attention=eager" in refusal(folder("gpt_neo"), attention, kernel="sdpa")
