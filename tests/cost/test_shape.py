"""Shapes read from configuration mappings."""

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


OMITTED = {
    "gpt2": ("n_inner",),
    "gpt_neo": ("intermediate_size",),
    "opt": ("word_embed_proj_dim",),
    **dict.fromkeys(
        ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2"),
        ("num_key_value_heads", "head_dim"),
    ),
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
