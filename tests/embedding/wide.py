"""Tiny random models whose heads are as wide as vLLM's kernels for CPUs take them."""

import dataclasses
from pathlib import Path

from tests.embedding.tiny import ARCHITECTURES, HEADS, Architecture, write_model

HEAD_DIM = 32
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


def widened(architecture: Architecture, **options) -> Architecture:
    """An architecture with wider heads and other options besides."""
    wide = {**architecture.options, "hidden_size": HEADS * HEAD_DIM, "head_dim": HEAD_DIM}
    return dataclasses.replace(architecture, options=wide | options)


WIDE = {
    "llama": widened(ARCHITECTURES["llama"]),
    "llama3_rope": widened(ARCHITECTURES["llama"], rope_parameters=LLAMA3_ROPE),
    "mistral": widened(ARCHITECTURES["mistral_full"]),
    "mistral_sliding": widened(ARCHITECTURES["mistral"]),
    "qwen2": widened(ARCHITECTURES["qwen2"]),
    "qwen3": widened(ARCHITECTURES["qwen3"]),
}


def wide_folder(root: Path, name: str) -> Path:
    """The folder of such a model under a root, made when it is first asked for."""
    folder = root / "wide" / name
    if not folder.is_dir():
        write_model(folder, WIDE[name])
    return folder
