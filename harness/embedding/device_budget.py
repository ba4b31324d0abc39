"""The token budget that a pass of a model on a device begins with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.embedding.budget import BudgetMemory, TokenBudget, first_budget

if TYPE_CHECKING:
    from harness.config import TransformersBackendConfig
    from harness.embedding.model import EmbeddingModel

# What is taken before anything is measured: small batches stay in a CPU's cache; a GPU wants
# enough tokens to fill it.
_FIRST_GUESS = {"cpu": 2048, "cuda": 32_768, "mps": 8192}
_CANDIDATES = {"cpu": (1024, 2048, 4096, 8192), "cuda": (8192, 16_384, 32_768, 65_536)}
_LOGIT_BYTES = 256 << 20  # of a batch, where the whole vocabulary is read of every token


class DeviceBudget:
    """The configured token budget, or the one that was found on the device before, or a guess."""

    def __init__(
        self,
        config: TransformersBackendConfig,
        *,
        model: EmbeddingModel,
        reads: str,
        device: str,
        dtype: str,
        packed: bool,
        folder: Path | None,
    ) -> None:
        """Prepare.

        Args:
            config: Of the backend.
            model: The model.
            reads: The output that is pooled.
            device: Where it runs.
            dtype: Its weights' and states'.
            packed: Whether texts are put one after the other.
            folder: Where budgets are remembered; nowhere when None.
        """
        self._config = config
        self._model = model
        self._reads = reads
        self._device = device
        self._dtype = dtype
        self._packed = packed
        self._folder = folder

    def of_pass(self, tokens: int) -> TokenBudget:
        """The budget that a pass over so many tokens begins with."""
        if self._config.token_budget is not None:
            return TokenBudget(self._config.token_budget)
        kind = self._device.partition(":")[0]
        guess, candidates = _FIRST_GUESS[kind], _CANDIDATES.get(kind, ())
        if self._reads == "logits":
            vocabulary = int(self._model.settings.get("vocab_size", 1))
            most = max(_LOGIT_BYTES // (4 * vocabulary), 1)
            guess, candidates = min(guess, most), ()
        memory = self._memory
        if memory is None:  # what is found cannot be used again, so nothing is tried
            return TokenBudget(guess)
        return first_budget(guess=guess, candidates=candidates, tokens=tokens, known=memory.read())

    def remember(self, budget: TokenBudget) -> None:
        """Keep what was found for passes to come, if anything is kept."""
        if (memory := self._memory) is not None:
            memory.write(budget)

    @property
    def _memory(self) -> BudgetMemory | None:
        """Where this device's budget for this model is remembered."""
        if self._folder is None or self._reads == "logits":
            return None
        import torch

        from harness.cost.hardware import device_name

        circumstances = {
            "device": device_name(self._device),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "dtype": self._dtype,
            "packed": self._packed,
            "attention": self._config.attention,
            "weights": self._model.weights_hash,
        }
        return BudgetMemory(self._folder, circumstances)
