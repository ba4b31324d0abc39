"""A transformer's shape, read from a Hugging Face ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TransformerShape:
    """The sizes that decide what one forward pass of a dense transformer costs.

    Attributes:
        layers: Transformer layers.
        width: Width d of the token states.
        attention_heads: Query heads per layer.
        key_value_heads: Key and value heads per layer; fewer than the query heads with grouped
            queries.
        head_width: Width of one attention head; heads times this need not equal ``width``.
        feed_forward_width: Inner width of the feed-forward block.
        gated: Whether the feed-forward block has a gate (three matrices instead of two).
        vocabulary_size: Entries V of the input vocabulary.
        embedding_width: Width of the token embeddings; differs from ``width`` where the model
            projects them in and the token states out again (opt-350m).
        experts: Feed-forward blocks that a layer's router chooses from; 0 without a router.
        active_experts: Feed-forward blocks that each token goes through in a layer.
    """

    layers: int
    width: int
    attention_heads: int
    key_value_heads: int
    head_width: int
    feed_forward_width: int
    gated: bool
    vocabulary_size: int
    embedding_width: int
    experts: int = 0
    active_experts: int = 1


@dataclass(frozen=True, kw_only=True)
class _Family:
    """Under which keys a family of architectures keeps its sizes.

    Attributes:
        gated: Whether the feed-forward block has a gate, or the key whose value tells by beginning
            with ``gated``.
        layers: Key of the number of layers.
        width: Key of the width.
        heads: Key of the number of attention heads.
        feed_forward: Key of the feed-forward width; a null value there means four times the width.
        key_value_heads: Key of the number of key and value heads, None where all heads have their
            own.
        head_width: Key of the head width, None where it is always width over heads.
        embedding_width: Key of the embedding width, None where it is always the width.
        routed: Whether every layer sends tokens through some of its experts.
        omitted: What the architecture takes for a key that the file leaves out; None stands for
            "derived". A key that is neither in the file nor here makes the shape unknown.
    """

    gated: bool | str
    layers: str = "num_hidden_layers"
    width: str = "hidden_size"
    heads: str = "num_attention_heads"
    feed_forward: str = "intermediate_size"
    key_value_heads: str | None = None
    head_width: str | None = None
    embedding_width: str | None = None
    routed: bool = False
    omitted: Mapping[str, int | str | None] = field(default_factory=lambda: MappingProxyType({}))


def _grouped(*, key_value_heads: int | None, head_width: int | None, **more: int) -> _Family:
    """Return the family of gated decoders with grouped queries, given what their files omit."""
    omitted = {"num_key_value_heads": key_value_heads, "head_dim": head_width, **more}
    return _Family(
        gated=True,
        key_value_heads="num_key_value_heads",
        head_width="head_dim",
        omitted=MappingProxyType(omitted),
    )


def _t5(feed_forward: str) -> _Family:
    """Return the family of T5's encoders, given which feed-forward block files omit."""
    return _Family(
        gated="feed_forward_proj",
        layers="num_layers",
        width="d_model",
        heads="num_heads",
        feed_forward="d_ff",
        head_width="d_kv",
        omitted=MappingProxyType({"feed_forward_proj": feed_forward, "d_kv": 64}),
    )


_BERT = _Family(gated=False)

# Published gemma3 files with a vision tower give only the sizes that differ from the class's own.
_GEMMA3 = _grouped(key_value_heads=4, head_width=256, num_attention_heads=8, vocab_size=262_208)

