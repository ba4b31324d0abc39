"""Prepacked linear layers: what nn.Linear and its activation give, and which layers become so."""

import json
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file
from torch import nn
from transformers.activations import ACT2FN

from harness.embedding import prepacked
from harness.embedding.prepacked import PrepackedLinear, can_prepack, prepack
from tests.embedding.passes import backend, close, embedded, prompts_of
from tests.embedding.tiny import model_folder, plain_network

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not can_prepack("float32"), reason="this torch has no oneDNN operators"),
]
needs_bfloat16 = pytest.mark.skipif(
    not can_prepack("bfloat16"), reason="this CPU has no bfloat16 in oneDNN"
)

MAPS = Path("/proc/self/maps")
KERNELS = prepacked._KERNELS
ROWS = [[5, 6, 7, 8, 9], [1], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0], [20, 200, 30]]


def activations():
    """transformers' activations by the names of their classes."""
    found = {type(ACT2FN[name]).__name__: ACT2FN[name] for name in ACT2FN}
    return {**found, "SiLU": nn.SiLU(), "ReLU": nn.ReLU()}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.getbasetemp()


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return nn.Linear(48, 40)


def states_of(*shape):
    """Token states, some of them so large that an activation is at its end."""
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(*shape, generator=generator)
    return states * torch.logspace(-2, 1.5, shape[-2])[:, None]


def linear_layers(network):
    return [name for name, module in network.named_modules() if type(module) is nn.Linear]


def prepacked_layers(network):
    return [name for name, each in network.named_modules() if isinstance(each, PrepackedLinear)]


class TestLayer:
    """One layer."""

    @pytest.mark.parametrize("shape", [(1, 48), (7, 48), (2500, 48), (1, 9, 48), (3, 5, 48)])
    @pytest.mark.parametrize("bias", [True, False])
    def test_float32(self, linear, shape, bias):
        if not bias:
            linear.bias = None
        states = states_of(*shape)
        with torch.inference_mode():
            found, expected = PrepackedLinear(linear)(states), linear(states)
        assert (found.dtype, found.shape) == (torch.float32, expected.shape)
        assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()

    @pytest.mark.parametrize("name", KERNELS)
    def test_activations_in_float32(self, linear, name):
        states = states_of(200, 48)
        activation = activations()[name]
        with torch.inference_mode():
            found = PrepackedLinear(linear, KERNELS[name])(states)
            expected = activation(linear(states))
            plain = linear(states)
        assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()
        assert not torch.allclose(found, plain, atol=1e-2)

    @needs_bfloat16
    @pytest.mark.parametrize("name", [None, *KERNELS])
    def test_bfloat16_is_no_farther_from_the_truth_than_torch(self, linear, name):
        linear = linear.bfloat16()
        states = states_of(200, 48).bfloat16()
        activation = activations()[name] if name else nn.Identity()
        kernel = (KERNELS[name],) if name else ()
        with torch.inference_mode():
            found = PrepackedLinear(linear, *kernel)(states)
            torchs = activation(linear(states))
            exact = activation(linear.double()(states.double()))
        assert found.dtype == torch.bfloat16

        def error(values):
            return float((values.double() - exact).norm() / exact.norm())

        assert error(found) <= 1.05 * error(torchs)
        assert error(found) < 2**-8

    def test_the_weight_is_a_copy(self, linear):
        states = states_of(7, 48)
        layer = PrepackedLinear(linear)
        with torch.inference_mode():
            before = layer(states)
            linear.weight.zero_()
            torch.testing.assert_close(layer(states), before, rtol=0, atol=0)
        assert list(layer.parameters()) == []

    def test_dtypes(self):
        assert not can_prepack("float16")
        assert can_prepack("bfloat16") == torch.ops.mkldnn._is_mkldnn_bf16_supported()


