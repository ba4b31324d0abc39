"""The leaderboard page's tables: what each cell shows, as texts, from the payload's figures.

The page's script sorts and plots the figures that are shown here, so there is one rounding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from harness.reporting.costs import QUERIES
from harness.reporting.units import (
    bytes_text,
    cost_share_text,
    milliseconds,
    p_text,
    ratio_text,
    si,
)
from harness.text import printable

_PAGE = re.compile(r"runs/[^/?#:\\\s]+\.html(?:#\S*)?")


class Cell(NamedTuple):
    """What one cell shows.

    Attributes:
        text: The figure; empty where it is absent.
        note: What stands below it in small: an interval, or how many tasks there are.
        tag: A verdict, or `front` for a figure that lies on a Pareto front.
    """

    text: str = ""
    note: str = ""
    tag: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: Its name in the payload.
        header: Its name for people.
        figure: Whether it sorts as a number, else as a text.
        falling: Whether a first click brings the largest on top.
    """

    key: str
    header: str
    figure: bool = True
    falling: bool = False


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        system: The system's number in the payload.
        cells: One for each column after the first, which names the system.
        mark: The letter of where it was measured.
        link: Its drill-down page; empty where it has none.
    """

    system: int
    cells: tuple[Cell, ...]
    mark: str = ""
    link: str = ""


@dataclass(frozen=True)
class Table:
    """Columns, the first of which names the system, and rows in the order in which they stand."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


NAME = Column("system", "system", figure=False)
COSTS: tuple[tuple[Column, Callable[[float | None], str]], ...] = (
    (Column("query_flops", "FLOPs per query"), si),
    (Column("scoring_flops_per_query", "scoring FLOPs per query"), si),
    (Column("document_flops", "FLOPs per document"), si),
    (Column("total_flops", "FLOPs, corpus and {queries} queries"), si),
    (Column("latency_p50_ms", "latency p50, ms"), milliseconds),
    (Column("latency_p95_ms", "latency p95, ms"), milliseconds),
    (Column("index_bytes", "index"), bytes_text),
    (Column("documents_per_second", "documents per s", falling=True), si),
)


def overall_table(
    systems: Iterable[Mapping[str, Any]], tab: str, *, tasks: int, queries: int = QUERIES
) -> Table:
    """The systems of one tab, best mean first, those that lack a task last.

    Args:
        systems: The payload's systems.
        tab: `all` or a task type.
        tasks: How many tasks the tab has; a system that lacks them all is left out.
        queries: How many queries the total of FLOPs has.
    """
    columns = (
        NAME,
        Column("rank", "rank by mean"),
        Column("rank_borda", "rank by Borda"),
        Column("group", "group", figure=False),
        Column("value", "mean", falling=True),
        Column("ratio", "of dense", falling=True),
        *_cost_columns(queries),
    )
    members = [
        (number, system)
        for number, system in enumerate(systems)
        if system["missing"].get(tab, tasks) < tasks
    ]
    members.sort(key=lambda member: _standing(member[1], tab))
    rows = [
        Row(number, _overall_cells(system, tab, tasks), link=page(system["page"]))
        for number, system in members
    ]
    return _without_empty(columns, rows)


def task_table(
    cells: Iterable[Mapping[str, Any]],
    numbers: Mapping[str, int],
    *,
    metric: str,
    queries: int = QUERIES,
) -> Table:
    """The systems on one task, best first, those without a value last.

    Args:
        cells: The payload's cells of the task.
        numbers: The number of each system by its id.
        metric: The task's metric, for people.
        queries: How many queries the total of FLOPs has.
    """
    columns = (
        NAME,
        Column("place", "place"),
        Column("group", "group", figure=False),
        Column("value", printable(metric), falling=True),
        Column("ratio", "of dense", falling=True),
        Column("p", "p"),
        Column("queries", "wins / ties / losses", falling=True),
        *_cost_columns(queries),
        Column("published", "published", falling=True),
        Column("difference", "ours − published", falling=True),
    )
    ordered = sorted(
        cells, key=lambda cell: (cell["place"] is None, cell["place"], numbers[cell["system"]])
    )
    rows = [
        Row(
            numbers[cell["system"]],
            _task_cells(cell),
            mark=printable(cell["mark"] or ""),
            link=page(cell["page"]),
        )
        for cell in ordered
    ]
    return _without_empty(columns, rows)


def page(address: str | None) -> str:
    """The address of a drill-down page; empty where it is none, or leads anywhere else."""
    return address if address and _PAGE.fullmatch(address) else ""


