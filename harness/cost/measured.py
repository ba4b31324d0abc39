"""FLOPs of a forward pass by length, counted with ``torch.utils.flop_counter``."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

from harness.cost.closed_form import QuadraticFlops

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

# Two lengths fix the two coefficients, the third checks them. They are short so that they fit
# below any model's maximum length; the counts are exact integers, so short costs no precision.
_FIT_LENGTHS = (16, 32)
_CHECK_LENGTH = 48
_CHECK_TOLERANCE = 1e-6

ENCODERS_OF_PAIRS = ("t5", "mt5", "umt5")  # saved alone they say that they are no pair


class UnmeasurableError(ValueError):
    """A model whose forward FLOPs cannot be counted on the meta device."""


def measured_forward_flops(config: PretrainedConfig, *, logits: bool = False) -> QuadraticFlops:
    """Count the backbone's forward FLOPs with ``torch.utils.flop_counter``, for any architecture.

    The backbone is built without weights on the meta device, so a model of any size takes no
    memory and well under a second. Attention is eager, because the counter misses the CPU's fused
    kernel. The configuration is left as it was.

    Args:
        config: The model's configuration.
        logits: Whether the masked-language-model head reads every token, as for ``splade``.

    Returns:
        The two coefficients, from two lengths and checked on a third.

    Raises:
        UnmeasurableError: The model has routed experts, whose products the counter misses; its
            forward pass looks at values, which the meta device has not; it has no such head; or
            its FLOPs are not linear·L + quadratic·L² (padded windows, chunked recurrences).
    """
    name = f"the FLOPs of a {config.model_type} model"
    if any(
        "experts" in key and isinstance(value, int) and value > 1
        for key, value in config.to_dict().items()
    ):
        raise UnmeasurableError(f"{name} cannot be counted: it has routed experts")
    try:
        model = _meta_model(config, logits=logits)
        first, second, third = (_count(model, n) for n in (*_FIT_LENGTHS, _CHECK_LENGTH))
    # Models fail on the meta device in as many ways as they are written; all mean the same here.
    except Exception as error:
        raise UnmeasurableError(f"{name} cannot be counted without weights: {error}") from error

    short, long = _FIT_LENGTHS
    quadratic = (second / long - first / short) / (long - short)
    measured = QuadraticFlops(linear=first / short - quadratic * short, quadratic=quadratic)
    if third == 0 or abs(float(measured.at(_CHECK_LENGTH)) / third - 1) > _CHECK_TOLERANCE:
        raise UnmeasurableError(f"{name} are not a quadratic in the length")
    return measured


def _meta_model(config: PretrainedConfig, *, logits: bool) -> torch.nn.Module:
    """Build the network on the meta device, with eager attention and without a pooler."""
    import torch
    from transformers import (
        MODEL_MAPPING,
        AutoModel,
        AutoModelForMaskedLM,
        AutoModelForTextEncoding,
    )

    config = copy.deepcopy(config)
    rope = getattr(config, "rope_parameters", None)
    if isinstance(rope, dict) and rope.get("rope_type") in ("dynamic", "longrope"):
        # These scale the angles by the length seen, a value; the products are the same.
        config.rope_parameters = {**rope, "rope_type": "default"}

    options = {}
    # Typed as Any because transformers leaves the method untyped.
    automatic: Any = AutoModel
    if logits:
        automatic = AutoModelForMaskedLM
    elif config.is_encoder_decoder or config.model_type in ENCODERS_OF_PAIRS:
        automatic = AutoModelForTextEncoding
    elif type(config) in MODEL_MAPPING:
        # A tuple where the configuration decides between classes; none of those has a pooler.
        model_class: Any = MODEL_MAPPING[type(config)]
        if (
            not isinstance(model_class, tuple)
            and "add_pooling_layer" in inspect.signature(model_class).parameters
        ):
            options["add_pooling_layer"] = False
    with torch.device("meta"):
        model: torch.nn.Module = automatic.from_config(
            config, attn_implementation="eager", **options
        )
    return model.eval()


def _count(model: torch.nn.Module, length: int) -> int:
    """Return the FLOPs of one forward pass over one text of this length."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    token_ids = torch.zeros((1, length), dtype=torch.long, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=token_ids)
    return int(counter.get_total_flops())
