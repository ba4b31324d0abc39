"""Rows to ranked tables: what the page, the CSV and the Markdown show alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.evaluation.published import Comparison
from harness.evaluation.rows import ResultRow
from harness.reporting.collect import Entry
from harness.reporting.units import bytes_text, metric_name, milliseconds, ratio_text, si

ABSENT = "–"
DIFFERENCE = "ours − published"
_REVISION_DIGITS = 12


@dataclass(frozen=True)
class Column:
    """One figure of the tables.

    Attributes:
        name: Its name in the CSV.
        header: Its name for people.
        figure: Takes it from a line; None where it is absent.
        text: Formats it.
        more_is_better: Which end a reader wants on top.
    """

    name: str
    header: str
    figure: Callable[[Standing], float | None]
    text: Callable[[float], str]
    more_is_better: bool = False

    def cell(self, line: Standing) -> str:
        """The figure as shown; an absent one is not a zero."""
        figure = self.figure(line)
        return ABSENT if figure is None else self.text(figure)


def _cost(name: str) -> Callable[[Standing], float | None]:
    return lambda line: line.row.cost.get(name)


def document_flops(row: ResultRow) -> float | None:
    """FLOPs of the corpus pass for one document, a fitted head's share included."""
    total, documents = row.cost.get("corpus_flops"), row.cost.get("documents")
    return total / documents if total is not None and documents else None


def _published(line: Standing) -> float | None:
    return None if line.comparison is None else line.comparison.published.value


def _difference(line: Standing) -> float | None:
    return None if line.comparison is None else line.comparison.difference


VALUE = Column("value", "value", lambda line: line.row.value, "{:.4f}".format, True)
COLUMNS = (
    Column("ratio", "of dense", lambda line: line.row.ratio, ratio_text, True),
    Column("query_flops", "FLOPs per query", _cost("query_flops"), si),
    Column("document_flops", "FLOPs per document", lambda line: document_flops(line.row), si),
    Column("latency_p50_ms", "latency p50, ms", _cost("latency_p50_ms"), milliseconds),
    Column("latency_p95_ms", "latency p95, ms", _cost("latency_p95_ms"), milliseconds),
    Column("index_bytes", "index", _cost("index_bytes"), bytes_text),
    Column("documents_per_second", "documents per s", _cost("documents_per_second"), si, True),
)
PUBLISHED = (
    Column("published", "published", _published, "{:.4f}".format, True),
    Column("difference", DIFFERENCE, _difference, "{:+z.4f}".format, True),
)

_OF_QUERIES = ("query_flops", "latency_p50_ms", "latency_p95_ms")


@dataclass(frozen=True)
class Standing:
    """One line of a table.

    Attributes:
        number: Its place, from 1; equal values are numbered on.
        row: Its figures.
        settings: Key settings in words; they tell apart lines of the same model and mode.
        label: Its name in the plot: the mode where that is its own, else the number.
        mark: The letter of where it was measured; empty where one place holds for all.
        comparison: Its value beside the published one; None without one.
    """

    number: int
    row: ResultRow
    settings: str
    label: str
    mark: str
    comparison: Comparison | None = None


@dataclass(frozen=True)
class Board:
    """The table of one task, data revision, split, subset and metric.

    Attributes:
        heading: The task, with split, subset and data revision where they tell it apart.
        metric: The metric for people.
        facts: Size and revision of the data.
        columns: The figures beside the value: those of queries where there are some, published
            ones where a line has one.
        standings: Best first, those without a value last.
        conditions: (mark, hardware and commit) of every place of measurement.
    """

    heading: str
    metric: str
    facts: str
    columns: tuple[Column, ...]
    standings: list[Standing]
    conditions: list[tuple[str, str]]


def boards(entries: Sequence[Entry]) -> list[Board]:
    """The tables of all entries, ordered by task."""
    revisions = Counter(task for task, _ in {(e.row.task, e.row.dataset_revision) for e in entries})
    ordered = sorted(entries, key=lambda entry: _place(entry.row))
    return [
        _board(list(members), several_revisions=revisions[place[1]] > 1)
        for place, members in groupby(ordered, key=lambda entry: _place(entry.row))
    ]


def _place(row: ResultRow) -> tuple[str, ...]:
    folded = row.task.casefold()
    return folded, row.task, row.split, row.subset, row.metric, row.dataset_revision


def _board(entries: list[Entry], *, several_revisions: bool) -> Board:
    entries = sorted(entries, key=_rank)
    rows = [entry.row for entry in entries]
    first = rows[0]
    conditions = list(dict.fromkeys(_condition(row) for row in rows))
    marks = [""] if len(conditions) == 1 else [_letters(n) for n in range(len(conditions))]
    modes = Counter(row.mode for row in rows)
    words = Counter((entry.row.model, entry.row.mode, entry.settings) for entry in entries)
    standings = []
    for number, entry in enumerate(entries, start=1):
        row, settings = entry.row, entry.settings
        if words[row.model, row.mode, settings] > 1:
            settings += f", experiment {row.experiment.rpartition('-')[2]}"
        standings.append(
            Standing(
                number=number,
                row=row,
                settings=settings,
                label=row.mode if modes[row.mode] == 1 else str(number),
                mark=marks[conditions.index(_condition(row))],
                comparison=entry.comparison,
            )
        )
    parts = [f"split {first.split}"] if first.split != "test" else []
    parts += [f"subset {first.subset}"] if first.subset != "default" else []
    parts += [f"data {first.dataset_revision[:_REVISION_DIGITS]}"] if several_revisions else []
    return Board(
        heading=f"{first.task} ({', '.join(parts)})" if parts else first.task,
        metric=metric_name(first.metric),
        facts=_facts(rows),
        columns=_columns(rows) + (PUBLISHED if any(entry.comparison for entry in entries) else ()),
        standings=standings,
        conditions=list(zip(marks, conditions, strict=True)),
    )


def _columns(rows: Sequence[ResultRow]) -> tuple[Column, ...]:
    """The figures of a table; a task without queries has none of theirs."""
    asks = any(row.cost.get("queries") != 0 for row in rows)
    return tuple(column for column in COLUMNS if asks or column.name not in _OF_QUERIES)


def _rank(entry: Entry) -> tuple[bool, float, str, str, str, str]:
    row = entry.row
    value = 0.0 if row.value is None else row.value
    return row.value is None, -value, row.model, row.mode, entry.settings, row.experiment


def _condition(row: ResultRow) -> str:
    return f"{row.hardware}; commit {row.commit or 'unknown'}"


def _facts(rows: Sequence[ResultRow]) -> str:
    queries = next((row.cost["queries"] for row in rows if row.cost.get("queries")), None)
    documents = next((row.cost["documents"] for row in rows if row.cost.get("documents")), None)
    # What has no queries has no documents either, only texts.
    named = ((documents, "documents" if queries else "texts"), (queries, "queries"))
    sizes = [f"{size:,} {name}" for size, name in named if size]
    revision = rows[0].dataset_revision[:_REVISION_DIGITS]
    return ", ".join([*sizes, f"data revision {revision}"])


def _letters(number: int) -> str:
    """a, b, … z, aa, ab, … as spreadsheets name columns."""
    higher, lowest = divmod(number, 26)
    return (_letters(higher - 1) if higher else "") + chr(ord("a") + lowest)
