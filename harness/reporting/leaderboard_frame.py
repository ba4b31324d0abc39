"""A leaderboard's lines as the data frame that its figures are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.reporting.boards import COLUMNS, Board
from harness.reporting.standings import ALL, Standings

if TYPE_CHECKING:
    import pandas as pd

MOST_TASKS = 6
MOST_LINES = 40

_FIGURES = ("value", "low", "high", "ratio", "ratio_low", "ratio_high", "query_flops")


def leaderboard_frame(standings: Standings, boards: Sequence[Board]) -> pd.DataFrame:
    """One row a line: task, metric, name, kind, verdict, front and the figures.

    Of more than `MOST_TASKS` tasks it is the means over all of them instead; of more than
    `MOST_LINES` lines the best. `name` is the mode where that is the line's own in its table, else
    its number and mode; `front` tells whether no other line has more quality for as few FLOPs per
    query.

    Args:
        standings: The assessed systems.
        boards: Their tables by task.
    """
    import pandas as pd

    several = len(boards) > MOST_TASKS
    rows = _means(standings) if several else [row for one in boards for row in _lines(one)]
    return pd.DataFrame(rows).astype(dict.fromkeys(_FIGURES, "float64"))


def _lines(board: Board) -> list[dict[str, Any]]:
    return [
        {
            "task": board.heading,
            "metric": board.metric,
            "name": line.row.mode
            if line.label == line.row.mode
            else f"{line.label} {line.row.mode}",
            "kind": line.row.kind,
            "front": "query_flops" in line.assessment.front,
            **{column.name: column.figure(line) for column in COLUMNS},
        }
        for line in board.standings[:MOST_LINES]
    ]


def _means(standings: Standings) -> list[dict[str, Any]]:
    lines = [
        (system, line)
        for system, line in zip(standings.systems, standings.overall[ALL], strict=True)
        if line is not None and line.rank is not None
    ]
    lines.sort(key=lambda pair: pair[1].rank or 0)
    return [
        {
            "task": f"mean of {line.tasks} tasks",
            "metric": "mean",
            "name": f"{number} {system.row.mode}",
            "kind": system.row.kind,
            "front": "query_flops" in line.front,
            "value": line.mean,
            "low": line.low,
            "high": line.high,
            "ratio": line.share.value if line.share else None,
            "ratio_low": line.share.low if line.share else None,
            "ratio_high": line.share.high if line.share else None,
            "verdict": line.share.verdict if line.share else None,
            "query_flops": line.costs["query_flops"],
        }
        for number, (system, line) in enumerate(lines[:MOST_LINES], start=1)
    ]
