"""Batched inference with transformers: prompts in, pooled embeddings out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cached_property
from logging import ERROR
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.embedding.batching import token_budget_batches
from harness.embedding.instructions import Prompts
from harness.errors import BadInputError

if TYPE_CHECKING:
    import torch

    from harness.config import TransformersBackendConfig
    from harness.embedding.model import EmbeddingModel
    from harness.embedding.pooling import Pooling

Batch = tuple[NDArray[np.int64], NDArray[np.float32], int]


class TransformersBackend:
    """Runs the backbone of a Hugging Face model, loaded when the first text is encoded."""

    def __init__(
        self,
        config: TransformersBackendConfig,
        *,
        model: EmbeddingModel,
        pooling: Pooling,
    ) -> None:
        self.config = config
        self._model = model
        self._pooling = pooling

    @cached_property
    def device(self) -> str:
        """The device that `auto` stands for, or the configured one."""
        import torch

        if self.config.device != "auto":
            _check_device(self.config.device)
            return self.config.device
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"

    @cached_property
    def dtype(self) -> str:
        """The dtype that `auto` stands for, or the configured one."""
        if self.config.dtype != "auto":
            return self.config.dtype
        return "bfloat16" if self.device.startswith("cuda") else "float32"

    @cached_property
    def network(self) -> torch.nn.Module:
        """The backbone in evaluation mode, on the device."""
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModel

        attention = self.config.attention
        with _quiet():
            try:
                network, report = AutoModel.from_pretrained(
                    self._model.folder,
                    dtype=getattr(torch, self.dtype),
                    attn_implementation=None if attention == "auto" else attention,
                    trust_remote_code=self._model.config.trust_remote_code,
                    use_safetensors=True,
                    local_files_only=True,
                    output_loading_info=True,
                )
                network.eval().to(self.device)
            except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
                first = (str(error).splitlines() or [type(error).__name__])[0][:200]
                remedy = "; try backend.attention=eager" if "attention" in first else ""
                raise BadInputError(
                    f"no model could be loaded from {self._model.folder}: {first}{remedy}"
                ) from error
        # Weights that are not there would be random. A pooler is never read.
        missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
        if missing:
            raise BadInputError(
                f"the weights in {self._model.folder} lack {missing[0]} and {len(missing) - 1} "
                "more tensors that config.json asks for; fetch the model again"
            )
        module: torch.nn.Module = network
        return module

    def load(self) -> None:
        """Load the model, so that the first batch is not timed with it."""
        _ = self.network

    def synchronise(self) -> None:
        """Wait until the device has done all its work, so that a clock can be read."""
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.synchronize(self.device)

    def embed(self, prompts: Prompts, *, include_instruction: bool) -> Iterator[Batch]:
        """Encode prompts, longest first.

        When the device runs out of memory the token budget is halved and the batch tried again.

        Args:
            prompts: n tokenised prompts.
            include_instruction: Whether template tokens are pooled.

        Yields:
            For each batch the indices into `prompts`, the float32 embeddings (batch, d), and the
            number of tokens that were computed, padding included.

        Raises:
            BadInputError: If one text alone does not fit into memory.
        """
        budget = self.config.token_budget or self._default_budget
        lengths = prompts.ids.lengths
        waiting = token_budget_batches(lengths, budget)[::-1]
        while waiting:
            batch = waiting.pop()
            done = None
            try:
                done = self._forward(prompts, batch, include_instruction)
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                if len(batch) == 1:
                    raise BadInputError(
                        f"a text of {int(lengths[batch[0]])} tokens does not fit into the memory "
                        f"of {self.device}; lower model.max_length or use a smaller dtype"
                    ) from error
            if done is not None:
                yield done
                continue
            # Only here, where the error no longer holds the failed batch's tensors.
            _release_memory(self.device)
            budget = max(int(lengths[batch].max(initial=1)) * len(batch) // 2, 1)
            rest = np.concatenate([batch, *waiting[::-1]])
            waiting = [rest[part] for part in token_budget_batches(lengths[rest], budget)][::-1]

    @property
    def _default_budget(self) -> int:
        # Small batches stay in a CPU's cache; a GPU wants enough tokens to fill it.
        return 2048 if self.device == "cpu" else 32_768

    def _forward(
        self, prompts: Prompts, batch: NDArray[np.int64], include_instruction: bool
    ) -> Batch:
        import torch

        part = prompts.select(batch)
        lengths = part.ids.lengths
        longest = max(int(lengths.max(initial=0)), 1)
        position = np.arange(longest)
        real = position < lengths[:, None]
        ids = np.zeros((len(batch), longest), np.int64)  # masked, so any id pads
        ids[real] = part.ids.values
        pooled = real
        if not include_instruction:
            pooled = (position >= part.text_start[:, None]) & (position < part.text_stop[:, None])
        with torch.inference_mode():
            states = self.network(
                input_ids=torch.from_numpy(ids).to(self.device),
                attention_mask=torch.from_numpy(real.astype(np.int64)).to(self.device),
                **self._extra_inputs,
            ).last_hidden_state
            embeddings = self._pooling(states, torch.from_numpy(pooled).to(self.device))
            return batch, embeddings.cpu().numpy(), ids.size

    @cached_property
    def _extra_inputs(self) -> dict[str, Any]:
        # A decoder would build a key-value cache that nobody reads.
        is_decoder = hasattr(self.network.config, "use_cache")
        return {"use_cache": False} if is_decoder else {}


def _check_device(device: str) -> None:
    import torch

    unknown = f"backend.device={device!r} is unknown; use auto, cpu, cuda, cuda:1 or mps"
    try:
        parsed = torch.device(device)
    except RuntimeError as error:
        raise BadInputError(unknown) from error
    if parsed.type not in ("cpu", "cuda", "mps"):
        raise BadInputError(unknown)
    if parsed.type == "cuda" and not torch.cuda.is_available():
        raise BadInputError(
            f"backend.device={device}: this torch sees no GPU; use backend.device=cpu"
        )
    if parsed.type == "cuda" and (parsed.index or 0) >= torch.cuda.device_count():
        raise BadInputError(
            f"backend.device={device}: there are {torch.cuda.device_count()} GPUs, counted from 0"
        )
    if parsed.type == "mps" and not torch.backends.mps.is_available():
        raise BadInputError(
            f"backend.device={device}: this torch sees no Apple GPU; use backend.device=cpu"
        )


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    message = str(error)  # the CPU allocator and cuBLAS raise a plain RuntimeError
    signs = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return any(sign in message for sign in signs)


def _release_memory(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
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