def four(value: float | None) -> str:
    """A quality with four decimals."""
    return "" if value is None else f"{value:.4f}"


def ratio_cell(ratio: Mapping[str, Any] | None, *, of: int = 1) -> Cell:
    """A ratio to dense with its interval and verdict: `95.7 %`, `93.1–98.2 %`, `reached`.

    Args:
        ratio: The payload's ratio.
        of: The number of tasks of the tab; a mean over fewer says so.
    """
    if ratio is None or ratio["value"] is None:
        return Cell()
    notes = []
    if ratio["low"] is not None and ratio["high"] is not None:
        notes.append(f"{100 * ratio['low']:.1f}–{ratio_text(ratio['high'])}")
    if ratio.get("tasks", of) < of:
        notes.append(f"{ratio['tasks']} of {of} tasks")
    return Cell(ratio_text(ratio["value"]), ", ".join(notes), printable(ratio["verdict"] or ""))


def _overall_cells(system: Mapping[str, Any], tab: str, tasks: int) -> tuple[Cell, ...]:
    lacking = system["missing"][tab]
    note = f"{tasks - lacking} of {tasks} tasks" if lacking else _interval(system, tab)
    return (
        Cell(_whole(system["rank"].get(tab))),
        Cell(_whole(system["rank_borda"].get(tab)), _points(system["borda"].get(tab))),
        Cell(printable(system["group"].get(tab) or "")),
        Cell(four(system["mean"].get(tab)), note),
        ratio_cell(system["ratio"].get(tab), of=tasks),
        *_costs(system["costs"].get(tab) or {}, system["front"].get(tab) or ()),
    )


def _task_cells(cell: Mapping[str, Any]) -> tuple[Cell, ...]:
    ratio = cell["ratio"]
    low, high = four(cell["low"]), four(cell["high"])
    counts = [ratio[name] for name in ("wins", "ties", "losses")] if ratio else [None]
    difference = cell["difference"]
    return (
        Cell(_whole(cell["place"])),
        Cell(printable(cell["group"] or "")),
        Cell(four(cell["value"]), f"{low}–{high}" if low and high else ""),
        ratio_cell(ratio),
        Cell(p_text(ratio["p"]) if ratio and ratio["p"] is not None else ""),
        Cell("" if None in counts else " / ".join(map(_whole, counts))),
        *_costs(cell["costs"], cell["front"], cell.get("cost_shares") or {}),
        Cell(four(cell["published"])),
        Cell("" if difference is None else f"{difference:+z.4f}"),
    )


def _cost_columns(queries: int) -> list[Column]:
    return [
        replace(column, header=column.header.format(queries=f"{queries:,}")) for column, _ in COSTS
    ]


def _costs(
    costs: Mapping[str, float | None],
    front: Iterable[str],
    shares: Mapping[str, float] = MappingProxyType({}),
) -> list[Cell]:
    """Figures, with their shares of dense's below them where those are known."""
    on_front = set(front)
    return [
        Cell()
        if costs.get(column.key) is None
        else Cell(
            text(costs[column.key]),
            f"{cost_share_text(shares[column.key])} of dense" if column.key in shares else "",
            "front" if column.key in on_front else "",
        )
        for column, text in COSTS
    ]


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _interval(system: Mapping[str, Any], tab: str) -> str:
    """The mean's interval, in the payloads that have one."""
    ends = (system.get("interval") or {}).get(tab) or {}
    low, high = four(ends.get("low")), four(ends.get("high"))
    return f"{low}–{high}" if low and high else ""


def _points(value: float | None) -> str:
    if value is None:
        return ""
    return "1 point" if value == 1 else f"{f'{value:,.1f}'.removesuffix('.0')} points"


def _standing(system: Mapping[str, Any], tab: str) -> tuple[bool, float, float]:
    rank, borda = system["rank"].get(tab), system["rank_borda"].get(tab)
    return rank is None, rank or 0, borda or 0


def _without_empty(columns: tuple[Column, ...], rows: list[Row]) -> Table:
    """The table without the columns in which no row shows anything."""
    kept = [
        index
        for index, column in enumerate(columns[1:])
        if column.key == "value" or any(row.cells[index].text for row in rows)
    ]
    return Table(
        (columns[0], *(columns[1 + index] for index in kept)),
        tuple(
            Row(row.system, tuple(row.cells[index] for index in kept), row.mark, row.link)
            for row in rows
        ),
    )
