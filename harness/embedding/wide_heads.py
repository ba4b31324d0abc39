"""A checkpoint with wider attention heads that computes the same, for kernels without narrow ones.

The new dimensions of a head are zero. Two dimensions that rotary positions turn together stay a
pair and turn as fast: the base is raised to the factor by which heads are wider. Attention divides
by the root of the new width, so queries are multiplied by the root of the factor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.embedding.locate import weight_files
from harness.files import read_json

if TYPE_CHECKING:
    import torch

_TYPES = ("llama", "mistral")  # nothing but four matrices knows how wide a head is
_LARGEST_BASE = 1e38  # in float32
_ROPE = ("rope_theta", "rope_scaling", "rope_parameters")


def head_width(settings: Mapping[str, Any]) -> int | None:
    """The width of a model's heads by its text settings, None where they do not say."""
    width, hidden, heads = (
        settings.get(key) for key in ("head_dim", "hidden_size", "num_attention_heads")
    )
    if isinstance(width, int):
        return width
    return hidden // heads if isinstance(hidden, int) and isinstance(heads, int) else None


def can_widen(settings: Mapping[str, Any], width: int) -> bool:
    """Whether a model with such a `config.json` can be given heads so wide."""
    narrow = head_width(settings)
    rope = settings.get("rope_parameters") or {}
    plain = rope.get("rope_type", "default") == "default" and not settings.get("rope_scaling")
    return (
        settings.get("model_type") in _TYPES
        and narrow is not None
        and narrow % 2 == 0
        and plain
        and not settings.get("attention_bias")
        and "quantization_config" not in settings
        and _base(settings) ** (width / narrow) < _LARGEST_BASE
    )


def widen(folder: Path, width: int) -> None:
    """Widen the heads of a checkpoint in place; links in it are replaced, not followed.

    Args:
        folder: Configuration and weights of a model that `can_widen`.
        width: The new width.
    """
    from safetensors.torch import load_file, save_file

    settings = read_json(folder / "config.json")
    narrow = head_width(settings)
    assert narrow is not None
    for file in weight_files(folder):
        tensors = load_file(file)
        changed = {name: _widened(name, tensors[name], narrow, width) for name in tensors}
        file.unlink()
        save_file(changed, file, metadata={"format": "pt"})
    kept = {name: value for name, value in settings.items() if name not in _ROPE}
    rope = {"rope_type": "default", "rope_theta": _base(settings) ** (width / narrow)}
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(
        json.dumps({**kept, "head_dim": width, "rope_parameters": rope}), encoding="utf-8"
    )


def _widened(name: str, tensor: torch.Tensor, narrow: int, width: int) -> torch.Tensor:
    if name.endswith("q_proj.weight"):
        return _spread(tensor, narrow, width).mul_((width / narrow) ** 0.5)
    if name.endswith(("k_proj.weight", "v_proj.weight")):
        return _spread(tensor, narrow, width)
    if name.endswith("o_proj.weight"):
        return _spread(tensor.T, narrow, width).T.contiguous()
    return tensor


def _spread(rows: torch.Tensor, narrow: int, width: int) -> torch.Tensor:
    """Rows (heads · narrow, d) as (heads · width, d), each half of a head in its half."""
    halves = rows.reshape(-1, 2, narrow // 2, rows.shape[1])
    wide = halves.new_zeros(len(halves), 2, width // 2, rows.shape[1])
    wide[:, :, : narrow // 2] = halves
    return wide.reshape(-1, rows.shape[1])


def _base(settings: Mapping[str, Any]) -> float:
    """The base of the rotary positions."""
    rope = settings.get("rope_parameters") or {}
    return float(rope.get("rope_theta") or settings.get("rope_theta") or 10_000.0)
