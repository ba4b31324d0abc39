"""Wider heads compute the same: by plain transformers, and a matrix by hand."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from harness.config import ModelConfig
from harness.embedding.checkpoint import checkpoint
from harness.embedding.model import EmbeddingModel
from harness.embedding.wide_heads import can_widen, head_width, widen

IDS = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 30, 20, 200, 17, 17, 3] * 3
LLAMA = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 8}


def states(folder):
    network = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        return network(torch.tensor([IDS])).last_hidden_state[0].numpy()


@pytest.fixture
def golden(golden_tiny, tmp_path):
    def make(name):
        golden_tiny.write_model(tmp_path / name, name)
        return tmp_path / name

    return make


@pytest.mark.parametrize("name", ["llama", "mistral"])
def test_computes_the_same(golden, tmp_path, name):
    source = golden(name)
    target = shutil.copytree(source, tmp_path / "wide")
    widen(target, 32)
    settings = json.loads((target / "config.json").read_text())
    assert head_width(settings) == 32
    assert load_file(target / "model.safetensors")["model.layers.0.self_attn.k_proj.weight"].shape[
        0
    ] == (32 * settings["num_key_value_heads"])
    np.testing.assert_allclose(states(target), states(source), rtol=0, atol=2e-5)


def test_of_a_trained_model(stories, tmp_path):
    folder = checkpoint(
        EmbeddingModel(ModelConfig(path=str(stories))), tmp_path, dtype="float32", head_width=32
    )
    np.testing.assert_allclose(states(folder), states(stories), rtol=0, atol=5e-5)


def test_with_an_adapter_merged_first(golden, golden_tiny, tmp_path):
    golden_tiny.write_adapter(tmp_path / "adapter", "llama", name="mntp")
    model = EmbeddingModel(
        ModelConfig(path=str(golden("llama")), adapters=[str(tmp_path / "adapter")])
    )
    cache = tmp_path / "cache"
    narrow = checkpoint(model, cache, dtype="float32")
    wide = checkpoint(model, cache, dtype="float32", head_width=32)
    assert narrow != wide
    np.testing.assert_allclose(states(wide), states(narrow), rtol=0, atol=2e-5)


def test_the_models_own_files_are_not_touched(golden, tmp_path):
    source = golden("llama")
    before = {file.name: file.read_bytes() for file in source.iterdir()}
    model = EmbeddingModel(ModelConfig(path=str(source)))
    checkpoint(model, tmp_path / "cache", dtype="float32", head_width=32)
    assert {file.name: file.read_bytes() for file in source.iterdir()} == before


def test_a_head_by_hand(tmp_path):
    from safetensors.torch import save_file

    settings = {"model_type": "llama", "hidden_size": 1, "head_dim": 2, "num_attention_heads": 2}
    (tmp_path / "config.json").write_text(json.dumps(settings | {"rope_theta": 100.0}))
    column = torch.tensor([[1.0], [2.0], [3.0], [4.0]])  # two heads of two
    tensors = {"q_proj.weight": column, "k_proj.weight": column + 0, "o_proj.weight": column.T + 0}
    save_file(tensors, tmp_path / "model.safetensors")
    widen(tmp_path, 8)
    wide = load_file(tmp_path / "model.safetensors")
    spread = [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]
    assert wide["k_proj.weight"].flatten().tolist() == spread
    assert wide["q_proj.weight"].flatten().tolist() == [2 * value for value in spread]
    assert wide["o_proj.weight"].tolist() == [spread]
    changed = json.loads((tmp_path / "config.json").read_text())
    assert changed["rope_parameters"] == {"rope_type": "default", "rope_theta": 1e8}
    assert "rope_theta" not in changed


@pytest.mark.parametrize(
    ("settings", "able"),
    [
        ({}, True),
        ({"model_type": "mistral"}, True),
        ({"model_type": "qwen2"}, False),  # biases
        ({"model_type": "qwen3"}, False),  # heads are normalised
        ({"attention_bias": True}, False),
        ({"head_dim": 7}, False),
        ({"rope_parameters": {"rope_type": "llama3"}}, False),
        ({"rope_scaling": {"type": "linear"}}, False),
        ({"rope_theta": 1e10}, False),  # to the fourth
        ({"quantization_config": {}}, False),
    ],
)
def test_which_models_can_be(settings, able):
    assert can_widen(LLAMA | settings, 32) is able
