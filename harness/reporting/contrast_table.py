"""Two runs beside each other in the terminal, and as JSON lines."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.evaluation.kept_texts import cut
from harness.reporting.contrasts import MovedQuery, RunContrast, TaskContrast
from harness.reporting.paired import Contrast
from harness.reporting.query_facts import FoundDocument, QueryFacts
from harness.reporting.terminal import print_json, standard_output
from harness.reporting.units import ABSENT, metric_name, ratio_text
from harness.text import printable

_LONGEST_QUERY = 160  # characters
_LONGEST_DOCUMENT = 90
_RELEVANT, _OTHER = "✓", "✗"
_NAMES = ("run_a", "run_b")


def print_contrast(compared: RunContrast, titles: tuple[str, str]) -> None:
    """Print the tasks, the queries that moved most, and the mean over the tasks.

    Args:
        compared: The two runs.
        titles: What the two runs are.
    """
    console = standard_output()
    for name, title in zip(_NAMES, titles, strict=True):
        console.print(Text(printable(f"{name}: {title}"), style="italic"))
    console.print(_tasks(compared))
    for task in compared.tasks:
        if task.moved:
            _print_moved(console, task)
    if compared.macro is not None:
        console.print(_means(compared.macro, len(compared.tasks)))


def contrast_lines(compared: RunContrast) -> None:
    """Print one JSON object a line on standard output; `kind` is task, query or mean."""
    lines: list[dict[str, Any]] = []
    for task in compared.tasks:
        lines.append(
            {
                "kind": "task",
                "task": task.task,
                "run_a": task.experiments[0],
                "run_b": task.experiments[1],
                "metric": task.metric,
                **_figures(task.figures),
                "p_holm": task.p_holm,
            }
        )
        lines += [_moved_line(task, query) for query in task.moved]
    if compared.macro is not None:
        lines.append({"kind": "mean", "tasks": len(compared.tasks), **_figures(compared.macro)})
    print_json(lines)


def _tasks(compared: RunContrast) -> Table:
    table = _table("task", "metric")
    for task in compared.tasks:
        cells = [printable(task.task), metric_name(task.metric)]
        table.add_row(*map(Text, [*cells, *figure_cells(task.figures, task.p_holm)]))
    return table


def _means(macro: Contrast, tasks: int) -> Table:
    table = _table("mean")
    table.add_row(*map(Text, [f"of {tasks} tasks", *figure_cells(macro, macro.p)]))
    return table


def _table(*first: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in first:
        table.add_column(name, overflow="fold")
    for name in (*_NAMES, "run_b - run_a", "run_b / run_a", "p", "win/tie/loss"):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def figure_cells(figures: Contrast, p: float) -> list[str]:
    """Both values, difference and ratio with their intervals on a second line, p and outcomes."""
    interval = f"[{figures.difference_low:+.4f}, {figures.difference_high:+.4f}]"
    return [
        f"{figures.first:.4f}",
        f"{figures.second:.4f}",
        f"{figures.difference:+.4f}\n{interval}",
        _ratio(figures),
        f"{p:.4f}",
        f"{figures.wins}/{figures.ties}/{figures.losses}",
    ]


def _ratio(figures: Contrast) -> str:
    if figures.ratio is None or figures.ratio_low is None or figures.ratio_high is None:
        return ABSENT
    interval = f"[{100 * figures.ratio_low:.1f}, {100 * figures.ratio_high:.1f}]"
    return f"{ratio_text(figures.ratio)}\n{interval}"


def _print_moved(console: Console, task: TaskContrast) -> None:
    count = len(task.moved)
    what = "the query that moves" if count == 1 else f"the {count} queries that move most"
    title = f"{task.task}: {what}, by {metric_name(task.metric)}"
    console.print(Text(printable(title), style="italic"))
    table = Table(box=box.SIMPLE_HEAD)
    for name in (*_NAMES, "run_b - run_a"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("query, and the document ranked first", overflow="fold", ratio=1)
    for query in task.moved:
        scores = query.scores
        table.add_row(
            f"{scores.first:.4f}",
            f"{scores.second:.4f}",
            f"{scores.difference:+.4f}",
            Text("\n".join(_lines(query, several=task.places > 1))),
        )
    console.print(table)
    console.print(Text(f"{_RELEVANT} relevant, {_OTHER} not", style="dim"))


def _lines(query: MovedQuery, *, several: bool) -> list[str]:
    """The query, and what each run ranks first; on a line each."""
    scores = query.scores
    where = f"{'/'.join(scores.place)} {scores.query_id}" if several else scores.query_id
    text = cut(query.first.text or query.second.text, _LONGEST_QUERY)
    lines = [f"{where}: {text}" if text else where]
    for name, facts in zip(_NAMES, (query.first, query.second), strict=True):
        lines.append(f"  {name}: {_first(facts)}")
    return [printable(line) for line in lines]


def _first(facts: QueryFacts) -> str:
    if not facts.documents:
        return "no document"
    document = facts.documents[0]
    mark = _RELEVANT if document.relevant else _OTHER
    text = cut(document.text, _LONGEST_DOCUMENT)
    return f"{mark} {document.id}: {text}" if text else f"{mark} {document.id}"


def _figures(figures: Contrast) -> dict[str, Any]:
    fields = {name: getattr(figures, name) for name in figures.__dataclass_fields__}
    return {{"first": "a", "second": "b"}.get(name, name): value for name, value in fields.items()}


def _moved_line(task: TaskContrast, query: MovedQuery) -> dict[str, Any]:
    split, subset = query.scores.place
    return {
        "kind": "query",
        "task": task.task,
        "split": split,
        "subset": subset,
        "metric": task.metric,
        "query_id": query.scores.query_id,
        "text": query.first.text or query.second.text or None,
        "a": query.scores.first,
        "b": query.scores.second,
        "difference": query.scores.difference,
        "documents_a": [_document(one) for one in query.first.documents],
        "documents_b": [_document(one) for one in query.second.documents],
    }


def _document(document: FoundDocument) -> dict[str, Any]:
    return {"id": document.id, "relevant": document.relevant, "text": document.text or None}
