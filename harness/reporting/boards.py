"""Ranked tables, one a task: what the page, the CSV, the Markdown and the LaTeX show alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.evaluation.published import Comparison
from harness.evaluation.rows import ResultRow
from harness.reporting.assessment import Assessment, Share, letter
from harness.reporting.standings import Standings
from harness.reporting.systems import ABSENT, TaskPlace
from harness.reporting.units import bytes_text, metric_name, milliseconds, p_text, ratio_text, si

DIFFERENCE = "ours − published"
_REVISION_DIGITS = 12


@dataclass(frozen=True)
class Column:
    """One column of the tables.

    Attributes:
        name: Its name in the CSV.
        header: Its name for people; empty where it is in the CSV only.
        figure: Takes it from a line; None where it is absent.
        text: Formats a line's figure; an absent one is not a zero.
    """

    name: str
    header: str
    figure: Callable[[Standing], float | str | None]
    text: Callable[[Standing], str]


@dataclass(frozen=True)
class Standing:
    """One line of a table.

    Attributes:
        number: Its place, from 1; equal values are numbered on.
        system: Number of the system among all.
        row: Its figures.
        settings: Key settings in words; they tell apart lines of the same model and mode.
        label: Its name in a figure: the mode where that is its own, else the number.
        mark: The letter of where it was measured; empty where one place holds for all.
        assessment: How sure the figures are.
        comparison: Its value beside the published one; None without one.
    """

    number: int
    system: int
    row: ResultRow
    settings: str
    label: str
    mark: str
    assessment: Assessment
    comparison: Comparison | None = None


@dataclass(frozen=True)
class Board:
    """The table of one task, data revision, split, subset and metric.

    Attributes:
        place: What it is of.
        heading: The task, with split, subset and data revision where they tell it apart.
        type: The task's type.
        metric: The metric for people.
        facts: Size and revision of the data.
        columns: The columns beside the names: those of queries where there are some, published
            ones where a line has one.
        standings: Best first, those without a value last.
        missing: Numbers of the systems that have no result here.
        conditions: (mark, hardware and commit) of every place of measurement.
    """

    place: TaskPlace
    heading: str
    type: str
    metric: str
    facts: str
    columns: tuple[Column, ...]
    standings: list[Standing]
    missing: list[int]
    conditions: list[tuple[str, str]]


def interval_text(low: float | None, high: float | None) -> str:
    """`[0.5973, 0.6921]`."""
    return ABSENT if low is None or high is None else f"[{low:.4f}, {high:.4f}]"


def share_text(share: Share | None) -> str:
    """`99.3 % [95.1, 103.5]`."""
    if share is None:
        return ABSENT
    if share.low is None or share.high is None:
        return ratio_text(share.value)
    return f"{ratio_text(share.value)} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def outcomes_text(share: Share | None) -> str:
    """Wins, ties and losses: `81/150/69`."""
    if share is None or share.wins is None:
        return ABSENT
    return f"{share.wins:,}/{share.ties:,}/{share.losses:,}"


def boards(standings: Standings) -> list[Board]:
    """The tables of all places, ordered by task."""
    revisions = Counter(
        task for task, _ in {(place.task, place.dataset_revision) for place in standings.places}
    )
    return [
        _board(standings, place, several_revisions=revisions[place.task] > 1)
        for place in standings.places
    ]


def _board(standings: Standings, place: TaskPlace, *, several_revisions: bool) -> Board:
    here = [n for n, system in enumerate(standings.systems) if place in system.entries]
    entries = {number: standings.systems[number].entries[place] for number in here}
    order = sorted(here, key=lambda number: (*_rank(entries[number].row), number))
    rows = [entries[number].row for number in order]
    conditions = list(dict.fromkeys(_condition(row) for row in rows))
    marks = [""] if len(conditions) == 1 else [letter(n) for n in range(len(conditions))]
    modes = Counter(row.mode for row in rows)
    words = Counter(
        (row.model, row.mode, entries[n].settings) for n, row in zip(order, rows, strict=True)
    )
    lines = []
    for place_number, number in enumerate(order, start=1):
        entry = entries[number]
        row, settings = entry.row, entry.settings
        if words[row.model, row.mode, settings] > 1:
            settings += f", experiment {row.experiment.rpartition('-')[2]}"
        lines.append(
            Standing(
                number=place_number,
                system=number,
                row=row,
                settings=settings,
                label=row.mode if modes[row.mode] == 1 else str(place_number),
                mark=marks[conditions.index(_condition(row))],
                assessment=standings.assessments[number, place],
                comparison=entry.comparison,
            )
        )
    parts = [f"split {place.split}"] if place.split != "test" else []
    parts += [f"subset {place.subset}"] if place.subset != "default" else []
    parts += [f"data {place.dataset_revision[:_REVISION_DIGITS]}"] if several_revisions else []
    return Board(
        place=place,
        heading=f"{place.task} ({', '.join(parts)})" if parts else place.task,
        type=standings.type_of(place),
        metric=metric_name(place.metric),
        facts=_facts(rows),
        columns=_columns(lines),
        standings=lines,
        missing=[n for n in range(len(standings.systems)) if n not in entries],
        conditions=list(zip(marks, conditions, strict=True)),
    )


def _columns(lines: Sequence[Standing]) -> tuple[Column, ...]:
    """What a table shows: a task without queries has no figures of theirs."""
    asks = any(line.row.cost.get("queries") != 0 for line in lines)
    compared = any(line.comparison for line in lines)
    return tuple(
        column
        for column in COLUMNS
        if column.header
        and (asks or column.name not in _OF_QUERIES)
        and (compared or column.name not in _PUBLISHED)
    )


def _rank(row: ResultRow) -> tuple[bool, float]:
    return row.value is None, 0.0 if row.value is None else -row.value


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


def _interval(line: Standing) -> str:
    return interval_text(line.assessment.low, line.assessment.high)


def _cost(name: str, header: str, text: Callable[[float], str]) -> Column:
    def figure(line: Standing) -> float | None:
        return line.assessment.costs[name]

    return _column(name, header, figure, text)


def _of_costs(name: str) -> Callable[[Standing], float | None]:
    return lambda line: line.assessment.costs[name]


def _of_share(name: str) -> Callable[[Standing], float | str | None]:
    return lambda line: getattr(line.assessment.share, name, None)


def _column(
    name: str, header: str, figure: Callable[[Standing], float | None], text: Callable[[float], str]
) -> Column:
    def shown(line: Standing) -> str:
        value = figure(line)
        return ABSENT if value is None else text(value)

    return Column(name, header, figure, shown)


def _unseen(name: str, figure: Callable[[Standing], float | str | None]) -> Column:
    return Column(name, "", figure, lambda line: "")


def _published(line: Standing) -> float | None:
    return None if line.comparison is None else line.comparison.published.value


def _difference(line: Standing) -> float | None:
    return None if line.comparison is None else line.comparison.difference


COLUMNS = (
    _column("value", "value", lambda line: line.row.value, "{:.4f}".format),
    Column("low", "95 % interval", lambda line: line.assessment.low, _interval),
    _unseen("high", lambda line: line.assessment.high),
    Column(
        *("group", "group", lambda line: line.assessment.group or None),
        lambda line: line.assessment.group or ABSENT,
    ),
    Column(
        *("ratio", "of dense", lambda line: line.row.ratio),
        lambda line: (
            share_text(line.assessment.share)
            if line.assessment.share
            else ratio_text(line.row.ratio)
        ),
    ),
    _unseen("ratio_low", _of_share("low")),
    _unseen("ratio_high", _of_share("high")),
    Column(
        *("verdict", "verdict", _of_share("verdict")),
        lambda line: getattr(line.assessment.share, "verdict", None) or ABSENT,
    ),
    Column(
        *("p", "p", _of_share("p")),
        lambda line: p_text(getattr(line.assessment.share, "p", None)),
    ),
    Column(
        *("wins", "wins/ties/losses", _of_share("wins")),
        lambda line: outcomes_text(line.assessment.share),
    ),
    _unseen("ties", _of_share("ties")),
    _unseen("losses", _of_share("losses")),
    _cost("query_flops", "FLOPs per query", si),
    _cost("document_flops", "FLOPs per document", si),
    _cost("latency_p50_ms", "latency p50, ms", milliseconds),
    _cost("latency_p95_ms", "latency p95, ms", milliseconds),
    _cost("index_bytes", "index", bytes_text),
    _cost("documents_per_second", "documents per s", si),
    _unseen("total_flops", _of_costs("total_flops")),
    _unseen("scoring_flops_per_query", _of_costs("scoring_flops_per_query")),
    _unseen("latency_p99_ms", _of_costs("latency_p99_ms")),
    _column("published", "published", _published, "{:.4f}".format),
    _column("difference", DIFFERENCE, _difference, "{:+z.4f}".format),
)

_OF_QUERIES = (
    *("query_flops", "latency_p50_ms", "latency_p95_ms"),
    *("low", "group", "verdict", "p", "wins"),
)
_PUBLISHED = ("published", "difference")
