"""What the leaderboard's page is made from, as one JSON-able mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from harness import __version__
from harness.reporting.assessment import Assessment, Share
from harness.reporting.boards import Board, Standing
from harness.reporting.drilldown_task import task_anchor
from harness.reporting.overall import Overall
from harness.reporting.paper import PaperRow
from harness.reporting.standings import Standings
from harness.reporting.systems import FACETS, System

KINDS = ("dense", "aligned_sparse", "hybrid", "bm25")  # these keep their colour on every page


def payload(
    standings: Standings,
    boards: Sequence[Board],
    *,
    paper: Sequence[PaperRow] = (),
    pages: Mapping[int, str],
    title: str,
    summary: str,
    today: date,
    unreadable: Sequence[str] = (),
) -> dict[str, Any]:
    """Everything that the page shows; absent figures are None.

    Args:
        standings: The assessed systems.
        boards: Their tables by task.
        paper: The paper's rows for tasks that are here.
        pages: Number of a system to its page of its own, a relative link.
        title: The page's title.
        summary: A sentence under it.
        today: The date that the page bears.
        unreadable: One line for each result that could not be read.
    """
    kinds = {system.row.kind for system in standings.systems}
    return {
        "title": title,
        "generated": today.isoformat(),
        "version": __version__,
        "summary": summary,
        "threshold": standings.threshold,
        "queries": standings.queries,
        "unreadable": list(unreadable),
        "kinds": [*KINDS, *sorted(kinds - set(KINDS))],
        "facets": list(FACETS),
        "types": standings.types,
        "counts": {
            tab: next((line.tasks for line in overall if line is not None), 0)
            for tab, overall in standings.overall.items()
        },
        "tasks": [
            {
                "id": f"t{number}",
                "name": board.heading,
                "type": board.type,
                "metric": board.metric,
                "facts": board.facts,
                "conditions": [list(pair) for pair in board.conditions],
            }
            for number, board in enumerate(boards)
        ],
        "systems": [
            _system(number, system, standings, pages.get(number))
            for number, system in enumerate(standings.systems)
        ],
        "cells": [
            _cell(line, number, board, pages.get(line.system))
            for number, board in enumerate(boards)
            for line in board.standings
        ],
        "paper": [row.__dict__ for row in paper],
    }


def _system(number: int, system: System, standings: Standings, page: str | None) -> dict[str, Any]:
    lines: dict[str, Overall] = {
        tab: line
        for tab, overall in standings.overall.items()
        if (line := overall[number]) is not None
    }
    return {
        "id": f"s{number}",
        "model": system.row.model,
        "revision": system.revision,
        "mode": system.row.mode,
        "kind": system.row.kind,
        "facets": dict(system.facets),
        "settings": system.settings,
        "mean": {tab: line.mean for tab, line in lines.items()},
        "interval": {tab: {"low": line.low, "high": line.high} for tab, line in lines.items()},
        "missing": {tab: line.missing for tab, line in lines.items()},
        "borda": {tab: line.borda for tab, line in lines.items()},
        "rank": {tab: line.rank for tab, line in lines.items()},
        "rank_borda": {tab: line.rank_borda for tab, line in lines.items()},
        "group": {tab: line.group for tab, line in lines.items()},
        "ratio": {tab: _share(line.share, tasks=True) for tab, line in lines.items()},
        "costs": {tab: line.costs for tab, line in lines.items()},
        "front": {tab: list(line.front) for tab, line in lines.items()},
        "page": page,
    }


def _cell(line: Standing, task: int, board: Board, page: str | None) -> dict[str, Any]:
    found: Assessment = line.assessment
    comparison = line.comparison
    return {
        "system": f"s{line.system}",
        "task": f"t{task}",
        "value": line.row.value,
        "low": found.low,
        "high": found.high,
        "ratio": _share(found.share),
        "place": line.number,
        "group": found.group,
        "costs": dict(found.costs),
        "cost_shares": dict(found.cost_shares),
        "front": list(found.front),
        "published": None if comparison is None else comparison.published.value,
        "difference": None if comparison is None else comparison.difference,
        "mark": line.mark,
        "page": None if page is None else f"{page}#{task_anchor(board.place.task)}",
    }


def _share(share: Share | None, *, tasks: bool = False) -> dict[str, Any] | None:
    if share is None:
        return None
    found = {name: getattr(share, name) for name in ("value", "low", "high", "verdict", "p")}
    if tasks:
        return found | {"tasks": share.tasks}
    return found | {name: getattr(share, name) for name in ("wins", "ties", "losses")}
