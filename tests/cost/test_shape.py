"""Shapes read from configuration mappings."""

from dataclasses import replace

import pytest
import transformers

from harness.cost.shape import TransformerShape, shape_from_config


def test_reads_a_bert_file():
    config = {
        "model_type": "bert",
        "num_hidden_layers": 6,
        "hidden_size": 384,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
        "vocab_size": 30522,
    }
    assert shape_from_config(config) == TransformerShape(
        layers=6,
        width=384,
        attention_heads=12,
        key_value_heads=12,
        head_width=32,
        feed_forward_width=1536,
        gated=False,
        vocabulary_size=30522,
        embedding_width=384,
    )


def test_reads_a_mistral_file():
    config = {
        "model_type": "mistral",
        "num_hidden_layers": 32,
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "vocab_size": 32000,
    }
    assert shape_from_config(config) == TransformerShape(
        layers=32,
        width=4096,
        attention_heads=32,
        key_value_heads=8,
        head_width=128,
        feed_forward_width=14336,
        gated=True,
        vocabulary_size=32000,
        embedding_width=4096,
    )


def test_gpt2_feed_forward_is_four_widths_when_omitted():
    config = {"model_type": "gpt2", "n_layer": 2, "n_embd": 8, "n_head": 2, "vocab_size": 10}
    shape = shape_from_config(config)
    assert shape is not None
    assert shape.feed_forward_width == 32


def test_gemma3_with_a_vision_tower_gives_its_text_part():
    text = {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34}
    config = {"model_type": "gemma3", "text_config": text, "vision_config": {}}
    shape = shape_from_config(config)
    real = transformers.Gemma3Config(text_config=dict(text)).text_config
    assert shape is not None
    assert shape == shape_from_config(real.to_dict())
    assert (shape.attention_heads, shape.head_width) == (8, 256)


def test_t5_tells_by_name_whether_it_is_gated():
    config = {
        "model_type": "t5",
        "num_layers": 8,
        "d_model": 512,
        "num_heads": 6,
        "d_kv": 64,
        "d_ff": 1024,
        "feed_forward_proj": "gated-gelu",
        "vocab_size": 32128,
    }
    shape = shape_from_config(config)
    assert shape == TransformerShape(
        layers=8,
        width=512,
        attention_heads=6,
        key_value_heads=6,
        head_width=64,
        feed_forward_width=1024,
        gated=True,
        vocabulary_size=32128,
        embedding_width=512,
    )
    assert shape_from_config(config | {"feed_forward_proj": "relu"}) == replace(shape, gated=False)


QWEN3_MOE = {  # Qwen3-30B-A3B
    "model_type": "qwen3_moe",
    "num_hidden_layers": 48,
    "hidden_size": 2048,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "vocab_size": 151936,
}


def test_reads_a_file_with_routed_experts():
    assert shape_from_config(QWEN3_MOE) == TransformerShape(
        layers=48,
        width=2048,
        attention_heads=32,
        key_value_heads=4,
        head_width=128,
        feed_forward_width=768,
        gated=True,
        vocabulary_size=151936,
        embedding_width=2048,
        experts=128,
        active_experts=8,
    )


@pytest.mark.parametrize(
    "change",
    [
        {"num_experts": None},
        {"num_experts_per_tok": 0},
        {"mlp_only_layers": [0]},
        {"decoder_sparse_step": 2},
    ],
)
def test_experts_of_some_layers_or_unknown_number_are_none(change):
    assert shape_from_config(QWEN3_MOE | change) is None


OMITTED = {
    "gpt2": ("n_inner",),
    "gpt_neo": ("intermediate_size",),
    "opt": ("word_embed_proj_dim",),
    **dict.fromkeys(
        ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "phi3"),
        ("num_key_value_heads", "head_dim"),
    ),
    **dict.fromkeys(("t5", "mt5", "umt5"), ("feed_forward_proj", "d_kv")),
    "gemma3_text": ("num_key_value_heads", "head_dim", "num_attention_heads", "vocab_size"),
}


@pytest.mark.parametrize("model_type", OMITTED)
def test_omitted_keys_take_the_class_defaults(model_type):
    complete = transformers.AutoConfig.for_model(model_type).to_dict()
    published = {key: value for key, value in complete.items() if key not in OMITTED[model_type]}
    assert shape_from_config(published) == shape_from_config(complete)


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "unheard-of"},
        {"model_type": None},
        {"hidden_size": None},
        {"num_hidden_layers": 0},
        {"intermediate_size": [64, 128]},
        {"num_attention_heads": "4"},
    ],
)
def test_unknown_shapes_are_none(change):
    config = {
        "model_type": "bert",
        "num_hidden_layers": 2,
        "hidden_size": 16,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "vocab_size": 100,
    }
    assert shape_from_config(config) is not None
    assert shape_from_config({**config, **change}) is None


def test_missing_size_and_empty_file_are_none():
    assert shape_from_config({"model_type": "llama", "hidden_size": 8}) is None
    assert shape_from_config({}) is None
