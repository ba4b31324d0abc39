"""The step that builds the training corpus."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.training.corpus import build_corpus

if TYPE_CHECKING:
    from harness.config import CorpusConfig


class CorpusStep:
    """Text and pairs from the documentation of installed packages."""

    def __init__(self, config: CorpusConfig) -> None:
        self.config = config

    def perform(self, output: Path) -> dict[str, Any]:
        """Build the corpus into `output`, or find that it is there; see `build_corpus`."""
        report = build_corpus(Path(self.config.packages).expanduser(), output)
        return {"name": output.name, **asdict(report)}
