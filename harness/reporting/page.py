"""The leaderboard page: one file that loads nothing, from the leaderboard's payload."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from harness.reporting.costs import QUERIES
from harness.reporting.page_libraries import datatables, map_style_id, packed, plotly
from harness.reporting.page_tables import Cell, Table, four, overall_table, page, task_table
from harness.reporting.pages import inline, policy_hash, templates
from harness.reporting.units import ratio_text
from harness.text import printable

_COLOURS = 8
_MOST_WRITTEN_ROWS = 600  # further rows are drawn from the data, so that a page stays small
_MOST_WRITTEN_A_TABLE = 100
_MOST_OPEN_TASKS = 3
_VERDICTS = ("reached", "not reached", "undecided")
_LABEL = 40
_SCRIPTS = (
    "leaderboard_tables.js",
    "leaderboard_plots.js",
    "leaderboard_figures.js",
    "leaderboard_filters.js",
    "leaderboard.js",
)


@dataclass(frozen=True)
class _System:
    """How a system is called, and what it is filtered by.

    Attributes:
        label: A short name of its own, for axes.
        mode: Its retrieval mode.
        model: Its model.
        settings: Its settings in words.
        kind: The number of its kind, which gives its colour and its symbol.
        facets: Its value of each facet.
        link: Its drill-down page; empty where it has none.
    """

    label: str
    mode: str
    model: str
    settings: str
    kind: int
    facets: list[str]
    link: str


@dataclass(frozen=True)
class _Section:
    """A tab's table or a task's.

    Attributes:
        name: The tab's label or the task's name.
        type: The task's type; a tab's own, `all` for the first.
        table: What it shows.
        written: How many of its rows the page holds as HTML.
        facts: What there is to say of its data.
        metric: The task's metric; `mean` for a tab.
        conditions: Marks and where they stand for.
        paper: Rows that the paper publishes, as texts.
    """

    name: str
    type: str
    table: Table
    written: int
    facts: str
    metric: str = "mean"
    conditions: tuple[tuple[str, str], ...] = ()
    paper: tuple[tuple[str, str, str, str], ...] = ()


def page_text(payload: Mapping[str, Any]) -> str:
    """The whole HTML of `leaderboards/index.html`.

    The first 100 rows of tables are in the page as HTML, as far as 600 rows go; its script makes
    tables sortable and draws all rows, and the plots, from the same texts as packed JSON.

    Args:
        payload: The leaderboard's figures; every text in it may be hostile.

    Returns:
        The page. Its content security policy lets it load nothing, run its own script and the two
        libraries only, and takes no inline style.
    """
    kinds = [printable(kind) for kind in payload["kinds"]]
    systems = _systems(payload)
    tabs, tasks = _sections(payload)
    view = _view(payload, systems, tabs, tasks)
    style = inline("leaderboard.css")
    script = Markup("\n").join(inline(name) for name in _SCRIPTS)
    return (
        templates()
        .get_template("leaderboard.html")
        .render(
            title=printable(payload["title"]),
            summary=printable(payload["summary"]),
            generated=printable(payload["generated"]),
            version=printable(payload["version"]),
            threshold=ratio_text(payload["threshold"]),
            unreadable=[printable(name) for name in payload["unreadable"]],
            kinds=kinds,
            facets=[printable(name) for name in payload["facets"]],
            systems=systems,
            tabs=tabs,
            tasks=tasks,
            open_tasks=_MOST_OPEN_TASKS,
            compared=any(cell["published"] is not None for cell in payload["cells"]),
            colours=_COLOURS,
            verdicts={verdict: verdict.replace(" ", "-") for verdict in _VERDICTS},
            style=style,
            script=script,
            datatables=Markup(packed(datatables())),  # base64 has no markup
            plotly=Markup(packed(plotly())),
            map_style_id=map_style_id(),
            view=Markup(packed(json.dumps(view, ensure_ascii=False, separators=(",", ":")))),
            # plotly.js adds an empty style element and fills it by rules, which needs no leave.
            style_hashes=f"{policy_hash(style)} {policy_hash('')}",
            script_hashes=" ".join(map(policy_hash, (script, datatables(), plotly()))),
        )
    )


def _systems(payload: Mapping[str, Any]) -> list[_System]:
    kinds = list(payload["kinds"])
    labels = _labels(payload["systems"])
    return [
        _System(
            label=label,
            mode=printable(system["mode"]),
            model=printable(system["model"]),
            settings=printable(system["settings"]),
            kind=kinds.index(system["kind"]),
            facets=[printable(system["facets"].get(name) or "") for name in payload["facets"]],
            link=page(system["page"]),
        )
        for label, system in zip(labels, payload["systems"], strict=True)
    ]


def _labels(systems: list[Mapping[str, Any]]) -> list[str]:
    """A short name of each system: its mode, with the model where several have it, or a number."""
    modes = [printable(system["mode"]) for system in systems]
    models = [printable(system["model"]).rpartition("/")[2] for system in systems]
    alone = Counter(modes)
    chosen = [
        mode if alone[mode] == 1 else f"{mode}, {model}"
        for mode, model in zip(modes, models, strict=True)
    ]
    chosen = [text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}…" for text in chosen]
    times, seen = Counter(chosen), Counter[str]()
    labels = []
    for text in chosen:
        seen[text] += 1
        labels.append(f"{text} ({seen[text]})" if times[text] > 1 else text)
    return labels


def _sections(payload: Mapping[str, Any]) -> tuple[list[_Section], list[_Section]]:
    """The tabs and the tasks; rows are written as far as the limits go."""
    numbers = {system["id"]: number for number, system in enumerate(payload["systems"])}
    cells: dict[str, list[Mapping[str, Any]]] = {task["id"]: [] for task in payload["tasks"]}
    for cell in payload["cells"]:
        cells[cell["task"]].append(cell)
    left = _MOST_WRITTEN_ROWS

    def written(table: Table) -> int:
        nonlocal left
        count = min(len(table.rows), _MOST_WRITTEN_A_TABLE, left)
        left -= count
        return count

    tabs = []
    types = payload["types"] if len(payload["types"]) > 1 else ()  # one type is the same as all
    for key in ("all", *types):
        count = payload["counts"][key]
        table = overall_table(
            payload["systems"], key, tasks=count, queries=payload.get("queries", QUERIES)
        )
        name = "All" if key == "all" else printable(key)
        facts = f"Mean over {count} tasks" if count > 1 else "One task"
        tabs.append(_Section(name, printable(key), table, written(table), facts))
    tasks = []
    for task in payload["tasks"]:
        table = task_table(
            cells[task["id"]],
            numbers,
            metric=task["metric"],
            queries=payload.get("queries", QUERIES),
        )
        tasks.append(
            _Section(
                name=printable(task["name"]),
                type=printable(task["type"]),
                table=table,
                written=written(table),
                facts=printable(task["facts"]),
                metric=printable(task["metric"]),
                conditions=tuple(
                    (printable(mark), printable(where)) for mark, where in task["conditions"]
                ),
                paper=tuple(
                    (
                        printable(row["system"]),
                        four(row["value"]),
                        "" if row["of_dense"] is None else ratio_text(row["of_dense"]),
                        printable(row["source"]),
                    )
                    for row in payload["paper"]
                    if row["task"] == task["name"]
                ),
            )
        )
    return tabs, tasks


def _view(
    payload: Mapping[str, Any],
    systems: list[_System],
    tabs: list[_Section],
    tasks: list[_Section],
) -> dict[str, Any]:
    """What the page's script reads: the tables' texts, and how systems are called."""
    return {
        "threshold": 100 * payload["threshold"],
        "kinds": [printable(kind) for kind in payload["kinds"]],
        "facets": [printable(name) for name in payload["facets"]],
        "systems": [vars(system) for system in systems],
        "tabs": [_section_view(section, systems) for section in tabs],
        "tasks": [_section_view(section, systems) for section in tasks],
    }


def _section_view(section: _Section, systems: list[_System]) -> dict[str, Any]:
    """A section as JSON; links differ from the system's by the same anchor in all of a task."""
    anchors = Counter(row.link.partition("#")[2] for row in section.table.rows)
    anchor = f"#{anchors.most_common(1)[0][0]}" if anchors else "#"
    rows = []
    for row in section.table.rows:
        usual = systems[row.system].link
        usual += anchor if usual and anchor != "#" else ""
        name: Any = row.system
        if row.mark or row.link != usual:
            name = [row.system, row.mark, *([row.link] if row.link != usual else [])]
        rows.append([name, *map(_compact, row.cells)])
    return {
        "name": section.name,
        "type": section.type,
        "metric": section.metric,
        "anchor": "" if anchor == "#" else anchor,
        "columns": [vars(column) for column in section.table.columns],
        "rows": rows,
    }


def _compact(cell: Cell) -> str | list[str]:
    if cell.tag:
        return list(cell)
    return [cell.text, cell.note] if cell.note else cell.text
