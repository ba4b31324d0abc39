"""The network behind a model: loaded whole, adapters on it, attention as configured."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from logging import ERROR
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from harness.cost.flops import ENCODERS_OF_PAIRS
from harness.embedding.adapters import apply_adapters
from harness.embedding.attention import set_attention
from harness.embedding.packing import KERNEL, register_kernel
from harness.errors import BadInputError, brief

if TYPE_CHECKING:
    import torch

    from harness.embedding.model import EmbeddingModel

_CAPS = {"gemma2": 50.0}  # what transformers takes where config.json says nothing
_POOLER = re.compile(r"(^|\.)pooler\.")


def load_network(
    model: EmbeddingModel, *, dtype: str, kernel: str, reads: str = "last_hidden_state"
) -> torch.nn.Module:
    """Load a model's network in evaluation mode, on the CPU.

    Args:
        model: The model; of an encoder-decoder the encoder is loaded.
        dtype: `float32`, `bfloat16` or `float16`.
        kernel: transformers' attention implementation; `auto` is its own choice, `packed` that of
            `harness.embedding.packing`.
        reads: The output that will be read: `last_hidden_state`, or `logits` of the model's
            masked-language-model head.

    Raises:
        BadInputError: If it cannot be loaded, lacks weights, or an adapter does not fit.
    """
    import torch

    config = model.config
    automatic = _class_for(model, reads)
    with quiet():
        try:
            network, report = automatic.from_pretrained(
                model.folder,
                dtype=getattr(torch, dtype),
                attn_implementation=_kernel(model, kernel),
                trust_remote_code=config.trust_remote_code,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # told below, by name
            )
        except Exception as error:  # transformers fails in as many ways as configurations do
            first = brief(error)
            remedy = "; try backend.attention=eager" if "attention" in first else ""
            if isinstance(error, SafetensorError):
                remedy = "; a .safetensors file of it is damaged, fetch the model again"
            raise BadInputError(
                f"no model could be loaded from {model.folder}: {first}{remedy}"
            ) from error
    for name, found, wanted in sorted(report["mismatched_keys"]):
        raise BadInputError(
            f"the model in {model.folder} does not fit its config.json: {name} has the shape "
            f"{list(found)} and {list(wanted)} is asked for; fetch the model again"
        )
    # Weights that are not there would be random. A pooler is never read.
    missing = sorted(name for name in report["missing_keys"] if not _POOLER.search(name))
    if missing:
        what = "has no masked-language-model head" if reads == "logits" else "is incomplete"
        raise BadInputError(
            f"the model in {model.folder} {what}: its weights lack {missing[0]} and "
            f"{len(missing) - 1} more tensors that config.json asks for"
        )
    if model.adapters:
        network = apply_adapters(network, model.adapters, merge_last=config.merge_last_adapter)
    if model.attention is not None:
        set_attention(network, model.attention)
    module: torch.nn.Module = network.eval()
    return module


def _kernel(model: EmbeddingModel, kernel: str) -> str | None:
    """The attention implementation, None for transformers' choice.

    Raises:
        BadInputError: If it would leave out the cap that the model puts on attention logits.
    """
    if kernel == "packed":
        register_kernel()
        return KERNEL
    settings = model.text_settings
    capped = settings.get("attn_logit_softcapping", _CAPS.get(str(settings.get("model_type"))))
    if capped is None:
        return None if kernel == "auto" else kernel
    if kernel == "sdpa":
        raise BadInputError(
            "backend.attention=sdpa leaves out the cap on this model's attention logits; use "
            "backend.attention=eager"
        )
    return "eager" if kernel == "auto" else kernel


def _class_for(model: EmbeddingModel, reads: str) -> Any:
    """The automatic class whose output is read."""
    import transformers

    kind = str(model.settings.get("model_type"))
    if reads == "logits":
        if kind not in transformers.models.auto.modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES:
            raise BadInputError(
                f"pooling=splade reads a masked-language-model head, and {kind} models have none; "
                "choose another pooling"
            )
        return transformers.AutoModelForMaskedLM
    if model.settings.get("is_encoder_decoder") or kind in ENCODERS_OF_PAIRS:
        return transformers.AutoModelForTextEncoding
    return transformers.AutoModel


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' loading bars and advice off the terminal."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hide: Callable[[], None] = logging.disable_progress_bar
    show: Callable[[], None] = logging.enable_progress_bar
    logging.set_verbosity(ERROR)
    hide()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            show()
