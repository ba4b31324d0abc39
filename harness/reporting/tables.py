"""The leaderboard as tables of text, from which Markdown and LaTeX are written alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from harness.reporting.boards import (
    Board,
    Standing,
    interval_text,
    outcomes_text,
    share_text,
)
from harness.reporting.overall import Overall
from harness.reporting.paper import PaperRow
from harness.reporting.standings import ALL, Standings
from harness.reporting.systems import ABSENT
from harness.reporting.units import (
    bytes_text,
    cost_share_text,
    milliseconds,
    p_text,
    ratio_text,
    si,
)

_NAMES = ("model", "mode", "settings")
_COSTS: tuple[tuple[str, str, Callable[[float | None], str]], ...] = (
    ("encode_flops_per_document", "encode FLOPs, document", si),
    ("head_flops_per_document", "head FLOPs, document", si),
    ("encode_flops_per_query", "encode FLOPs, query", si),
    ("scoring_flops_per_query", "scoring FLOPs, query", si),
    ("query_flops", "FLOPs, query", si),
    ("total_flops", "FLOPs, corpus and {queries} queries", si),
    ("index_bytes", "index", bytes_text),
    ("latency_p50_ms", "p50, ms", milliseconds),
    ("latency_p95_ms", "p95, ms", milliseconds),
    ("latency_p99_ms", "p99, ms", milliseconds),
    ("documents_per_second", "documents per s", si),
)
_OF_QUERIES = (
    *("encode_flops_per_query", "scoring_flops_per_query", "query_flops", "total_flops"),
    *("latency_p50_ms", "latency_p95_ms", "latency_p99_ms"),
)
_FRONTS = {"query_flops": "FLOPs", "latency_p50_ms": "latency", "index_bytes": "bytes"}


@dataclass(frozen=True)
class TextTable:
    """A table of text from outside, unescaped.

    Attributes:
        heading: Its heading.
        header: Names of the columns.
        rows: Cells, as many a row as columns.
        text_columns: Number of columns at the left that hold text; the others hold figures.
        before: Lines above it.
        after: Lines below it.
    """

    heading: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int
    before: Sequence[str] = ()
    after: Sequence[str] = field(default=())


def leaderboard_tables(
    standings: Standings, boards: Sequence[Board], paper: Sequence[PaperRow] = ()
) -> list[TextTable]:
    """All tables: over tasks where there are several, a system by task, each task's, the paper's.

    Args:
        standings: The assessed systems.
        boards: Their tables by task.
        paper: The paper's rows for tasks that are here.
    """
    tables = []
    if len(boards) > 1:
        tabs = [ALL, *(standings.types if len(standings.types) > 1 else ())]
        tables += [_overall(standings, tab) for tab in tabs]
        tables.append(_by_task(standings, boards))
    tables += [_of_board(board, standings) for board in boards]
    tables += [_costs(board, standings.queries) for board in boards]
    if paper:
        tables.append(_paper(paper))
    return tables


def narrow(table: TextTable) -> TextTable:
    """The table for a printed page: models without their organisation, settings only where needed.

    Args:
        table: A table of `leaderboard_tables`.
    """
    if "settings" not in table.header:
        return table
    model, settings = (table.header.index(name) for name in ("model", "settings"))
    names = [(row[model], row[model + 1]) for row in table.rows]
    drop = len(set(names)) == len(names)

    def kept(row: Sequence[str]) -> list[str]:
        return [cell for column, cell in enumerate(row) if not (drop and column == settings)]

    rows = [
        kept([cell.rpartition("/")[2] if n == model else cell for n, cell in enumerate(row)])
        for row in table.rows
    ]
    return replace(
        table, header=kept(table.header), rows=rows, text_columns=table.text_columns - drop
    )


def _overall(standings: Standings, tab: str) -> TextTable:
    lines = [
        (system, line)
        for system, line in zip(standings.systems, standings.overall[tab], strict=True)
        if line is not None
    ]
    lines.sort(key=lambda pair: (pair[1].rank is None, pair[1].rank, pair[1].rank_borda))
    rows = [
        [
            system.row.model,
            system.row.mode,
            system.settings,
            str(line.rank or ABSENT),
            str(line.rank_borda or ABSENT),
            ABSENT if line.mean is None else f"{line.mean:.4f}",
            interval_text(line.low, line.high),
            line.group or ABSENT,
            f"{line.tasks - line.missing} of {line.tasks}",
            *_of_dense(line),
            si(line.costs["query_flops"]),
            si(line.costs["document_flops"]),
            milliseconds(line.costs["latency_p50_ms"]),
            bytes_text(line.costs["index_bytes"]),
        ]
        for system, line in lines
    ]
    header = [
        *_NAMES,
        *(
            "rank",
            "Borda rank",
            "mean",
            "95 % interval",
            "group",
            "tasks",
            "of dense, macro",
            "verdict",
            "p",
        ),
        *("wins/ties/losses", "FLOPs per query", "FLOPs per document", "latency p50, ms", "index"),
    ]
    heading = "All tasks" if tab == ALL else f"Tasks of type {tab}"
    missing = any(line.missing for _, line in lines)
    after = ["A system that lacks a task has no mean and no rank by it."] if missing else []
    return TextTable(heading, header, _dashed(rows), len(_NAMES), after=after)


def _of_dense(line: Overall) -> list[str]:
    share = line.share
    shown = share_text(share)
    if share is not None and share.tasks < line.tasks:
        shown += f", {share.tasks} of {line.tasks} tasks"
    verdict = ABSENT if share is None or share.verdict is None else share.verdict
    return [shown, verdict, p_text(share.p if share else None), outcomes_text(share)]


def _by_task(standings: Standings, boards: Sequence[Board]) -> TextTable:
    values = {
        (line.system, board.place): line.row.value for board in boards for line in board.standings
    }
    rows = []
    for number, system in enumerate(standings.systems):
        found = [values.get((number, board.place)) for board in boards]
        cells = [ABSENT if value is None else f"{value:.4f}" for value in found]
        rows.append([system.row.model, system.row.mode, system.settings, *cells])
    return TextTable("By task", [*_NAMES, *(board.heading for board in boards)], rows, len(_NAMES))


def _of_board(board: Board, standings: Standings) -> TextTable:
    header = ["", *_NAMES, board.metric, *(column.header for column in board.columns[1:])]
    rows = [_cells(line, board) for line in board.standings]
    after = [
        f"({mark}) Measured on {where}." if mark else f"Measured on {where}."
        for mark, where in board.conditions
    ]
    if board.missing:
        modes = [standings.systems[number] for number in board.missing]
        names = dict.fromkeys(f"{system.row.model} {system.row.mode}" for system in modes)
        after.append(f"Missing here: {', '.join(names)}.")
    return TextTable(board.heading, header, rows, 1 + len(_NAMES), [f"{board.facts}."], after)


def _cells(line: Standing, board: Board) -> list[str]:
    row = line.row
    mode = f"{row.mode} ({line.mark})" if line.mark else row.mode
    figures = [column.text(line) for column in board.columns]
    return _dashed([[str(line.number), row.model, mode, line.settings, *figures]])[0]


def _costs(board: Board, queries: int) -> TextTable:
    """What each system costs here, with the share of dense's of the same model in brackets."""
    asks = any(line.row.cost.get("queries") != 0 for line in board.standings)
    shown = [one for one in _COSTS if asks or one[0] not in _OF_QUERIES]
    header = ["", *_NAMES, *(name.format(queries=f"{queries:,}") for _, name, _ in shown), "front"]
    rows = []
    for line in board.standings:
        costs, shares = line.assessment.costs, line.assessment.cost_shares
        figures = [
            f"{text(costs[name])} ({cost_share_text(shares[name])})"
            if name in shares
            else text(costs[name])
            for name, _, text in shown
        ]
        front = ", ".join(_FRONTS[name] for name in line.assessment.front) or ABSENT
        rows.append(
            [str(line.number), line.row.model, line.row.mode, line.settings, *figures, front]
        )
    after = [
        "In brackets: of dense of the same model. Front: no other system has more quality for less."
    ]
    return TextTable(f"{board.heading}: cost", header, _dashed(rows), 1 + len(_NAMES), after=after)


def _paper(rows: Sequence[PaperRow]) -> TextTable:
    cells = [[row.system, row.task, f"{row.value:.3f}", ratio_text(row.of_dense)] for row in rows]
    sources = list(dict.fromkeys(row.source for row in rows))
    header = ["system", "task", "nDCG@10", "of dense"]
    return TextTable("Published in the paper", header, _dashed(cells), 2, after=sources)


def _dashed(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """One sign for what is absent, whichever function said it."""
    return [[ABSENT if cell == "-" else cell for cell in row] for row in rows]
