"""`harness export`: where results are, and in which layout they go where."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import ListConfig

from harness.components import one_of, require


@dataclass(kw_only=True)
class ExportConfig:
    """`harness export`: where results are, and in which layout they go where.

    Attributes:
        results_dir: The results folder.
        format: `trec`, run and qrels files, or `mteb`, the layout of the official results
            repository.
        export_dir: Where the files are written; a folder named as the format when None.
        task: Names of the tasks that are exported: one, a list, or empty for all.
        debug: Whether errors show their traceback.
    """

    results_dir: str = "results"
    format: str = "trec"
    export_dir: str | None = None
    task: Any = field(default_factory=list)
    debug: bool = False

    def __post_init__(self) -> None:
        """Validate."""
        one_of("format", self.format, ("trec", "mteb"))
        for name in ("results_dir", "export_dir"):
            folder = getattr(self, name)
            require(folder is None or bool(folder.strip()), f"{name} is empty; give a folder")
        named = self.task if isinstance(self.task, list | ListConfig) else [self.task]
        self.task = [task for task in named if task is not None]
        require(
            all(isinstance(task, str) and task for task in self.task),
            f"task={self.task} must be task names, for instance task=SciFact",
        )
        written = (self.folder / "results").resolve()
        require(
            self.format != "mteb" or written != Path(self.results_dir).resolve(),
            f"format=mteb would write into results_dir={self.results_dir} itself; name another "
            "folder with export_dir=DIR",
        )

    @property
    def folder(self) -> Path:
        """Where the files are written."""
        return Path(self.export_dir or self.format)
