"""Two runs beside each other as a page in one file."""

from __future__ import annotations

from typing import Any

from harness import __version__
from harness.reporting.contrast_table import figure_cells
from harness.reporting.contrasts import MovedQuery, RunContrast, TaskContrast
from harness.reporting.difference_chart import HEIGHT, WIDTH, difference_chart
from harness.reporting.drilldown_task import task_anchor
from harness.reporting.drilldown_why import one_line
from harness.reporting.figures_style import signed
from harness.reporting.pages import inline, policy_hash, templates
from harness.reporting.query_facts import FoundDocument, QueryFacts
from harness.reporting.units import ABSENT, metric_name
from harness.text import printable

_LONGEST = 240  # characters of a query
_LONGEST_DOCUMENT = 90
_LONGEST_ID = 60


def contrast_text(compared: RunContrast, titles: tuple[str, str]) -> str:
    """The HTML of a comparison, which loads nothing and runs no script.

    Args:
        compared: The two runs.
        titles: What they are.
    """
    style = inline("drilldown.css")
    macro = compared.macro
    return (
        templates()
        .get_template("compare.html")
        .render(
            titles=list(map(printable, titles)),
            tasks=[_task(task) for task in compared.tasks],
            mean=None if macro is None else _cells(figure_cells(macro, macro.p)),
            left_out=list(map(printable, compared.left_out)),
            width=WIDTH,
            height=HEIGHT,
            version=__version__,
            style=style,
            style_hash=policy_hash(style),
        )
    )


def _task(task: TaskContrast) -> dict[str, Any]:
    return {
        "name": printable(task.task),
        "anchor": task_anchor(task.task),
        "metric": metric_name(task.metric),
        "queries": task.figures.queries,
        "outcomes": (task.figures.wins, task.figures.ties, task.figures.losses),
        "unshared": task.unshared,
        "cells": _cells(figure_cells(task.figures, task.p_holm)),
        "chart": difference_chart(task.differences),
        "moved": [_moved(query, several=task.places > 1) for query in task.moved],
    }


def _cells(cells: list[str]) -> list[list[str]]:
    """Each cell's lines."""
    return [(cell if cell == ABSENT else signed(cell)).split("\n") for cell in cells]


def _moved(query: MovedQuery, *, several: bool) -> dict[str, Any]:
    scores = query.scores
    name = f"{'/'.join(scores.place)} {scores.query_id}" if several else scores.query_id
    return {
        "id": one_line(name, _LONGEST_ID),
        "text": one_line(query.first.text or query.second.text, _LONGEST),
        "first": f"{scores.first:.4f}",
        "second": f"{scores.second:.4f}",
        "difference": signed(f"{scores.difference:+.4f}"),
        "found": [_found(query.first), _found(query.second)],
    }


def _found(facts: QueryFacts) -> list[FoundDocument]:
    return [
        FoundDocument(
            one_line(one.id, _LONGEST_ID), one_line(one.text, _LONGEST_DOCUMENT), one.relevant
        )
        for one in facts.documents
    ]
