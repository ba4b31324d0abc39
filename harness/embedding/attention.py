"""Which tokens a decoder's tokens attend to: earlier ones, or all of them."""

from __future__ import annotations

from typing import Any

from harness.errors import BadInputError

BIDIRECTIONAL_TYPES = (
    *("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3"),
    *("gpt_neo", "opt", "gpt2"),
)


def set_attention(network: Any, attention: str, *, setting: str = "model.attention") -> None:
    """Make a decoder attend causally or bidirectionally, in place.

    transformers builds its masks from `config.is_causal`, and attention modules tell their kernel
    by an attribute of the same name. GPT-Neo keeps a mask of its own in a buffer. A sliding window
    stays one, to both sides.

    Args:
        network: A decoder backbone of transformers.
        attention: `causal` or `bidirectional`.
        setting: What asks for it, for messages.

    Raises:
        BadInputError: If the architecture is not known to follow these switches.
    """
    kind = network.config.model_type
    if kind not in BIDIRECTIONAL_TYPES:
        if attention == "causal":
            raise BadInputError(f"{setting}=causal: {kind} has no such switch; leave it out")
        raise BadInputError(
            f"{setting}=bidirectional is known for {', '.join(BIDIRECTIONAL_TYPES)}, not for "
            f"{kind}; leave it out where the model attends bidirectionally already"
        )
    causal = attention == "causal"
    if not causal and getattr(network.config, "use_bidirectional_attention", False):
        return  # as it was trained, with its own rule for windows
    network.config.is_causal = causal
    if hasattr(network.config, "use_bidirectional_attention"):
        network.config.use_bidirectional_attention = not causal
    for module in network.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = causal
        if kind == "gpt_neo" and hasattr(module, "attention_type") and hasattr(module, "bias"):
            _set_gpt_neo_mask(module, causal, network.config.window_size)


def _set_gpt_neo_mask(module: Any, causal: bool, window: int) -> None:
    import torch

    bias = module.bias
    size = bias.shape[-1]
    allowed = torch.ones(size, size, dtype=torch.bool, device=bias.device)
    if causal:
        allowed = allowed.tril()
    if module.attention_type == "local":
        distance = torch.arange(size, device=bias.device)
        allowed &= (distance[:, None] - distance[None, :]).abs() < window
    module.bias = allowed.view(1, 1, size, size)
