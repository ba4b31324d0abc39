"""`harness analyze`: aligned tokens, their rates, the spectrum, and studies of sparse retrieval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.config import AnalyzeConfig, parse

if TYPE_CHECKING:
    from omegaconf import DictConfig


def analyze(settings: DictConfig) -> int:
    """Analyse a model, write tables, figures and a page, and print the summary.

    Returns:
        0.
    """
    config = parse(AnalyzeConfig, settings, where="")

    from harness.analysis.analyser import Analyser
    from harness.analysis.study_run import run_study
    from harness.progress import say
    from harness.reporting.analysis import print_analysis, write_analysis

    folder = Path(config.analysis_dir).expanduser()
    analyser = Analyser(config)
    found = analyser.run()
    study = run_study(analyser, folder / "study") if "study" in config.parts else None
    page = write_analysis(folder, found, study)
    print_analysis(found, study, as_json=config.format == "json")
    say(f"written to {page}")
    return 0
