"""A process of training: its device, its precision, its share of the work."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.embedding.devices import check_device, fastest_dtype

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


def is_first_process() -> bool:
    """Whether this is the process that prints, before there is a worker."""
    return os.environ.get("RANK", "0") == "0"


class Worker:
    """One of several processes (`accelerate launch`, `torchrun`), or the only one.

    Attributes:
        number: From 0.
        count: How many there are.
        device: What this one computes on.
        dtype: What it multiplies in.
    """

    def __init__(self, device: str, dtype: str) -> None:
        from accelerate import Accelerator
        from accelerate.utils import DistributedType

        if device != "auto":
            check_device(device, setting="device")
        self._accelerator: Any = Accelerator(cpu=device == "cpu" or None, mixed_precision="no")
        self.number: int = self._accelerator.process_index
        self.count: int = self._accelerator.num_processes
        alone = self._accelerator.distributed_type == DistributedType.NO
        chosen = self._accelerator.device if device == "auto" or not alone else device
        import torch

        self.device = torch.device(chosen)
        if self.device.type == "cpu":
            self.device = torch.device("cpu")  # several processes are given cpu:0
        fastest = fastest_dtype(str(self.device))
        # float16 would need its losses scaled; where there is no bfloat16, float32 is taken.
        automatic = "bfloat16" if fastest == "bfloat16" else "float32"
        self.dtype = automatic if dtype == "auto" else dtype

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.number == 0

    def autocast(self) -> AbstractContextManager[Any]:
        """Matrix products in this worker's dtype; weights and gradients stay float32."""
        import torch

        return torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.dtype == "bfloat16"
        )

    def share(self, batch: NDArray[np.int64]) -> NDArray[np.int64]:
        """This process's part of a batch; parts differ by one text at most."""
        return np.array_split(batch, self.count)[self.number]

    def seed(self, seed: int, step: int, part: int = 0) -> None:
        """Seed torch's draws (dropout): by step, part and process, never by what came before."""
        import torch

        words = np.random.SeedSequence((seed, step, part, self.number)).generate_state(2)
        torch.manual_seed(int(words[0]) << 32 | int(words[1]))

    def add(self, tensors: list[torch.Tensor]) -> None:
        """Replace tensors by their sums over all processes, in place."""
        if self.count > 1:
            for tensor in tensors:
                tensor.copy_(self._accelerator.reduce(tensor, reduction="sum"))

    def any(self, here: bool) -> bool:
        """Whether something is so in any process; all of them are told the same."""
        if self.count == 1:
            return here
        import torch

        found = torch.tensor([float(here)], device=self.device)
        self.add([found])
        return bool(found.item() > 0)

    def gather(self, rows: torch.Tensor, counts: list[int]) -> torch.Tensor:
        """The rows of all processes, one after the other.

        Args:
            rows: (n, d) of this process, n its entry of `counts`.
            counts: Rows of each process.
        """
        if self.count == 1:
            return rows
        import torch

        longest = max(counts)
        filled = torch.zeros(longest, *rows.shape[1:], device=rows.device, dtype=rows.dtype)
        filled[: len(rows)] = rows
        every = self._accelerator.gather(filled).view(self.count, longest, *rows.shape[1:])
        return torch.cat([part[:n] for part, n in zip(every, counts, strict=True)])

    def wait(self) -> None:
        """Wait for the other processes."""
        self._accelerator.wait_for_everyone()
