"""`harness status`: which runs are listed, and how."""

from __future__ import annotations

from dataclasses import dataclass

from harness.components import at_least, one_of, require


@dataclass(kw_only=True)
class StatusConfig:
    """`harness status`: which runs are listed, and how.

    Attributes:
        results_dir: The results folder.
        last: How many of the runs that started last are listed; 0 for all.
        status: Only runs of this status; None for any.
        format: `table`, or `json` for one JSON object a run.
        debug: Whether errors show their traceback.
    """

    results_dir: str = "results"
    last: int = 20
    status: str | None = None
    format: str = "table"
    debug: bool = False

    def __post_init__(self) -> None:
        """Validate."""
        require(bool(self.results_dir.strip()), "results_dir is empty; give a folder")
        at_least("last", self.last, 0)
        one_of("format", self.format, ("table", "json"))
        if self.status is not None:
            known = ("done", "partial", "failed", "running", "killed", "unknown")
            one_of("status", self.status, known)
