"""`harness analyze`: aligned tokens, the spectrum, studies of sparse retrieval, training stages."""

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

    from harness.analysis.analyser import Analyser, Analysis
    from harness.analysis.stages_run import StageAnalyser
    from harness.analysis.study_run import run_study
    from harness.progress import say
    from harness.reporting.analysis import print_analysis, write_analysis

    folder = Path(config.analysis_dir).expanduser()
    staged = StageAnalyser(config) if "stages" in config.parts else None
    found, study = Analysis(" → ".join(config.stages.folders), config.stages.head.kind), None
    if set(config.parts) != {"stages"}:  # which read models of their own
        analyser = Analyser(config)
        found = analyser.run()
        study = run_study(analyser, folder / "study") if "study" in config.parts else None
    stages = None if staged is None else staged.run()
    page = write_analysis(folder, found, study, stages)
    print_analysis(found, study, stages, as_json=config.format == "json")
    say(f"written to {page}")
    return 0
