"""What a run does as a job of a sweep."""

from __future__ import annotations

from dataclasses import dataclass

from harness.components import require


@dataclass(kw_only=True)
class SweepConfig:
    """What a run does as a job of a sweep.

    Attributes:
        plan: Only say what is stored of the run and what it would encode.
        mode: The mode whose quality and scoring FLOPs a sweeper that searches goes by; None for the
            only mode of the run.
    """

    plan: bool = False
    mode: str | None = None

    def __post_init__(self) -> None:
        """Validate."""
        require(
            self.mode is None or bool(self.mode.strip()),
            "sweep.mode is empty; name a mode of retrieval, or null",
        )
