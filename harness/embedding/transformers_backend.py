"""Batched inference with transformers: prompts in, pooled embeddings out."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.embedding.batching import token_budget_batches
from harness.embedding.model import POSITIONS_AFTER_PADDING, RELATIVE_POSITIONS
from harness.embedding.network import load_network
from harness.embedding.prompts import Prompts
from harness.errors import BadInputError, brief

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
        """The network in evaluation mode, on the device."""
        network = load_network(
            self._model,
            dtype=self.dtype,
            kernel=self.config.attention,
            reads=self._pooling.config.reads,
        )
        try:
            return network.to(self.device)
        except RuntimeError as error:
            raise BadInputError(
                f"the model does not fit on {self.device} ({brief(error)}); use a smaller "
                "dtype or backend.device=cpu"
            ) from error

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
        real, pooled = self._masks(part, include_instruction)
        ids = np.full(real.shape, self._padding_token, np.int64)
        ids[real] = part.ids.values
        inputs = {"input_ids": ids, "attention_mask": real.astype(np.int64)}
        if self.config.padding_side == "left" and self._wants_positions:
            inputs["position_ids"] = np.maximum(real.cumsum(axis=1) - 1, 0)
        with torch.inference_mode():
            output = self.network(
                **{name: torch.from_numpy(array).to(self.device) for name, array in inputs.items()},
                **self._extra_inputs,
            )
            states = getattr(output, self._pooling.config.reads)
            embeddings = self._pooling(states, torch.from_numpy(pooled).to(self.device))
            return batch, embeddings.cpu().numpy(), ids.size

    def _masks(
        self, part: Prompts, include_instruction: bool
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which places of a padded batch hold tokens, and which of those are pooled."""
        lengths = part.ids.lengths[:, None]
        longest = max(int(lengths.max(initial=0)), 1)
        position = np.arange(longest)[None, :]
        if self.config.padding_side == "left":
            position = position - (longest - lengths)
        real = (position >= 0) & (position < lengths)
        if include_instruction:
            return real, real
        return real, real & (position >= part.text_start[:, None])

    @cached_property
    def _padding_token(self) -> int:
        # Masked, so any id pads; but RoBERTa and its kin count positions by comparing with theirs.
        token = getattr(self.network.config, "pad_token_id", None)
        return token if isinstance(token, int) and token >= 0 else 0

    @cached_property
    def _wants_positions(self) -> bool:
        """Whether a left-padded model must be told that positions begin after the padding."""
        kind = str(self._model.settings.get("model_type"))
        if kind in POSITIONS_AFTER_PADDING or kind in RELATIVE_POSITIONS:
            return False
        if "position_ids" not in self._inputs:
            raise BadInputError(
                f"backend.padding_side=left: {kind} counts its positions itself; use right"
            )
        return True

    @cached_property
    def _extra_inputs(self) -> dict[str, Any]:
        # A decoder would build a key-value cache that nobody reads.
        return {"use_cache": False} if "use_cache" in self._inputs else {}

    @cached_property
    def _inputs(self) -> frozenset[str]:
        """What the network takes, by name."""
        return frozenset(inspect.signature(self.network.forward).parameters)


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
