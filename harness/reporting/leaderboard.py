"""The leaderboard's files: the page, tables for machines and papers, figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harness.files import write_atomically, write_text
from harness.reporting.boards import Board, boards
from harness.reporting.collect import Collection
from harness.reporting.costs import QUERIES
from harness.reporting.latex import latex_text
from harness.reporting.leaderboard_frame import leaderboard_frame
from harness.reporting.page import page_text
from harness.reporting.paper import PaperRow, paper_rows
from harness.reporting.payload import payload
from harness.reporting.plain import csv_text, markdown_text, overall_csv_text
from harness.reporting.standings import Standings, standings
from harness.reporting.tables import leaderboard_tables, narrow
from harness.statistics.bootstrap import RESAMPLES
from harness.statistics.verdict import THRESHOLD


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """Everything that a leaderboard says.

    Attributes:
        title: Its title.
        summary: A sentence of how much it holds.
        today: The date that it bears.
        standings: The assessed systems.
        boards: Their tables by task.
        paper: The paper's rows for tasks that are here.
        unreadable: One line for each result that could not be read.
    """

    title: str
    summary: str
    today: date
    standings: Standings
    boards: list[Board]
    paper: list[PaperRow]
    unreadable: list[str] = field(default_factory=list)


def leaderboard(
    collection: Collection,
    *,
    title: str,
    today: date,
    threshold: float = THRESHOLD,
    queries: int = QUERIES,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Leaderboard:
    """Assess all results.

    Args:
        collection: The results.
        title: The page's title.
        today: The date that the page bears.
        threshold: What a share of dense is to reach.
        queries: How many queries the total of FLOPs has beside the corpus pass.
        resamples: Of bootstraps and randomisation tests.
        seed: Of both.
    """
    assessed = standings(
        collection.entries, threshold=threshold, queries=queries, resamples=resamples, seed=seed
    )
    return Leaderboard(
        title=title,
        summary=_summary(collection),
        today=today,
        standings=assessed,
        boards=boards(assessed),
        paper=paper_rows(dict.fromkeys(place.task for place in assessed.places)),
        unreadable=[*collection.unreadable, *assessed.faults],
    )


def write_leaderboard(
    found: Leaderboard, folder: Path, *, pages: Mapping[int, str] | None = None
) -> Path:
    """Write `index.html`, `leaderboard` as `.csv`, `.md` and `.tex`, and `overall.csv`.

    Args:
        found: The leaderboard.
        folder: Where the files go; made when missing.
        pages: Number of a system to its page of its own, below `folder`.

    Returns:
        The page's path.
    """
    tables = leaderboard_tables(found.standings, found.boards, found.paper)
    dated = f"{found.summary} Generated {found.today.isoformat()}."
    data = payload(
        found.standings,
        found.boards,
        paper=found.paper,
        pages=pages or {},
        title=found.title,
        summary=found.summary,
        today=found.today,
        unreadable=found.unreadable,
    )
    texts = {
        "leaderboard.csv": csv_text(found.boards),
        "overall.csv": overall_csv_text(found.standings),
        "leaderboard.md": markdown_text(tables, title=found.title, summary=dated),
        "leaderboard.tex": latex_text([narrow(table) for table in tables], title=found.title),
        "index.html": page_text(data),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return folder / "index.html"


def write_figures(found: Leaderboard, folder: Path) -> list[Path]:
    """Draw `pareto` and `shares`, as `.png` and `.svg`, each with its data as `.csv`.

    Args:
        found: The leaderboard.
        folder: Where the files go.
    """
    from harness.reporting.figures import save_figure
    from harness.reporting.figures_leaderboard import pareto, shares

    frame = leaderboard_frame(found.standings, found.boards)
    names = ["task", "metric", "name", "kind"]
    quality = frame[[*names, "value", "low", "high", "query_flops", "front"]]
    kept = frame[[*names, "ratio", "ratio_low", "ratio_high", "verdict"]]
    threshold = found.standings.threshold
    return [
        *save_figure(pareto(quality), quality, folder, "pareto"),
        *save_figure(shares(kept, threshold), kept, folder, "shares"),
    ]


def write_results_table(table: pa.Table, folder: Path) -> Path:
    """Write every result as `results.parquet`, see `TidyResults`.

    Args:
        table: The tidy table.
        folder: Where the file goes.
    """
    path = folder / "results.parquet"
    write_atomically(path, partial(pq.write_table, table, compression="zstd"))
    return path


def _summary(collection: Collection) -> str:
    """How much there is, and what is left out."""
    rows = [entry.row for entry in collection.entries if entry.official is None]
    official = len(collection.entries) - len(rows)
    beside = f" {_count(official, 'official result')} beside them." if official else ""
    counts = (
        _count(len(rows), "result"),
        _count(len({row.task for row in rows}), "task"),
        _count(len({row.model for row in rows if row.encoder}), "model"),
        _count(len({row.mode for row in rows}), "retrieval mode"),
    )
    missing = len(collection.unreadable)
    left_out = f" {_count(missing, 'more result')} could not be read." if missing else ""
    return f"{counts[0]}: {', '.join(counts[1:])}.{beside}{left_out}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
