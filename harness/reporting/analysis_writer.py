"""The folder of an analysis: tables and figures as files, and the sections of its page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.files import file_name, write_atomically
from harness.reporting.analysis_page import Section

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class AnalysisWriter:
    """Puts tables and figures into a folder, and remembers the page's sections."""

    def __init__(self, folder: Path) -> None:
        """Nothing is written yet."""
        self._folder = folder
        self.sections: list[Section] = []

    def table(self, data: pd.DataFrame, name: str) -> str:
        """Write a table and give its file's name."""
        file = f"{file_name(name)}.parquet"
        write_atomically(self._folder / file, lambda path: data.to_parquet(path, index=False))
        return file

    def plain(self, name: str, heading: str, text: str, data: pd.DataFrame) -> None:
        """A table without a figure."""
        file = self.table(data, name)
        self.sections.append(Section(heading=heading, text=text, table=data, rows=60, file=file))

    def drawn(
        self,
        name: str,
        heading: str,
        text: str,
        data: pd.DataFrame,
        figure: Figure,
        *,
        shown: bool | pd.DataFrame = False,
        rows: int = 20,
    ) -> None:
        """A figure and its data, which the page shows too where `shown`, or another table."""
        from harness.reporting.figures import save_figure

        save_figure(figure, data, self._folder / "figures", name)
        self.sections.append(
            Section(
                heading=heading,
                text=text,
                figure=figure,
                table=data if shown is True else None if shown is False else shown,
                rows=rows,
                file=self.table(data, name),
            )
        )
