"""What a step of training minimises."""

from __future__ import annotations

from typing import Protocol

from harness.training.network import Decoder
from harness.training.worker import Worker


class Objective(Protocol):
    """Batches by number, and the gradient of each.

    A batch depends on its number and the seed alone, so that a killed step goes on as if it had
    never stopped.
    """

    @property
    def steps(self) -> int:
        """How many batches there are."""
        ...

    def backward(self, decoder: Decoder, worker: Worker, step: int) -> tuple[float, int]:
        """Add the gradient of one batch to the weights' gradients.

        Returns:
            This process's part of the loss, whose sum over processes is the batch's, and the
            tokens that it computed.
        """
        ...

    def validate(self, decoder: Decoder, worker: Worker) -> float | None:
        """The loss on what is held out, the same on every call; None if nothing is."""
        ...
