"""Batched inference with transformers: prompts in, pooled embeddings out."""

from __future__ import annotations

import inspect
import time
from collections import deque
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.embedding.batching import longest_first, next_batch
from harness.embedding.device_budget import DeviceBudget
from harness.embedding.devices import (
    check_device,
    fastest_dtype,
    is_out_of_memory,
    release_memory,
)
from harness.embedding.families import POSITIONS_AFTER_PADDING, RELATIVE_POSITIONS
from harness.embedding.inputs import PackedInputs, PaddedInputs
from harness.embedding.network import load_network
from harness.embedding.packing import is_packable
from harness.embedding.prompts import Prompts
from harness.errors import BadInputError, brief
from harness.progress import say_once

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from harness.config import TransformersBackendConfig
    from harness.embedding.model import EmbeddingModel
    from harness.embedding.pooling import Pooling

Batch = tuple[NDArray[np.int64], NDArray[np.float32], int]

_LONG_PASS = 100_000  # tokens: some ten seconds of a small model on two cores


class TransformersBackend:
    """Runs the backbone of a Hugging Face model, loaded when the first text is encoded."""

    merges_adapters = False

    def __init__(
        self,
        config: TransformersBackendConfig,
        *,
        model: EmbeddingModel,
        pooling: Pooling,
        memory: Path | None = None,
    ) -> None:
        """Prepare.

        Args:
            config: Device, dtype, attention, batches.
            model: The model.
            pooling: Reduces token states to embeddings.
            memory: Where the token budget of a device is remembered; nowhere when None.
        """
        self.config = config
        self._model = model
        self._pooling = pooling
        self._memory = memory

    @cached_property
    def device(self) -> str:
        """The device that `auto` stands for, or the configured one."""
        import torch

        if self.config.device != "auto":
            check_device(self.config.device)
            return self.config.device
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"

    @cached_property
    def dtype(self) -> str:
        """The dtype that `auto` or `fastest` stands for, or the configured one.

        `auto` is bfloat16 on a GPU, where models of this kind are trained and published in it, and
        float32 elsewhere: scores are then the same on every CPU, with matrix units or without.
        """
        if self.config.dtype == "fastest":
            return fastest_dtype(self.device)
        if self.config.dtype != "auto":
            return self.config.dtype
        return "bfloat16" if self.device.startswith("cuda") else "float32"

    @cached_property
    def packed(self) -> bool:
        """Whether texts are put one after the other instead of padded to the longest.

        Raises:
            BadInputError: If that is asked for and the model cannot be run so.
        """
        wanted = self.config.attention
        able = is_packable(self._model.text_settings, lambda: self._model.max_length)
        able = able and not self._model.runs_own_code and self.config.padding_side == "right"
        if wanted == "packed" and not able:
            kind = self._model.text_settings.get("model_type")
            raise BadInputError(
                f"backend.attention=packed: {kind} cannot be run without padding, or not with "
                "padding_side=left, a sliding window below model.max_length or code of its own; "
                "use backend.attention=auto"
            )
        return able and wanted in ("auto", "packed")

    @cached_property
    def network(self) -> torch.nn.Module:
        """The network in evaluation mode, on the device."""
        network = load_network(
            self._model,
            dtype=self.dtype,
            kernel="packed" if self.packed else self.config.attention,
            reads=self._pooling.config.reads,
        )
        try:
            network = network.to(self.device)
        except RuntimeError as error:
            raise BadInputError(
                f"the model does not fit on {self.device} ({brief(error)}); use a smaller "
                "dtype or backend.device=cpu"
            ) from error
        if self.packed and self.device == "cpu" and not self._model.adapters:
            from harness.embedding.prepacked import can_prepack, prepack

            if can_prepack(self.dtype):
                prepack(network)
        return network

    @property
    def space(self) -> dict[str, Any]:
        """See `Backend`: nothing."""
        return {}

    @cached_property
    def budgets(self) -> DeviceBudget:
        """The token budgets of passes on the device."""
        return DeviceBudget(
            self.config,
            model=self._model,
            reads=self._pooling.config.reads,
            device=self.device,
            dtype=self.dtype,
            packed=self.packed,
            folder=self._memory,
        )

    def load(self) -> None:
        """Load the model, so that the first batch is not timed with it."""
        _ = self.network

    def synchronise(self) -> None:
        """Wait until the device has done all its work, so that a clock can be read."""
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.synchronize(self.device)

    def start(self, prompts: Prompts, *, include_instruction: bool) -> Callable[[], Batch]:
        """Start all the prompts as one batch.

        Returns:
            What waits for it and gives the batch, as `embed` does.

        Raises:
            RuntimeError: If the device runs out of memory (`is_out_of_memory`), among others.
        """
        return self._forward(prompts, np.arange(len(prompts.ids)), include_instruction)

    def embed(self, prompts: Prompts, *, include_instruction: bool) -> Iterator[Batch]:
        """Encode prompts, longest first.

        When the device runs out of memory the token budget is halved and the batch tried again. On
        a GPU the next batch is prepared and started before a batch is read back.

        Args:
            prompts: n tokenised prompts.
            include_instruction: Whether template tokens are pooled.

        Yields:
            For each batch the indices into `prompts`, the float32 embeddings (batch, d), and the
            number of tokens that were computed, padding included.

        Raises:
            BadInputError: If one text alone does not fit into memory, twice.
        """
        lengths = prompts.ids.lengths
        if not len(lengths):
            return
        order = longest_first(lengths)
        descending = lengths[order]
        self._tell_of_a_faster_dtype(int(lengths.sum()))
        budget = self.budgets.of_pass(int(lengths.sum()))
        under_way: deque[Callable[[], Batch]] = deque()
        start, alone = 0, -1
        while start < len(order):
            limit, tried = budget.next(), budget.tries
            count = next_batch(descending[start:], limit, packed=self.packed)
            batch = order[start : start + count]
            began = time.perf_counter()
            try:
                read = self._forward(prompts, batch, include_instruction)
                done = read() if tried else None
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if len(batch) == 1 and start == alone:
                    raise BadInputError(
                        f"a text of {int(lengths[batch[0]])} tokens does not fit into the memory "
                        f"of {self.device}; lower model.max_length or use a smaller dtype"
                    ) from error
                read = None
                # A neighbour may have held the memory: one text alone is tried a second time.
                alone = start if len(batch) == 1 else -1
            if read is None:
                # Only here, where the error no longer holds the failed batch's tensors.
                release_memory(self.device)
                budget.lower(max(self._computed(lengths[batch]) // 2, 1))
                continue
            start += count
            if done is not None:
                seconds = time.perf_counter() - began
                if budget.took(limit, tokens=int(lengths[batch].sum()), seconds=seconds):
                    self.budgets.remember(budget)
                yield done
                continue
            under_way.append(read)
            if len(under_way) > (1 if self.device.startswith("cuda") else 0):
                yield under_way.popleft()()
        while under_way:
            yield under_way.popleft()()

    def _tell_of_a_faster_dtype(self, tokens: int) -> None:
        """Say once, before a long pass, that the processor has instructions it is not using."""
        if self.device != "cpu" or self.config.dtype != "auto" or tokens < _LONG_PASS:
            return
        if (fastest := fastest_dtype(self.device)) != self.dtype:
            say_once(
                f"this processor has instructions for {fastest}, two to five times as fast as "
                f"{self.dtype}: backend=fast uses them; scores then differ in the third decimal"
            )

    def _computed(self, lengths: NDArray[np.int64]) -> int:
        """Tokens that a batch of such texts takes, padding included."""
        if self.packed:
            return int(np.maximum(lengths, 1).sum())
        return max(int(lengths.max(initial=0)), 1) * len(lengths)

    def _forward(
        self, prompts: Prompts, batch: NDArray[np.int64], include_instruction: bool
    ) -> Callable[[], Batch]:
        """Start a batch; what is returned waits for it and gives its embeddings."""
        import torch

        part = prompts.select(batch)
        with torch.inference_mode():
            run = self._packed_forward if self.packed else self._padded_forward
            embeddings, computed = run(part, include_instruction)
            if embeddings.is_cuda:
                waiting = torch.empty_like(embeddings, device="cpu", pin_memory=True)
                waiting.copy_(embeddings, non_blocking=True)
                ready: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch's stub
                ready.record(torch.cuda.current_stream(embeddings.device))

                def read() -> Batch:
                    ready.synchronize()
                    return batch, waiting.numpy(), computed

                return read
            result = embeddings.cpu().numpy()
        return lambda: (batch, result, computed)

    def _packed_forward(self, part: Prompts, include_instruction: bool) -> tuple[torch.Tensor, int]:
        """Embeddings of a batch whose texts stand one after the other, and its tokens."""
        import torch

        kind = self._model.text_settings.get("model_type")
        inputs = PackedInputs.of(
            part,
            include_instruction=include_instruction,
            padding_token=self._padding_token,
            after_padding=kind in POSITIONS_AFTER_PADDING,
        )
        output = self.network(
            input_ids=self._moved(inputs.ids[None]),
            position_ids=self._moved(inputs.positions[None]),
            packing=inputs.packing,
            **self._extra_inputs,
        )
        states = inputs.packing.split(getattr(output, self._pooling.config.reads)[0])
        pooled = inputs.packing.split(self._moved(inputs.pooled))
        runs = [self._pooling(run, mask) for run, mask in zip(states, pooled, strict=True)]
        return torch.cat(runs), inputs.packing.tokens

    def _padded_forward(self, part: Prompts, include_instruction: bool) -> tuple[torch.Tensor, int]:
        """Embeddings of a batch whose texts are padded to the longest, and its tokens."""
        left = self.config.padding_side == "left"
        inputs = PaddedInputs.of(
            part,
            include_instruction=include_instruction,
            padding_token=self._padding_token,
            left=left,
        )
        given = {"input_ids": inputs.ids, "attention_mask": inputs.real.astype(np.int64)}
        if left and self._wants_positions:
            given["position_ids"] = inputs.positions
        output = self.network(
            **{name: self._moved(array) for name, array in given.items()}, **self._extra_inputs
        )
        states = getattr(output, self._pooling.config.reads)
        return self._pooling(states, self._moved(inputs.pooled)), inputs.ids.size

    def _moved(self, array: NDArray[Any]) -> torch.Tensor:
        """An array on the device; to a GPU from pinned memory, without waiting."""
        import torch

        tensor = torch.from_numpy(array)
        if self.device.startswith("cuda"):
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

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
