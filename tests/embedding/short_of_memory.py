"""A worker whose device has little memory; in a module of its own, since workers import it."""

from dataclasses import dataclass

import torch

from harness.config import build
from harness.embedding.device_worker import Recipe
from harness.embedding.model import EmbeddingModel
from harness.embedding.transformers_backend import TransformersBackend


class Short(TransformersBackend):
    """Runs out of memory above so many tokens, padding included."""

    tokens = 50

    def _forward(self, prompts, batch, include_instruction):
        if self._computed(prompts.ids.lengths[batch]) > self.tokens:
            raise torch.OutOfMemoryError("out of memory")
        return super()._forward(prompts, batch, include_instruction)


@dataclass(frozen=True)
class ShortRecipe(Recipe):
    """Makes such a backend."""

    def make(self):
        model = EmbeddingModel(self.model)
        return Short(self.backend, model=model, pooling=build(self.pooling))