_FAMILIES: Mapping[str, _Family] = MappingProxyType(
    {
        "bert": _BERT,
        "roberta": _BERT,
        "xlm-roberta": _BERT,
        "camembert": _BERT,
        "mpnet": _BERT,
        "modernbert": _Family(gated=True),
        "distilbert": _Family(
            gated=False, layers="n_layers", width="dim", heads="n_heads", feed_forward="hidden_dim"
        ),
        "t5": _t5("relu"),
        "mt5": _t5("gated-gelu"),
        "umt5": _t5("gated-gelu"),
        "gpt2": _Family(
            gated=False,
            layers="n_layer",
            width="n_embd",
            heads="n_head",
            feed_forward="n_inner",
            omitted=MappingProxyType({"n_inner": None}),
        ),
        "gpt_neo": _Family(
            gated=False,
            layers="num_layers",
            heads="num_heads",
            omitted=MappingProxyType({"intermediate_size": None}),
        ),
        "opt": _Family(
            gated=False,
            feed_forward="ffn_dim",
            embedding_width="word_embed_proj_dim",
            omitted=MappingProxyType({"word_embed_proj_dim": None}),
        ),
        "llama": _grouped(key_value_heads=None, head_width=None),
        "mistral": _grouped(key_value_heads=8, head_width=None),
        "qwen2": _grouped(key_value_heads=32, head_width=None),
        "qwen3": _grouped(key_value_heads=32, head_width=128),
        "phi3": _grouped(key_value_heads=None, head_width=None),
        "gemma": _grouped(key_value_heads=16, head_width=256),
        "gemma2": _grouped(key_value_heads=4, head_width=256),
        "gemma3_text": _GEMMA3,
        "mixtral": replace(_grouped(key_value_heads=8, head_width=None), routed=True),
        "qwen3_moe": replace(
            _grouped(key_value_heads=4, head_width=None),
            feed_forward="moe_intermediate_size",
            routed=True,
        ),
    }
)


def shape_from_config(config: Mapping[str, Any]) -> TransformerShape | None:
    """Read the shape of a known architecture from the mapping in its ``config.json``.

    The keys are those of the Hugging Face configuration classes, whose defaults stand for the keys
    that published files are known to leave out. ``gemma3`` with a vision tower gives the shape of
    its text part.

    Args:
        config: The parsed ``config.json``, or ``PretrainedConfig.to_dict()``.

    Returns:
        The shape, or None when the architecture is unknown or a size is missing or not one positive
        integer: then measure with `harness.cost.flops.measured_forward_flops`.
    """
    if config.get("model_type") == "gemma3" and isinstance(config.get("text_config"), Mapping):
        config = {**config["text_config"], "model_type": "gemma3_text"}
    family = _FAMILIES.get(str(config.get("model_type")))
    if family is None:
        return None

    values = {**family.omitted, **config}
    layers, width, heads, vocabulary = (
        _size(values, key) for key in (family.layers, family.width, family.heads, "vocab_size")
    )
    if layers is None or width is None or heads is None or vocabulary is None:
        return None
    key_value_heads = _size(values, family.key_value_heads, heads)
    head_width = _size(values, family.head_width, width // heads)
    feed_forward = _size(values, family.feed_forward, 4 * width)
    embedding_width = _size(values, family.embedding_width, width)
    if key_value_heads is None or head_width is None:
        return None
    if feed_forward is None or embedding_width is None:
        return None
    routing = _routing(values) if family.routed else (0, 1)
    if routing is None:
        return None
    gated = family.gated
    if isinstance(gated, str):
        gated = str(values[gated]).startswith("gated")
    return TransformerShape(
        layers=layers,
        width=width,
        attention_heads=heads,
        key_value_heads=key_value_heads,
        head_width=head_width,
        feed_forward_width=feed_forward,
        gated=gated,
        vocabulary_size=vocabulary,
        embedding_width=embedding_width,
        experts=routing[0],
        active_experts=routing[1],
    )


def _routing(values: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return how many experts each layer has and how many a token goes through."""
    # Published files and the configuration classes name the experts differently.
    experts = _size(values, "num_experts" if "num_experts" in values else "num_local_experts")
    active = _size(values, "num_experts_per_tok")
    if experts is None or active is None:
        return None
    if values.get("mlp_only_layers") or values.get("decoder_sparse_step", 1) != 1:
        return None  # some layers have one dense block, which one shape cannot say
    return experts, active


def _size(values: Mapping[str, Any], key: str | None, derived: int | None = None) -> int | None:
    """Return the size under ``key``; ``derived`` for no key or a null; None where it is unknown."""
    if key is None:
        return derived
    if key not in values:
        return None
    value = values[key]
    if value is None:
        return derived
    # A list gives each layer its own size, which one shape cannot say.
    return value if isinstance(value, int) and value > 0 else None
