"""Figures of what `harness analyze` computed: each a function from a data frame to a figure.

The figures are drawn here and their numbers come from elsewhere. Matplotlib is imported only when
one is drawn.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.files import file_name, write_atomically, write_text
from harness.reporting.figures_component import contributions, spectrum, sweep
from harness.reporting.figures_rates import rates
from harness.reporting.figures_stages import (
    stages_dense,
    stages_modes,
    stages_rates,
    stages_variation,
)
from harness.reporting.figures_study import study, study_bytes
from harness.reporting.figures_style import picture
from harness.reporting.figures_tokens import adjusted, lens

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = [
    "adjusted",
    "contributions",
    "lens",
    "rates",
    "save_figure",
    "spectrum",
    "stages_dense",
    "stages_modes",
    "stages_rates",
    "stages_variation",
    "study",
    "study_bytes",
    "sweep",
]


def save_figure(figure: Figure, data: pd.DataFrame, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG (200 dots an inch) and SVG (text as text), and its data as CSV.

    The same figure and data give the same bytes.

    Args:
        figure: Any figure of this module.
        data: What it shows, in full.
        folder: Where the files go; made when missing.
        name: Of the files, without a suffix; any text.

    Returns:
        The files' paths.
    """
    paths = []
    for kind in ("png", "svg"):
        paths.append(folder / f"{file_name(name)}.{kind}")
        _write(paths[-1], picture(figure, kind))
    paths.append(folder / f"{file_name(name)}.csv")
    write_text(paths[-1], data.to_csv(index=False, lineterminator="\n"))
    return paths


def _write(path: Path, content: bytes) -> None:
    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(path, write)
