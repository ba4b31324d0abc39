"""What the harness asks of an inference engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from harness.embedding.prompts import Prompts


class Backend(Protocol):
    """Inference: prompts in, pooled embeddings out. See `TransformersBackend`."""

    @property
    def device(self) -> str:
        """Where it runs."""
        ...

    @property
    def dtype(self) -> str:
        """The dtype of weights and states."""
        ...

    @property
    def merges_adapters(self) -> bool:
        """Whether all adapters are merged, whatever `model.merge_last_adapter` says."""
        ...

    @property
    def space(self) -> dict[str, Any]:
        """What decides an embedding besides model, pooling, prompt and dtype; mostly nothing."""
        ...

    def load(self) -> None:
        """Load the model now, not with the first batch."""
        ...

    def synchronise(self) -> None:
        """Wait for the device."""
        ...

    def embed(
        self, prompts: Prompts, *, include_instruction: bool
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], int]]:
        """Yield (indices, embeddings, computed tokens) batch by batch."""
        ...
