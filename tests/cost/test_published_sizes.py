"""Closed forms at the published sizes of real models, against torch's counter at real lengths.

Each entry is the part of a published config.json that decides the sizes, as it is written there.
"""

import peft
import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from harness.cost.closed_form import added_flops, closed_form_flops, mlm_head_flops
from harness.cost.measured import measured_forward_flops
from harness.cost.shape import shape_from_config


def _bert(layers, width, inner, heads=12, kind="bert", vocabulary=30522):
    return {
        "model_type": kind,
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "vocab_size": vocabulary,
    }


def _decoder(kind, layers, width, heads, inner, vocabulary, **more):
    return _bert(layers, width, inner, heads, kind, vocabulary) | more


def _gemma(**more):
    sizes = {"num_key_value_heads": 1, "head_dim": 256, "sliding_window": 512}
    return _decoder("gemma3_text", 24, 768, 3, 1152, 262144, **sizes, **more)


T5_BASE = {
    "model_type": "t5",
    "num_layers": 12,
    "d_model": 768,
    "num_heads": 12,
    "d_kv": 64,
    "d_ff": 3072,
    "vocab_size": 32128,
}
PUBLISHED = {
    "all-MiniLM-L6-v2": _bert(6, 384, 1536),
    "bge-small, e5-small": _bert(12, 384, 1536),
    "bge-base, e5-base, contriever, splade-v3": _bert(12, 768, 3072),
    "bge-large, e5-large": _bert(24, 1024, 4096, heads=16),
    "all-mpnet-base-v2": _bert(12, 768, 3072, kind="mpnet", vocabulary=30527),
    "xlm-roberta-base": _bert(12, 768, 3072, kind="xlm-roberta", vocabulary=250002),
    "xlm-roberta-large": _bert(24, 1024, 4096, 16, "xlm-roberta", 250002),
    "distilbert-base": {
        "model_type": "distilbert",
        "n_layers": 6,
        "dim": 768,
        "n_heads": 12,
        "hidden_dim": 3072,
        "vocab_size": 30522,
    },
    "ModernBERT-base": _bert(22, 768, 1152, kind="modernbert", vocabulary=50368),
    "ModernBERT-large": _bert(28, 1024, 2624, 16, "modernbert", 50368),
    "gtr-t5-base, sentence-t5-base": T5_BASE,
    "t5-v1_1-base": T5_BASE | {"d_ff": 2048, "feed_forward_proj": "gated-gelu"},
    "mt5-small": {
        "model_type": "mt5",
        "num_layers": 8,
        "d_model": 512,
        "num_heads": 6,  # times d_kv is not d_model
        "d_kv": 64,
        "d_ff": 1024,
        "vocab_size": 250112,
    },
    "SGPT-1.3B (gpt-neo-1.3B)": {
        "model_type": "gpt_neo",
        "num_layers": 24,
        "hidden_size": 2048,
        "num_heads": 16,
        "intermediate_size": None,
        "attention_types": [[["global", "local"], 12]],
        "window_size": 256,
        "vocab_size": 50257,
    },
    "opt-1.3b": {
        **{"model_type": "opt", "num_hidden_layers": 24, "hidden_size": 2048, "ffn_dim": 8192},
        **{"num_attention_heads": 32, "word_embed_proj_dim": 2048, "vocab_size": 50272},
    },
    "opt-350m": {
        **{"model_type": "opt", "num_hidden_layers": 24, "hidden_size": 1024, "ffn_dim": 4096},
        **{"num_attention_heads": 16, "word_embed_proj_dim": 512, "vocab_size": 50272},
        "do_layer_norm_before": False,
    },
    "LLaMA-7B, Llama-2-7b": _decoder("llama", 32, 4096, 32, 11008, 32000),
    "Meta-Llama-3-8B": _decoder("llama", 32, 4096, 32, 14336, 128256, num_key_value_heads=8),
    "Sheared-LLaMA-1.3B": _decoder("llama", 24, 2048, 16, 5504, 32000, num_key_value_heads=16),
    "Mistral-7B, e5-mistral, GritLM-7B": _decoder(
        "mistral", 32, 4096, 32, 14336, 32000, num_key_value_heads=8, sliding_window=4096
    ),
    "gte-Qwen2-1.5B": _decoder("qwen2", 28, 1536, 12, 8960, 151646, num_key_value_heads=2),
    "gte-Qwen2-7B": _decoder("qwen2", 28, 3584, 28, 18944, 151646, num_key_value_heads=4),
    "Qwen3-Embedding-0.6B": _decoder(
        "qwen3", 28, 1024, 16, 3072, 151669, num_key_value_heads=8, head_dim=128
    ),
    "Qwen3-Embedding-4B": _decoder(
        "qwen3", 36, 2560, 32, 9728, 151665, num_key_value_heads=8, head_dim=128
    ),
    "Qwen3-Embedding-8B": _decoder(
        "qwen3", 36, 4096, 32, 12288, 151665, num_key_value_heads=8, head_dim=128
    ),
    "Phi-3-mini": _decoder("phi3", 32, 3072, 32, 8192, 32064, num_key_value_heads=32),
    "embeddinggemma-300m": _gemma(use_bidirectional_attention=True),
    "embeddinggemma-300m, causal": _gemma(use_bidirectional_attention=False),
    "embeddinggemma-300m, no windows": _gemma(
        use_bidirectional_attention=True, layer_types=["full_attention"] * 24
    ),
}
WITH_MLM_HEAD = [
    "bge-base, e5-base, contriever, splade-v3",
    "all-mpnet-base-v2",
    "xlm-roberta-base",
    "distilbert-base",
    "ModernBERT-large",
]


