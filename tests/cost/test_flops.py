"""FLOPs: literal arithmetic, torch's counter as the oracle, and invariants."""

import copy
import subprocess
import sys
from dataclasses import replace

import numpy as np
import psutil
import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.cost.flops import (
    QuadraticFlops,
    TransformerShape,
    UnmeasurableError,
    closed_form_flops,
    dense_scoring_flops,
    forward_flops,
    head_flops,
    measured_forward_flops,
    padding_share,
    ridge_fit_flops,
    shape_from_config,
    sparse_scoring_flops,
    splade_flops,
)

TINY = TransformerShape(
    layers=2,
    width=4,
    attention_heads=2,
    key_value_heads=2,
    head_width=2,
    feed_forward_width=16,
    gated=False,
    vocabulary_size=10,
    embedding_width=4,
)

# Small and real sizes of every architecture that has a closed form.
SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}
SMALL_GATED = {**SMALL, "intermediate_size": 176, "num_key_value_heads": 2}
CONFIGS = {
    "bert-small": transformers.BertConfig(**SMALL, intermediate_size=256),
    "bert-base": transformers.BertConfig(),
    "roberta-small": transformers.RobertaConfig(**SMALL, intermediate_size=256),
    "roberta-large": transformers.RobertaConfig(
        hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
    ),
    "xlm-roberta-base": transformers.XLMRobertaConfig(vocab_size=250002),
    "camembert-base": transformers.CamembertConfig(),
    "distilbert-base": transformers.DistilBertConfig(),
    "mpnet-small": transformers.MPNetConfig(**SMALL, intermediate_size=256),
    "mpnet-base": transformers.MPNetConfig(),
    "llama-small": transformers.LlamaConfig(**SMALL_GATED),
    "llama-7b": transformers.LlamaConfig(),
    "mistral-small": transformers.MistralConfig(**SMALL_GATED),
    "mistral-7b": transformers.MistralConfig(),
    "mistral-head-width": transformers.MistralConfig(**SMALL_GATED, head_dim=32),
    "qwen2-small": transformers.Qwen2Config(**SMALL_GATED),
    "qwen2-1.5b": transformers.Qwen2Config(
        hidden_size=1536,
        num_hidden_layers=28,
        num_attention_heads=12,
        num_key_value_heads=2,
        intermediate_size=8960,
    ),
    "qwen3-small": transformers.Qwen3Config(**SMALL_GATED, head_dim=32),
    "qwen3-0.6b": transformers.Qwen3Config(
        hidden_size=1024,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        intermediate_size=3072,
    ),
    "gemma-small": transformers.GemmaConfig(**SMALL_GATED, head_dim=32),
    "gemma-7b": transformers.GemmaConfig(),
    "gemma2-small": transformers.Gemma2Config(**SMALL_GATED, head_dim=32),
    "gemma2-2b": transformers.Gemma2Config(),
    "gemma3-small": transformers.Gemma3TextConfig(**SMALL_GATED, head_dim=32),
    "gemma3-4b": transformers.Gemma3TextConfig(
        hidden_size=2560, num_hidden_layers=34, intermediate_size=10240
    ),
    "gpt_neo-small": transformers.GPTNeoConfig(
        hidden_size=64, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]]
    ),
    "gpt_neo-1.3b": transformers.GPTNeoConfig(),
    "gpt2-small": transformers.GPT2Config(n_embd=64, n_layer=2, n_head=4, n_inner=100),
    "gpt2-base": transformers.GPT2Config(),
    "opt-small": transformers.OPTConfig(**SMALL, ffn_dim=256),
    "opt-125m": transformers.OPTConfig(),
    "opt-350m": transformers.OPTConfig(
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        ffn_dim=4096,
        word_embed_proj_dim=512,
        do_layer_norm_before=False,
    ),
}


