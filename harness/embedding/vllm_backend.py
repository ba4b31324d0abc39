"""Inference with vLLM: prompts in, pooled embeddings out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.embedding import vllm_rules as rules
from harness.embedding.batching import longest_first, next_batch
from harness.embedding.checkpoint import checkpoint
from harness.embedding.devices import fastest_dtype
from harness.embedding.inputs import PackedInputs
from harness.embedding.vllm_engine import (
    LocalEngine,
    Replicas,
    check_installed,
    platform,
    release,
)
from harness.errors import BadInputError

if TYPE_CHECKING:
    from harness.config import VllmBackendConfig
    from harness.embedding.model import EmbeddingModel
    from harness.embedding.pooling import Pooling
    from harness.embedding.prompts import Prompts
    from harness.embedding.vllm_engine import Engine

Batch = tuple[NDArray[np.int64], NDArray[np.float32], int]

# vLLM makes its own batches of what it is given at once; an interrupted run waits for that much.
_TOKENS_AT_ONCE = {"cpu": 16_384}
_TOKENS_AT_ONCE_ELSEWHERE = 131_072
_STATES_AT_ONCE = 32_768  # where every token's state is handed over
# Keys and values are kept of the prompts under way: 256, each a block of 128 tokens or more.
_TOKENS_CACHED = 32_768
_CACHE_UNSAID = 1 << 30  # bytes, where config.json does not say how large they are


class VllmBackend:
    """Runs the backbone of a Hugging Face model in vLLM, loaded when the first text is encoded.

    Tokens, pooling with instructions left out, dense layers, normalisation and heads are the same
    code as with any backend; vLLM gives unnormalised vectors.
    """

    merges_adapters = True

    def __init__(
        self,
        config: VllmBackendConfig,
        *,
        model: EmbeddingModel,
        pooling: Pooling,
        memory: Path | None = None,
    ) -> None:
        """Prepare.

        Args:
            config: The engine's settings.
            model: The model.
            pooling: Reduces token states to embeddings.
            memory: A folder of the store; checkpoints are kept beside it, and only as long as this
                object when None.

        Raises:
            BadInputError: If vLLM is not there, or cannot do what is asked of it.
        """
        check_installed()
        self.config = config
        self._model = model
        self._pooling = pooling
        self._memory = memory
        if model is not None:  # else device and dtype are all that is asked for
            self._kind = rules.pooling_type(pooling.config)
            rules.check_model(model)
            self._overrides = rules.overrides(model)

    @cached_property
    def device(self) -> str:
        """The kind of device that the installed vLLM runs on."""
        return platform()

    @property
    def device_count(self) -> int:
        """Devices that compute at once."""
        if self.device == "cpu":
            return 1
        return self.config.tensor_parallel_size * self.config.data_parallel_size

    @cached_property
    def dtype(self) -> str:
        """The dtype that `auto` or `fastest` stands for, or the configured one."""
        if self.config.dtype == "fastest":
            return fastest_dtype(self.device)
        if self.config.dtype != "auto":
            return self.config.dtype
        return "float32" if self.device == "cpu" else "bfloat16"

    @cached_property
    def space(self) -> dict[str, Any]:
        """See `Backend`: nothing where embeddings are proven to be transformers', else vLLM."""
        installed = release()
        proven = rules.is_proven(
            self._model, dtype=self.dtype, device=self.device, release=installed
        )
        return {} if proven else {"backend": "vllm", "vllm": installed}

    def load(self) -> None:
        """Load the model, so that the first batch is not timed with it."""
        _ = self.engine

    def synchronise(self) -> None:
        """Nothing to wait for: embeddings are handed over when they are done."""

    @cached_property
    def engine(self) -> Engine:
        """The loaded engine, or its copies.

        Raises:
            BadInputError: If vLLM does not take the model or there are too few GPUs.
        """
        make = partial(LocalEngine, self._options(), self._kind)
        copies = self.config.data_parallel_size
        if copies == 1:
            return make()
        shares = None if self.device == "cpu" else self._shares()
        return Replicas(make, count=copies, devices=shares)

    def embed(self, prompts: Prompts, *, include_instruction: bool) -> Iterator[Batch]:
        """Encode prompts, longest first.

        Args:
            prompts: n tokenised prompts.
            include_instruction: Whether template tokens are pooled, as the pooling is configured.

        Yields:
            For each batch the indices into `prompts`, the float32 embeddings (batch, d), and the
            number of tokens that were computed: there is no padding.
        """
        if self._kind in ("CLS", "MEAN") and not include_instruction:
            raise ValueError("the pooling is configured to include the instruction")
        at_once = _TOKENS_AT_ONCE.get(self.device, _TOKENS_AT_ONCE_ELSEWHERE)
        if self._kind == "ALL":
            at_once = min(at_once, _STATES_AT_ONCE)
        lengths = prompts.ids.lengths
        order = longest_first(lengths)
        start = 0
        while start < len(order):
            count = next_batch(lengths[order[start:]], at_once, packed=True)
            batch = order[start : start + count]
            start += count
            part = prompts.select(batch)
            pool = self._pooled_here if self._kind == "ALL" else self._pooled_there
            yield batch, pool(part, include_instruction), int(lengths[batch].sum())

    def _pooled_there(self, part: Prompts, include_instruction: bool) -> NDArray[np.float32]:
        """Embeddings of a batch that vLLM pools; zeros where no token is pooled."""
        first = np.zeros(len(part.ids), np.int64) if include_instruction else part.text_start
        rows = np.flatnonzero(part.ids.lengths > first)
        found = self._run(part, rows)
        result = np.zeros((len(part.ids), self._width(found)), np.float32)
        if found:
            result[rows] = np.stack(found)
        return result

    def _pooled_here(self, part: Prompts, include_instruction: bool) -> NDArray[np.float32]:
        """Embeddings of a batch whose token states vLLM gives and the pooling reduces."""
        import torch

        inputs = PackedInputs.of(
            part, include_instruction=include_instruction, padding_token=0, after_padding=False
        )
        found = self._run(part, np.flatnonzero(part.ids.lengths > 0))
        states = np.zeros((inputs.packing.tokens, self._width(found)), np.float32)
        if found:
            states[np.repeat(part.ids.lengths > 0, inputs.packing.lengths)] = np.concatenate(found)
        runs = zip(
            inputs.packing.split(torch.from_numpy(states)),
            inputs.packing.split(torch.from_numpy(inputs.pooled)),
            strict=True,
        )
        return torch.cat([self._pooling(run, mask) for run, mask in runs]).numpy()

    def _run(self, part: Prompts, rows: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        """What vLLM gives of some of the prompts; it refuses those without tokens."""
        if not len(rows):
            return []
        return self.engine.run([part.ids[row].tolist() for row in rows.tolist()])

    def _width(self, found: list[NDArray[np.float32]]) -> int:
        return found[0].shape[-1] if found else self._model.state_width or 0

    def _options(self) -> dict[str, Any]:
        """What `vllm.LLM` is given besides the pooling."""
        longest = rules.longest_prompt(self._model, self.config)
        on_cpu = self.device == "cpu"
        wider = rules.widened_for_cpu(self._model, self.config) if on_cpu else None
        folder = checkpoint(self._model, self._cache, dtype=self.dtype, head_width=wider)
        eager = self.config.enforce_eager
        options: dict[str, Any] = {
            "model": str(folder),
            "tokenizer": str(self._model.tokenizer_folder),
            "runner": "pooling",
            "convert": "embed",
            "dtype": self.dtype,
            "max_model_len": longest,
            "tensor_parallel_size": self.config.tensor_parallel_size,
            "gpu_memory_utilization": self.config.gpu_memory_utilization,
            "enforce_eager": on_cpu if eager is None else eager,
            # A prompt is computed whole, as by transformers; with MEAN vLLM would refuse parts.
            "enable_prefix_caching": False,
            "hf_overrides": self._overrides,
            "use_tqdm_on_load": False,
        }
        if on_cpu and not os.environ.get("VLLM_CPU_KVCACHE_SPACE"):
            item = 4 if self.dtype == "float32" else 2
            tokens = _TOKENS_CACHED + 2 * longest
            needed = rules.cache_bytes(self._model, tokens, item=item, width=wider)
            options["kv_cache_memory_bytes"] = needed or _CACHE_UNSAID
        return options

    @cached_property
    def _cache(self) -> Path:
        if self._memory is not None:
            return self._memory.parent / "checkpoints"
        self._temporary = TemporaryDirectory(prefix="harness-checkpoints-")
        return Path(self._temporary.name)

    def _shares(self) -> list[str]:
        """The GPUs of each copy of the model.

        Raises:
            BadInputError: If there are too few.
        """
        import torch

        named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        gpus = named.split(",") if named else list(map(str, range(torch.cuda.device_count())))
        copies, each = self.config.data_parallel_size, self.config.tensor_parallel_size
        if copies * each > len(gpus):
            raise BadInputError(
                f"backend.data_parallel_size={copies} times tensor_parallel_size={each} needs "
                f"{copies * each} GPUs, and there are {len(gpus)}; lower one of them"
            )
        return [",".join(gpus[copy * each : (copy + 1) * each]) for copy in range(copies)]
