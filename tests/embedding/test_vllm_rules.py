"""What vLLM is asked for, what is refused, and when its embeddings share transformers' places."""

import json

import pytest

from harness.config import ModelConfig, VllmBackendConfig
from harness.config import parse_component as parse
from harness.embedding import vllm_rules as rules
from harness.embedding.model import EmbeddingModel

LLAMA = {
    "model_type": "llama",
    "hidden_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 3,
    "max_position_embeddings": 64,
}


@pytest.fixture
def model(tmp_path):
    """A model of which nothing but `config.json` is read."""

    def make(settings=None, *, without=(), **options):
        content = {**LLAMA, **(settings or {})}
        for name in without:
            del content[name]
        (tmp_path / "config.json").write_text(json.dumps(content))
        (tmp_path / "model.safetensors").write_bytes(b"")
        return EmbeddingModel(ModelConfig(path=str(tmp_path), **{"max_length": 64, **options}))

    return make


@pytest.mark.parametrize(
    ("pooling", "whole", "text_alone"),
    [
        ("last_token", "LAST", "LAST"),
        ("eos", "LAST", "LAST"),
        ("cls", "CLS", "ALL"),
        ("mean", "MEAN", "ALL"),
        ("weighted_mean", "ALL", "ALL"),
        ("max", "ALL", "ALL"),
        ("bos", "CLS", None),
        ("echo", None, "ALL"),
    ],
)
def test_what_vllm_pools_by(pooling, whole, text_alone):
    for include, expected in ((True, whole), (False, text_alone)):
        if expected is not None:
            mapping = {"kind": pooling, "include_instruction": include}
            assert rules.pooling_type(parse("pooling", mapping, where="pooling")) == expected


def test_echo_of_the_last_token_still_has_an_instruction_left_out():
    echo = parse("pooling", {"kind": "echo", "of": "last_token"}, where="pooling")
    assert rules.pooling_type(echo) == "ALL"


def test_splade_is_refused(refusal):
    message = refusal(lambda: rules.pooling_type(parse("pooling", {"kind": "splade"}, where="p")))
    assert "pooling=splade reads the logits" in message
    assert "backend=transformers" in message


class TestAttention:
    @pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
    @pytest.mark.parametrize(
        ("attention", "expected"),
        [
            (None, {}),
            ("causal", {"is_causal": True}),
            ("bidirectional", {"is_causal": False}),
        ],
    )
    def test_is_an_override(self, model, kind, attention, expected):
        made = model({"model_type": kind, "sliding_window": None}, attention=attention)
        assert rules.overrides(made) == expected

    @pytest.mark.parametrize("kind", ["gemma", "gemma2", "phi3", "opt", "gpt2", "bert"])
    def test_other_architectures_have_no_switch(self, model, kind, refusal):
        made = model({"model_type": kind}, attention="bidirectional")
        message = refusal(lambda: rules.overrides(made))
        assert f"not for {kind}" in message
        assert "backend=transformers" in message

    def test_a_window_to_both_sides_is_another_one(self, model, refusal):
        made = model({"model_type": "mistral", "sliding_window": 63}, attention="bidirectional")
        assert "sliding window of 63 tokens" in refusal(lambda: rules.overrides(made))

    def test_a_window_as_long_as_any_prompt_is_none(self, model):
        made = model({"model_type": "mistral", "sliding_window": 64}, attention="bidirectional")
        assert rules.overrides(made) == {"is_causal": False}

    def test_mistrals_unsaid_window(self, model, refusal):
        unsaid = {"model_type": "mistral", "max_position_embeddings": 8192}
        made = model(unsaid, attention="bidirectional", max_length=4097)
        assert "window of 4096" in refusal(lambda: rules.overrides(made))

    def test_a_window_that_is_not_used(self, model):
        unused = {"model_type": "qwen2", "sliding_window": 4, "use_sliding_window": False}
        made = model(unused, attention="bidirectional")
        assert rules.overrides(made) == {"is_causal": False}

    def test_a_causal_window_is_vllms_too(self, model):
        made = model({"model_type": "mistral", "sliding_window": 4}, attention="causal")
        assert rules.overrides(made) == {"is_causal": True}