def _network(published, automatic):
    sizes = {key: value for key, value in published.items() if key != "model_type"}
    config = transformers.AutoConfig.for_model(published["model_type"], **sizes)
    with torch.device("meta"):
        return automatic.from_config(config, attn_implementation="eager").eval()


def _counted(network, length):
    token_ids = torch.zeros((1, length), dtype=torch.long, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(input_ids=token_ids)
    return counter.get_total_flops()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_agree_with_the_counter(name):
    published = PUBLISHED[name]
    t5 = published["model_type"] in ("t5", "mt5")
    automatic = transformers.AutoModelForTextEncoding if t5 else transformers.AutoModel
    # Beyond the windows of embeddinggemma and GPT-Neo.
    length = 1024 if published["model_type"] in ("gemma3_text", "gpt_neo") else 512
    closed = closed_form_flops(shape_from_config(published)).at(length)
    # Some have a pooler, one product a text.
    assert closed == pytest.approx(_counted(_network(published, automatic), length), rel=1e-4)


@pytest.mark.parametrize("name", WITH_MLM_HEAD)
def test_logits_of_every_token_agree_with_the_counter(name):
    network = _network(PUBLISHED[name], transformers.AutoModelForMaskedLM)
    shape = shape_from_config(PUBLISHED[name])
    counted = _counted(network, 512)
    assert closed_form_flops(shape, logits=True).at(512) == counted
    assert measured_forward_flops(network.config, logits=True).at(512) == counted
    # The head alone, by its exact products.
    head = _counted(network, 512) - _counted(network.base_model, 512)
    assert head == 512 * mlm_head_flops(shape.width, shape.vocabulary_size)


def test_stacked_lora_adds_what_the_counter_counts():
    published = PUBLISHED["Mistral-7B, e5-mistral, GritLM-7B"]
    network = _network(published, transformers.AutoModel)
    before = _counted(network, 512)
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    stacked = peft.get_peft_model(network, peft.LoraConfig(r=16, target_modules=names))
    parameters = sum(
        weight.numel() for name, weight in stacked.named_parameters() if "lora_" in name
    )
    # r times in and out of each matrix: 16 * 32 * (2 * 8192 + 2 * 5120 + 3 * 18432).
    assert parameters == 41_943_040
    added = _counted(stacked.base_model.model, 512) - before
    assert added_flops(lora_parameters=parameters).at(512) == added


def test_dense_layers_after_the_pooling_by_the_counter():
    # embeddinggemma's: 768 to 3072 and back.
    with torch.device("meta"):
        layers = torch.nn.Sequential(torch.nn.Linear(768, 3072), torch.nn.Linear(3072, 768))
        pooled = torch.zeros(1, 768)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        layers(pooled)
    added = added_flops(dense_layers=[tuple(layer.weight.shape) for layer in layers])
    assert added.at([1, 512]).tolist() == [counter.get_total_flops()] * 2
