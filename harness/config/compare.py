"""The settings of `harness compare`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import ListConfig

from harness.components import at_least, one_of, require


@dataclass(kw_only=True)
class CompareConfig:
    """`harness compare`: which two runs are compared, and on what.

    Attributes:
        run_a: The first run: a path of its results, its folder's name, its hash, its mode's name,
            or a part of `model/revision/folder`.
        run_b: The second run.
        results_dir: The results folder.
        task: Names of the tasks that are compared: one, a list, or empty for all that both have.
        metric: mteb's name of a metric of single queries; None for each task's main one.
        top: How many of the queries that moved most are shown of each task.
        html: A file for the same as a page; None for none.
        format: `table`, or `json` for JSON lines.
        debug: Whether errors show their traceback.
    """

    run_a: str
    run_b: str
    results_dir: str = "results"
    task: Any = field(default_factory=list)
    metric: str | None = None
    top: int = 10
    html: str | None = None
    format: str = "table"
    debug: bool = False

    def __post_init__(self) -> None:
        """Validate."""
        for run in ("run_a", "run_b"):
            require(bool(getattr(self, run).strip()), f"{run} is empty; name a run")
        require(bool(self.results_dir.strip()), "results_dir is empty; give a folder")
        named = self.task if isinstance(self.task, list | ListConfig) else [self.task]
        self.task = [task for task in named if task is not None]
        require(
            all(isinstance(task, str) and task for task in self.task),
            f"task={self.task} must be task names, for instance task=SciFact",
        )
        at_least("top", self.top, 0)
        require(self.html is None or bool(self.html.strip()), "html is empty; name a file")
        one_of("format", self.format, ("table", "json"))
