"""Text to embedding with vLLM: the settings of its engine."""

from __future__ import annotations

from dataclasses import dataclass

from harness.components import ComponentConfig, at_least, component, one_of, require, unscored


@component("backend", "vllm", "harness.embedding.vllm_backend:VllmBackend")
@dataclass(kw_only=True)
class VllmBackendConfig(ComponentConfig):
    """Inference with vLLM's pooling runner.

    Attributes:
        dtype: `auto` (bfloat16 on a GPU, float32 elsewhere), `fastest` (bfloat16 where the device
            has instructions for it, CPUs included), `float32`, `bfloat16`, `float16`; part of the
            result's identity once resolved.
        tensor_parallel_size: GPUs that share one model, layer by layer.
        data_parallel_size: Copies of the model, each in a process and on GPUs of its own, that
            share the texts out among them.
        gpu_memory_utilization: Share of a GPU's memory that vLLM takes; heads and search need some
            of the rest. On a CPU no share is reserved.
        max_model_len: Longest prompt that vLLM makes room for; `model.max_length` when absent, and
            not below it.
        enforce_eager: Whether the network is run as it is, without compiling it first; when absent,
            on a CPU, where compiling takes half a minute.
    """

    kind: str = "vllm"
    dtype: str = "auto"
    tensor_parallel_size: int = unscored(1)
    data_parallel_size: int = unscored(1)
    gpu_memory_utilization: float = unscored(0.8)
    max_model_len: int | None = unscored(None)
    enforce_eager: bool | None = unscored(None)

    def __post_init__(self) -> None:
        """Validate."""
        one_of("dtype", self.dtype, ("auto", "fastest", "float32", "bfloat16", "float16"))
        at_least("tensor_parallel_size", self.tensor_parallel_size, 1)
        at_least("data_parallel_size", self.data_parallel_size, 1)
        at_least("max_model_len", self.max_model_len, 8)
        require(
            0 < self.gpu_memory_utilization <= 1,
            f"gpu_memory_utilization={self.gpu_memory_utilization} must be above 0 and at most 1",
        )