def test_forward_flops_by_hand():
    # One layer, one token: four projections 4 -> 4 are 4 * 2*4*4 = 128; two feed-forward matrices
    # 4 -> 16 -> 4 are 2 * 2*4*16 = 256; together 384. One layer, one pair of tokens: scores 2*4,
    # weighted sum 2*4, together 16. Two layers, three tokens: 2 * (3 * 384 + 9 * 16) = 2592.
    assert closed_form_flops(TINY) == QuadraticFlops(linear=768, quadratic=32)
    flops = forward_flops(TINY, np.array([0, 1, 3], dtype=np.int64))
    assert flops.dtype == np.float64
    assert flops.tolist() == [0, 800, 2592]


def test_grouped_gated_and_projected_by_hand():
    shape = replace(TINY, layers=1, key_value_heads=1, head_width=3, gated=True, embedding_width=5)
    # Queries and output 4 <-> 6: 2 * 2*4*6 = 96. Keys and values 4 -> 3: 2 * 2*4*3 = 48.
    # Three matrices 4 <-> 16: 3 * 2*4*16 = 384. Embeddings 5 -> 4 and back: 2 * 2*5*4 = 80.
    # Pairs: 2 * 2*6 = 24.
    assert closed_form_flops(shape) == QuadraticFlops(linear=96 + 48 + 384 + 80, quadratic=24)


def test_quadratic_flops_keep_the_shape_of_the_lengths():
    flops = QuadraticFlops(linear=10, quadratic=1).at([[1, 2], [3, 4]])
    assert flops.tolist() == [[11, 24], [39, 56]]
    assert float(QuadraticFlops(linear=10, quadratic=1).at(5)) == 75


def test_negative_lengths_are_refused():
    with pytest.raises(ValueError, match="negative"):
        forward_flops(TINY, [3, -1])


@pytest.mark.parametrize("name", CONFIGS)
def test_closed_form_is_within_two_per_cent_of_the_counter(name):
    shape = shape_from_config(CONFIGS[name].to_dict())
    assert shape is not None
    lengths = np.array([1, 8, 64, 512, 4096])
    measured = measured_forward_flops(CONFIGS[name])
    np.testing.assert_allclose(forward_flops(shape, lengths), measured.at(lengths), rtol=0.02)
    assert closed_form_flops(shape).quadratic == measured.quadratic


def test_measuring_takes_no_memory_and_leaves_the_configuration_alone():
    config = transformers.MistralConfig()
    before = copy.deepcopy(config.to_dict()), config._attn_implementation
    resident = psutil.Process().memory_info().rss
    measured_forward_flops(config)
    # Seven billion parameters would be 14 GB at the least.
    assert psutil.Process().memory_info().rss - resident < 200e6
    assert (config.to_dict(), config._attn_implementation) == before


def test_measuring_an_architecture_without_closed_form():
    config = transformers.ModernBertConfig(num_hidden_layers=3)
    assert shape_from_config(config.to_dict()) is None
    # Gated: input 768 -> 2*1152 and output 1152 -> 768; attention 768 -> 3*768 and 768 -> 768.
    per_token = 2 * 768 * 2 * 1152 + 2 * 1152 * 768 + 2 * 768 * 3 * 768 + 2 * 768 * 768
    measured = measured_forward_flops(config)
    assert measured.linear == pytest.approx(3 * per_token, rel=0.02)
    assert measured.quadratic == pytest.approx(3 * 4 * 768)


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


def test_of_an_encoder_decoder_the_encoder_is_counted():
    config = transformers.T5Config(d_model=64, d_ff=128, d_kv=16, num_layers=2, num_heads=4)
    per_token = 4 * (2 * 64 * 64) + 2 * (2 * 64 * 128)  # q, k, v, o; two feed-forward matrices
    assert measured_forward_flops(config) == QuadraticFlops(2.0 * per_token, 2.0 * 2 * 2 * 64)


def test_parts_add_up():
    backbone = QuadraticFlops(linear=10.0, quadratic=2.0)
    both = backbone + QuadraticFlops(linear=1.0, quadratic=0.0, constant=7.0)
    assert both.at([0, 1, 3]).tolist() == [7.0, 20.0, 58.0]


