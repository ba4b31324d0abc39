"""What is evaluated and measured: tasks, cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import ListConfig

from harness.components import at_least, one_of, require


@dataclass(kw_only=True)
class TasksConfig:
    """Which tasks are evaluated; the embedded one when nothing is named.

    Attributes:
        names: mteb task names, or `PyDocRetrieval`, the embedded task.
        benchmark: An mteb benchmark's name, such as `BEIR`.
        path: BEIR folders: one, or a list.
        split: The split of the BEIR folders.
        empty_text: `refuse` stops at an empty text in a folder, `keep` goes on.
    """

    names: list[str] = field(default_factory=list)
    benchmark: str | None = None
    path: Any = None
    split: str = "test"
    empty_text: str = "refuse"

    def __post_init__(self) -> None:
        """Validate."""
        one_of("empty_text", self.empty_text, ("refuse", "keep"))
        require(self.path != [], "path is empty; give a folder, or leave it out")
        if self.path is None:
            self.path = []
        elif isinstance(self.path, list | ListConfig):
            self.path = [str(folder) for folder in self.path]
        else:
            self.path = [str(self.path)]


@dataclass(kw_only=True)
class CostConfig:
    """How cost is measured.

    Attributes:
        latency_queries: Queries timed one at a time, per task and mode; 0 for none.
        latency_warmup: Queries before them that do not count.
        matmul_peak: Whether the device's matrix-multiply rate is measured, for MFU.
    """

    latency_queries: int = 100
    latency_warmup: int = 10
    matmul_peak: bool = True

    def __post_init__(self) -> None:
        """Validate."""
        at_least("latency_queries", self.latency_queries, 0)
        at_least("latency_warmup", self.latency_warmup, 0)