class TestModel:
    def test_own_code(self, model, refusal):
        message = refusal(lambda: rules.check_model(model(trust_remote_code=True)))
        assert "trust_remote_code" in message

    def test_encoder_of_a_pair(self, model, refusal):
        made = model({"model_type": "t5", "is_encoder_decoder": True})
        assert "pools no encoder of t5" in refusal(lambda: rules.check_model(made))

    def test_any_other_is_tried(self, model):
        rules.check_model(model({"model_type": "gpt_neox"}))


class TestCpu:
    @pytest.mark.parametrize(
        ("settings", "wider"),
        [
            ({}, None),  # 32
            ({"head_dim": 256}, None),
            ({"hidden_size": 32}, 32),  # 8
            ({"head_dim": 48, "model_type": "mistral"}, 64),
        ],
    )
    def test_heads_are_widened_where_they_can_be(self, model, settings, wider):
        config = VllmBackendConfig(data_parallel_size=2)
        assert rules.widened_for_cpu(model(settings), config) == wider

    @pytest.mark.parametrize(
        ("settings", "width"),
        [
            ({"model_type": "qwen3", "head_dim": 16}, 16),
            ({"hidden_size": 192, "model_type": "bert"}, 48),
            ({"head_dim": 1024}, 1024),
        ],
    )
    def test_and_refused_where_they_cannot(self, model, settings, width, refusal):
        config = VllmBackendConfig()
        message = refusal(lambda: rules.widened_for_cpu(model(settings), config))
        assert f"this model's are {width}" in message
        assert "backend=transformers" in message

    def test_no_gpus_to_share_a_model(self, model, refusal):
        config = VllmBackendConfig(tensor_parallel_size=2)
        message = refusal(lambda: rules.widened_for_cpu(model(), config))
        assert "tensor_parallel_size=2" in message


class TestLongestPrompt:
    def test_the_models(self, model):
        assert rules.longest_prompt(model(max_length=48), VllmBackendConfig()) == 48

    def test_a_longer_one(self, model):
        assert rules.longest_prompt(model(), VllmBackendConfig(max_model_len=80)) == 80

    def test_a_shorter_one_would_fail_later(self, model, refusal):
        config = VllmBackendConfig(max_model_len=63)
        message = refusal(lambda: rules.longest_prompt(model(), config))
        assert "model.max_length=63" in message


PROVEN = {"dtype": "float32", "device": "cpu", "release": "0.32.0"}


class TestProof:
    @pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3", "bert"])
    def test_what_the_tests_compare(self, model, kind):
        assert rules.is_proven(model({"model_type": kind}), **PROVEN)

    @pytest.mark.parametrize(
        "other",
        [{"dtype": "bfloat16"}, {"device": "cuda"}, {"release": "0.33.0"}, {"release": "unknown"}],
    )
    def test_anything_else_is_not(self, model, other):
        assert not rules.is_proven(model(), **PROVEN | other)

    @pytest.mark.parametrize(
        "settings",
        [
            {"model_type": "gemma2"},
            {"model_type": "llama", "quantization_config": {"quant_method": "fp8"}},
            {"rope_parameters": {"rope_type": "yarn"}},
            {"rope_scaling": {"type": "linear", "factor": 2.0}},
            {"rope_parameters": {"full_attention": {"rope_type": "default"}}},
            {"model_type": "gemma3", "text_config": {"model_type": "llama"}},
        ],
    )
    def test_nor_are_other_models(self, model, settings):
        assert not rules.is_proven(model(settings), **PROVEN)

    def test_ropes_that_are(self, model):
        for rope in ("default", "llama3"):
            made = model({"rope_parameters": {"rope_type": rope, "rope_theta": 1e4}})
            assert rules.is_proven(made, **PROVEN)


def test_bytes_of_keys_and_values(model):
    # 2 (keys, values) · 3 layers · 2 heads · 32 wide · 4 bytes · 10 tokens
    assert rules.cache_bytes(model(), 10, item=4) == 15_360
    assert rules.cache_bytes(model(), 10, item=4, width=64) == 30_720
    assert rules.cache_bytes(model(without=("num_key_value_heads",)), 10, item=2) == 15_360
    assert rules.cache_bytes(model(without=("num_hidden_layers",)), 10, item=4) is None