class TestNetwork:
    """Which layers are replaced, and what the network then computes."""

    def compared(self, config, cls):
        """A network before and after, on the same tokens."""
        torch.manual_seed(2)
        network = cls(config).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
        with torch.inference_mode():
            expected = network(torch.tensor([ROWS[2]]))[0]
            prepack(network)
            found = network(torch.tensor([ROWS[2]]))[0]
        assert linear_layers(network) == []
        close(found.numpy(), expected.numpy())
        return network

    decoder = {  # noqa: RUF012  # read only
        "vocab_size": 50,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "pad_token_id": 0,
    }

    @pytest.mark.parametrize("activation", sorted(set(ACT2FN) - {"prelu", "xielu"}))
    def test_a_gated_layer_takes_its_activation_in(self, activation):
        config = transformers.LlamaConfig(**self.decoder, hidden_act=activation)
        network = self.compared(config, transformers.LlamaModel)
        known = type(ACT2FN[activation]).__name__ in KERNELS
        for layer in network.layers:
            assert isinstance(layer.mlp.act_fn, nn.Identity) == known
            assert (layer.mlp.gate_proj._activation != ("none", "")) == known
            assert layer.mlp.up_proj._activation == ("none", "")

    @pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu", "silu", "mish"])
    def test_an_encoders_layer_takes_its_activation_in(self, activation):
        config = transformers.BertConfig(**self.decoder, hidden_act=activation)
        network = self.compared(config, transformers.BertModel)
        known = activation != "mish"
        for layer in network.encoder.layer:
            assert isinstance(layer.intermediate.intermediate_act_fn, nn.Identity) == known
            assert (layer.intermediate.dense._activation != ("none", "")) == known
            assert layer.output.dense._activation == ("none", "")

    def test_gate_and_product_in_one_layer_keep_their_activation(self):
        network = self.compared(transformers.Phi3Config(**self.decoder), transformers.Phi3Model)
        for layer in network.layers:
            assert layer.mlp.gate_up_proj._activation == ("none", "")
            assert not isinstance(layer.mlp.activation_fn, nn.Identity)

    def test_a_masked_language_models_head(self):
        config = transformers.BertConfig(**self.decoder)
        network = self.compared(config, transformers.BertForMaskedLM)
        assert isinstance(network.cls.predictions.decoder, PrepackedLinear)
        assert isinstance(network.get_input_embeddings(), nn.Embedding)

    def test_only_embeddings_and_norms_are_left(self):
        config = transformers.LlamaConfig(**self.decoder)
        network = self.compared(config, transformers.LlamaModel)
        left = {name.split(".")[-2] for name, _ in network.named_parameters()}
        norms = {"norm", "input_layernorm", "post_attention_layernorm"}
        assert left == {"embed_tokens", *norms}

    def test_subclasses_are_left_alone(self):
        attention = nn.MultiheadAttention(8, 2).eval()
        outer = nn.Sequential(nn.Linear(8, 8), attention)
        own = attention.out_proj
        assert isinstance(own, nn.Linear)
        assert type(own) is not nn.Linear
        prepack(outer)
        assert attention.out_proj is own
        assert isinstance(outer[0], PrepackedLinear)

    def test_a_weight_goes_when_its_copy_is_there(self, monkeypatch):
        network = nn.Sequential(*(nn.Sequential(nn.Linear(8, 8)) for _ in range(20)))
        weights = [weakref.ref(block[0].weight) for block in network]
        alive = []

        class Counted(PrepackedLinear):
            def __init__(self, *args):
                super().__init__(*args)
                alive.append(sum(weight() is not None for weight in weights))

        monkeypatch.setattr(prepacked, "PrepackedLinear", Counted)
        prepack(network)
        # At each copy the layer itself is there, the one before it at most, and those to come.
        assert len(alive) == 20
        assert all(count <= 20 - done + 1 for done, count in enumerate(alive))
        assert [weight() for weight in weights] == [None] * 20


class TestBackend:
    """Which networks a backend prepacks."""

    @pytest.fixture
    def tiny(self, tiny_llama, tiny_bert):
        return {"llama": tiny_llama, "bert": tiny_bert}

    @pytest.mark.parametrize("name", ["llama", "gemma", "phi3", "bert", "roberta"])
    def test_a_packed_network_on_the_cpu(self, root, name):
        folder = model_folder(root, name)
        each = backend(folder, device="cpu")
        assert each.packed
        assert linear_layers(each.network) == []
        assert prepacked_layers(each.network) == linear_layers(plain_network(folder))

    @pytest.mark.skipif(not MAPS.is_file(), reason="what is mapped cannot be read")
    @pytest.mark.parametrize(("name", "pooling"), [("llama", "mean"), ("bert", "splade")])
    def test_the_weights_file_does_not_stay_in_memory(self, tiny, tmp_path, name, pooling):
        folder = shutil.copytree(tiny[name], tmp_path / "of-its-own")
        each = backend(folder, pooling, device="cpu")
        each.load()
        assert str(folder) not in MAPS.read_text()

    @pytest.mark.parametrize("options", [{"attention": "sdpa"}, {"dtype": "float16"}])
    def test_other_networks_are_as_transformers_loads_them(self, root, options):
        folder = model_folder(root, "llama")
        each = backend(folder, device="cpu", **options)
        assert prepacked_layers(each.network) == []
        assert linear_layers(each.network) == linear_layers(plain_network(folder))

    @pytest.mark.parametrize("merge", [True, False])
    def test_adapters_are_left_alone(self, tmp_path, golden_tiny, merge):
        golden_tiny.write_model(tmp_path / "base", "llama")
        golden_tiny.write_adapter(tmp_path / "lora", "llama", name="simcse")
        model = {"adapters": [str(tmp_path / "lora")], "merge_last_adapter": merge}
        each = backend(tmp_path / "base", model=model, device="cpu")
        assert each.packed
        assert prepacked_layers(each.network) == []
        stacked = any("lora" in name for name, _ in each.network.named_parameters())
        assert stacked != merge
        padded = backend(tmp_path / "base", model=model, device="cpu", attention="sdpa")
        close(embedded(each, prompts_of(ROWS)), embedded(padded, prompts_of(ROWS)))
        bare = embedded(backend(tmp_path / "base", device="cpu"), prompts_of(ROWS))
        assert np.abs(embedded(each, prompts_of(ROWS)) - bare).max() > 0.1

    def test_heads_read_their_matrix_as_before(self, tiny_llama, tmp_path):
        folder = shutil.copytree(tiny_llama, tmp_path / "model")
        each = backend(folder, device="cpu")
        embedded(each, prompts_of(ROWS))
        assert prepacked_layers(each.network) != []
        expected = load_file(tiny_llama / "model.safetensors")
        for name in ("lm_head.weight", "model.layers.0.mlp.gate_proj.weight"):
            place = each._model.find_tensor((name,))
            np.testing.assert_array_equal(place.read(), expected[name])
        written = json.loads((folder / "config.json").read_text())
        assert written == json.loads((tiny_llama / "config.json").read_text())
