"""What vLLM is asked for, what it cannot do, and when its embeddings are transformers'.

Nothing of vLLM is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.embedding.wide_heads import can_widen, head_width
from harness.errors import BadInputError

if TYPE_CHECKING:
    from harness.config import PoolingConfig, VllmBackendConfig
    from harness.embedding.model import EmbeddingModel

RELEASE = "0.32.0"  # what the extra installs, and what was compared with transformers

# vLLM builds their attention by `is_causal` of the configuration.
BIDIRECTIONAL_TYPES = ("llama", "mistral", "qwen2", "qwen3")
# Compared with transformers in float32, every pooling, causal and bidirectional.
PROVEN_TYPES = (*BIDIRECTIONAL_TYPES, "bert")
_PROVEN_ROPES = ("default", "llama3")
# Head widths that its kernels for CPUs are compiled for.
_CPU_HEAD_WIDTHS = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)

_OWN_POOLINGS = {"last_token": "LAST", "eos": "LAST", "cls": "CLS", "bos": "CLS", "mean": "MEAN"}


def pooling_type(config: PoolingConfig) -> str:
    """What vLLM pools by: `LAST`, `CLS` or `MEAN`, or `ALL` for token states that we pool.

    Its poolings know no instruction, so one that leaves it out pools the token states here; the
    last token is never part of what stands before the text.

    Raises:
        BadInputError: If the pooling reads what vLLM does not give.
    """
    if config.reads != "last_hidden_state":
        raise BadInputError(
            f"backend=vllm gives token states, and pooling={config.kind} reads the logits of a "
            "masked-language-model head; use backend=transformers"
        )
    own = _OWN_POOLINGS.get(config.kind, "ALL")
    return own if own == "LAST" or config.include_instruction else "ALL"


def overrides(model: EmbeddingModel) -> dict[str, Any]:
    """What vLLM reads instead of the model's own `config.json`.

    Raises:
        BadInputError: If the architecture or its sliding window does not follow the switch.
    """
    attention, text = model.config.attention, model.text_settings
    if attention is None:
        return {}
    kind = text.get("model_type")
    if kind not in BIDIRECTIONAL_TYPES:
        raise BadInputError(
            f"model.attention={attention}: vLLM has this switch for "
            f"{', '.join(BIDIRECTIONAL_TYPES)}, not for {kind}; use backend=transformers"
        )
    window = _window(text)
    if attention == "bidirectional" and window is not None and window < model.max_length:
        raise BadInputError(
            f"model.attention=bidirectional: vLLM's sliding window of {window} tokens is another "
            "one to both sides; use backend=transformers, or model.max_length at most the window"
        )
    return {"is_causal": attention == "causal"}


def check_model(model: EmbeddingModel) -> None:
    """Refuse a model that vLLM would run otherwise than it is run here.

    Raises:
        BadInputError: Why.
    """
    if model.config.trust_remote_code:
        raise BadInputError(
            "model.trust_remote_code=true: vLLM has its own code of a model; use "
            "backend=transformers"
        )
    if model.settings.get("is_encoder_decoder"):
        raise BadInputError(
            f"vLLM pools no encoder of {model.settings.get('model_type')}; use backend=transformers"
        )


def widened_for_cpu(model: EmbeddingModel, config: VllmBackendConfig) -> int | None:
    """How wide the heads must be made for vLLM's kernels for CPUs; None where they fit.

    Raises:
        BadInputError: If they can be given no width that one of the kernels was compiled for.
    """
    if config.tensor_parallel_size > 1:
        raise BadInputError(
            f"backend.tensor_parallel_size={config.tensor_parallel_size} shares a model out over "
            "GPUs, and there is none; leave it out"
        )
    width = head_width(model.text_settings)
    if width is None or width in _CPU_HEAD_WIDTHS:
        return None
    wider = next((known for known in _CPU_HEAD_WIDTHS if known > width), None)
    if wider is not None and can_widen(model.settings, wider):
        return wider
    known = ", ".join(map(str, _CPU_HEAD_WIDTHS))
    raise BadInputError(
        f"vLLM's attention on CPUs knows heads {known} wide, and this model's are {width}; use "
        "backend=transformers"
    )


def longest_prompt(model: EmbeddingModel, config: VllmBackendConfig) -> int:
    """The tokens that vLLM makes room for in a prompt.

    Raises:
        BadInputError: If prompts may be longer than is configured.
    """
    if config.max_model_len is None:
        return model.max_length
    if config.max_model_len < model.max_length:
        raise BadInputError(
            f"backend.max_model_len={config.max_model_len} is below model.max_length="
            f"{model.max_length}; give model.max_length={config.max_model_len} to cut texts there"
        )
    return config.max_model_len


def is_proven(model: EmbeddingModel, *, dtype: str, device: str, release: str) -> bool:
    """Whether embeddings are transformers' to 1e-4, so that both share a place in the store.

    The tests compare these architectures in float32 on a CPU with this release of vLLM.

    Args:
        model: The model.
        dtype: The resolved one.
        device: `cpu` or another.
        release: Of vLLM, without what follows a `+`.
    """
    text = model.text_settings
    return (
        dtype == "float32"
        and device == "cpu"
        and release == RELEASE
        and text is model.settings
        and text.get("model_type") in PROVEN_TYPES
        and "quantization_config" not in text
        and _rope(text) in _PROVEN_ROPES
    )


def cache_bytes(
    model: EmbeddingModel, tokens: int, *, item: int, width: int | None = None
) -> int | None:
    """Bytes of the keys and values of so many tokens; None where `config.json` does not say.

    Args:
        model: The model.
        tokens: How many.
        item: Bytes of a number.
        width: Of the heads; the model's own when None.
    """
    text = model.text_settings
    width, layers = width or head_width(text), text.get("num_hidden_layers")
    heads = text.get("num_key_value_heads") or text.get("num_attention_heads")
    if width is None or not isinstance(layers, int) or not isinstance(heads, int):
        return None
    return 2 * layers * heads * width * item * tokens


def _window(text: Mapping[str, Any]) -> int | None:
    """Tokens that a sliding window shows; None where there is none."""
    if text.get("use_sliding_window") is False:
        return None
    unsaid = 4096 if text.get("model_type") == "mistral" else None  # transformers' own
    window = text.get("sliding_window", unsaid)
    return window if isinstance(window, int) else None


def _rope(text: Mapping[str, Any]) -> str | None:
    """The kind of rotary positions; `default` where nothing is said, None where layers differ."""
    given = text.get("rope_parameters") or text.get("rope_scaling") or {}
    if any(isinstance(value, Mapping) for value in given.values()):
        return None
    return str(given.get("rope_type") or given.get("type") or "default")
