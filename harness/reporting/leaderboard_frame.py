"""A leaderboard's lines as the data frame that its figures are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.reporting.boards import COLUMNS, Board

if TYPE_CHECKING:
    import pandas as pd


def leaderboard_frame(boards: Sequence[Board]) -> pd.DataFrame:
    """One row a line: task, metric, name, kind, front and the figures of the CSV.

    `name` is the mode where that is the line's own in its table, else its number and mode; `front`
    tells whether no other line has more quality for as few FLOPs per query.

    Args:
        boards: The tables.
    """
    import pandas as pd

    rows = []
    for board in boards:
        for line in board.standings:
            own = line.row.mode if line.label == line.row.mode else f"{line.label} {line.row.mode}"
            rows.append(
                {
                    "task": board.heading,
                    "metric": board.metric,
                    "name": own,
                    "kind": line.row.kind,
                    "front": "query_flops" in line.assessment.front,
                    **{column.name: column.figure(line) for column in COLUMNS},
                }
            )
    frame = pd.DataFrame(rows)
    figures = ("value", "low", "high", "ratio", "ratio_low", "ratio_high", "query_flops")
    return frame.astype(dict.fromkeys(figures, "float64"))
