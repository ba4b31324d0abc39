"""Tiny random models whose heads are as wide as vLLM's kernels for CPUs take them."""

import dataclasses
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, get_peft_model

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
    "bert": widened(ARCHITECTURES["bert"]),
}


def wide_folder(root: Path, name: str) -> Path:
    """The folder of such a model under a root, made when it is first asked for."""
    folder = root / "wide" / name
    if not folder.is_dir():
        write_model(folder, WIDE[name])
    return folder


def write_adapter(folder: Path, base: Path, *, seed: int) -> None:
    """Write a random LoRA adapter for a model, with PEFT itself."""
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    network = transformers.AutoModel.from_pretrained(base, dtype=torch.float32)
    layers = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    peft = get_peft_model(network, LoraConfig(r=4, lora_alpha=8, target_modules=layers))
    with torch.no_grad():
        for name, parameter in peft.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.2)
    peft.save_pretrained(folder)
    torch.random.set_rng_state(state)