def test_head_and_scoring_by_hand():
    assert head_flops(4, 10) == 2 * 4 * 10
    assert dense_scoring_flops(384, 1_000) == 768_000
    # A query of three tokens with document frequencies 5, 2 and 1 touches 8 postings.
    assert sparse_scoring_flops(5 + 2 + 1) == 16
    assert sparse_scoring_flops(np.array([8, 0], dtype=np.int64)).tolist() == [16, 0]


def test_splade_flops_by_hand():
    # 0.5 * 0.2 + 1 * 0.1 + 0 * 1 = 0.2
    assert splade_flops([0.5, 1, 0], [0.2, 0.1, 1]) == pytest.approx(0.2)


def test_splade_flops_is_the_mean_overlap_of_all_pairs():
    random = np.random.default_rng(0)
    queries = random.random((7, 30)) < 0.2
    documents = random.random((11, 30)) < 0.4
    overlap = 0
    for query in queries:
        for document in documents:
            for entry in range(30):
                overlap += int(query[entry] and document[entry])
    mean = overlap / (7 * 11)
    assert splade_flops(queries.mean(axis=0), documents.mean(axis=0)) == pytest.approx(mean)


@pytest.mark.parametrize(
    ("queries", "documents"),
    [([0.5], [0.5, 0.5]), ([[0.5]], [[0.5]]), ([1.5], [0.5]), ([0.5], [-0.1]), ([np.nan], [0.5])],
)
def test_splade_flops_refuses_what_are_no_shares(queries, documents):
    with pytest.raises(ValueError, match="shares"):
        splade_flops(queries, documents)


def test_ridge_fit_flops_by_hand():
    # n=10, d=3, nnz=7, V=5: Gram 2*10*9 = 180; XtY 2*7*3 = 42; Cholesky 27/3 = 9;
    # solves 2*9*5 = 90.
    assert ridge_fit_flops(texts=10, width=3, nonzeros=7, vocabulary_size=5) == 180 + 42 + 9 + 90


def test_padding_share_by_hand():
    assert padding_share(75, 100) == 0.25
    assert padding_share(0, 0) == 0.0


@pytest.mark.parametrize(("true", "padded"), [(101, 100), (-1, 5), (1, 0)])
def test_padding_share_refuses_impossible_counts(true, padded):
    with pytest.raises(ValueError, match="tokens"):
        padding_share(true, padded)


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_padding_share_lies_between_zero_and_one(true, padding):
    assert 0 <= padding_share(true, true + padding) <= 1


SIZES = st.integers(1, 512)
SHAPES = st.builds(
    TransformerShape,
    layers=st.integers(1, 48),
    width=SIZES,
    attention_heads=SIZES,
    key_value_heads=SIZES,
    head_width=SIZES,
    feed_forward_width=SIZES,
    gated=st.booleans(),
    vocabulary_size=SIZES,
    embedding_width=SIZES,
)


@given(SHAPES, hnp.arrays(np.int64, st.integers(2, 20), elements=st.integers(0, 32768)))
def test_forward_flops_grow_with_length(shape, lengths):
    lengths = np.unique(lengths)
    flops = forward_flops(shape, lengths)
    assert np.all(np.diff(flops) > 0)
    # Two texts apart never cost more than one text of both.
    assert np.all(flops + flops[0] <= forward_flops(shape, lengths + lengths[0]))


def test_importing_cost_does_not_import_torch():
    code = (
        "import sys, harness.cost.flops, harness.cost.latency, harness.cost.memory,"
        " harness.cost.hardware; assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_t5_encoder_that_was_saved_alone_is_counted():
    sizes = {"d_model": 64, "d_ff": 128, "d_kv": 16, "num_layers": 2, "num_heads": 4}
    alone = transformers.T5Config(**sizes, is_encoder_decoder=False, use_cache=False)
    assert measured_forward_flops(alone) == measured_forward_flops(transformers.T5Config(**sizes))
