"""Counted FLOPs of a forward pass, beside the closed forms of all known architectures."""

import copy

import numpy as np
import psutil
import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from harness.cost.closed_form import QuadraticFlops, closed_form_flops, forward_flops
from harness.cost.measured import UnmeasurableError, measured_forward_flops
from harness.cost.shape import shape_from_config

# Every architecture that has a closed form; those that are shipped also at published sizes.
SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}
SMALL_GATED = {**SMALL, "intermediate_size": 176, "num_key_value_heads": 2}
SMALL_T5 = {"d_model": 64, "d_ff": 99, "d_kv": 24, "num_layers": 2, "num_heads": 4}
CONFIGS = {
    "bert-small": transformers.BertConfig(**SMALL, intermediate_size=256),
    "roberta-small": transformers.RobertaConfig(**SMALL, intermediate_size=256),
    "camembert-small": transformers.CamembertConfig(**SMALL, intermediate_size=256),
    "xlm-roberta-small": transformers.XLMRobertaConfig(**SMALL, intermediate_size=256),
    "distilbert-small": transformers.DistilBertConfig(dim=64, n_layers=2, n_heads=4, hidden_dim=99),
    "modernbert-small": transformers.ModernBertConfig(
        **SMALL, intermediate_size=99, pad_token_id=0
    ),
    "t5-small": transformers.T5Config(**SMALL_T5),
    "t5-gated": transformers.T5Config(**SMALL_T5, feed_forward_proj="gated-gelu"),
    "mt5-small": transformers.MT5Config(**SMALL_T5),
    "umt5-small": transformers.UMT5Config(**SMALL_T5),
    "mpnet-small": transformers.MPNetConfig(**SMALL, intermediate_size=256),
    "llama-small": transformers.LlamaConfig(**SMALL_GATED),
    "mistral-small": transformers.MistralConfig(**SMALL_GATED),
    "mistral-head-width": transformers.MistralConfig(**SMALL_GATED, head_dim=32),
    "qwen2-small": transformers.Qwen2Config(**SMALL_GATED),
    "qwen3-small": transformers.Qwen3Config(**SMALL_GATED, head_dim=32),
    "phi3-small": transformers.Phi3Config(**SMALL_GATED, pad_token_id=0),
    "gemma-small": transformers.GemmaConfig(**SMALL_GATED, head_dim=32),
    "gemma2-small": transformers.Gemma2Config(**SMALL_GATED, head_dim=32),
    "gemma3-small": transformers.Gemma3TextConfig(**SMALL_GATED, head_dim=32),
    "gpt_neo-small": transformers.GPTNeoConfig(
        hidden_size=64, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]]
    ),
    "gpt2-small": transformers.GPT2Config(n_embd=64, n_layer=2, n_head=4, n_inner=100),
    "opt-small": transformers.OPTConfig(**SMALL, ffn_dim=256),
    "opt-projected": transformers.OPTConfig(**SMALL, ffn_dim=256, word_embed_proj_dim=32),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_closed_form_agrees_with_the_counter(name):
    shape = shape_from_config(CONFIGS[name].to_dict())
    assert shape is not None
    lengths = np.array([1, 8, 64, 512, 4096])
    measured = measured_forward_flops(CONFIGS[name])
    np.testing.assert_allclose(forward_flops(shape, lengths), measured.at(lengths), rtol=1e-9)


def test_measuring_takes_no_memory_and_leaves_the_configuration_alone():
    config = transformers.MistralConfig()
    before = copy.deepcopy(config.to_dict()), config._attn_implementation
    resident = psutil.Process().memory_info().rss
    measured_forward_flops(config)
    # Seven billion parameters would be 14 GB at the least.
    assert psutil.Process().memory_info().rss - resident < 200e6
    assert (config.to_dict(), config._attn_implementation) == before


def test_measuring_an_architecture_without_closed_form():
    config = transformers.CohereConfig(**SMALL_GATED)
    assert shape_from_config(config.to_dict()) is None
    # Queries and output 64 to 64, keys and values 64 to 32, three matrices between 64 and 176.
    per_token = 2 * (2 * 64 * 64) + 2 * (2 * 64 * 32) + 3 * (2 * 64 * 176)
    assert measured_forward_flops(config) == QuadraticFlops(2.0 * per_token, 2.0 * 2 * 2 * 64)


def test_measuring_logits_of_a_head_without_closed_form():
    config = transformers.ElectraConfig(**SMALL, intermediate_size=256, embedding_size=32)
    # From 64 to the embeddings' 32, then to each of 100 tokens.
    head = QuadraticFlops(linear=2 * 64 * 32 + 2 * 32 * 100, quadratic=0)
    assert measured_forward_flops(config, logits=True) == measured_forward_flops(config) + head


@pytest.mark.parametrize(
    "config",
    [
        transformers.MixtralConfig(**SMALL_GATED, num_local_experts=8, num_experts_per_tok=2),
        transformers.Qwen3MoeConfig(
            **SMALL_GATED,
            moe_intermediate_size=48,
            num_experts=16,
            num_experts_per_tok=4,
            head_dim=32,
        ),
    ],
    ids=["mixtral", "qwen3_moe"],
)
def test_routed_experts_by_a_count_of_what_tokens_go_through(config):
    network = transformers.AutoModel.from_config(
        config, attn_implementation="eager", experts_implementation="eager"
    ).eval()
    token_ids = torch.arange(40)[None, :]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(input_ids=token_ids)
    shape = shape_from_config(config.to_dict())
    assert closed_form_flops(shape).at(40) == counter.get_total_flops()


@pytest.mark.parametrize("rope_type", ["dynamic", "yarn"])
def test_scaled_rotary_embeddings_cost_the_same(rope_type):
    rope = {"rope_type": rope_type, "factor": 2.0, "rope_theta": 10000.0}
    plain = transformers.LlamaConfig(**SMALL_GATED)
    scaled = transformers.LlamaConfig(**SMALL_GATED, rope_parameters=rope)
    assert measured_forward_flops(scaled) == measured_forward_flops(plain)
    assert scaled.rope_parameters["rope_type"] == rope_type


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (transformers.MixtralConfig(**SMALL_GATED), "routed experts"),
        (transformers.MambaConfig(hidden_size=64, num_hidden_layers=2), "not a quadratic"),
        (transformers.ViTConfig(), "without weights"),
    ],
)
def test_what_cannot_be_counted_is_refused(config, why):
    with pytest.raises(UnmeasurableError, match=why):
        measured_forward_flops(config)


def test_a_decoder_has_no_logits_of_masked_tokens():
    with pytest.raises(UnmeasurableError, match="without weights"):
        measured_forward_flops(transformers.LlamaConfig(**SMALL_GATED), logits=True)


def test_of_an_encoder_decoder_the_encoder_is_counted():
    config = transformers.T5Config(d_model=64, d_ff=128, d_kv=16, num_layers=2, num_heads=4)
    per_token = 4 * (2 * 64 * 64) + 2 * (2 * 64 * 128)  # q, k, v, o; two feed-forward matrices
    assert measured_forward_flops(config) == QuadraticFlops(2.0 * per_token, 2.0 * 2 * 2 * 64)


def test_a_t5_encoder_that_was_saved_alone_is_counted():
    sizes = {"d_model": 64, "d_ff": 128, "d_kv": 16, "num_layers": 2, "num_heads": 4}
    alone = transformers.T5Config(**sizes, is_encoder_decoder=False, use_cache=False)
    assert measured_forward_flops(alone) == measured_forward_flops(transformers.T5Config(**sizes))
