"""Checks in words: figures so exact that a difference shows, and one line for each alarm."""

from __future__ import annotations

from collections.abc import Sequence

from harness.regression.check import Check, Verdict
from harness.text import printable

ABSENT = "-"

_NAMES = {
    "query_flops": "FLOPs/query",
    "scoring_flops_per_query": "scoring FLOPs/query",
    "corpus_flops": "corpus FLOPs",
    "splade_flops": "SPLADE FLOPS",
    "index_bytes": "index bytes",
    "latency": "median ms/query",
}
_METRICS = {"ndcg": "nDCG", "map": "MAP", "mrr": "MRR", "recall": "Recall", "precision": "P"}


def figure_name(check: Check) -> str:
    """A figure as the field writes it: `nDCG@10`, `index bytes`."""
    if check.kind != "quality":
        return _NAMES.get(check.figure, check.figure)
    name, _, depth = check.figure.partition("_at_")
    shown = _METRICS.get(name, name)
    return f"{shown}@{depth}" if depth else shown


def values(check: Check) -> tuple[str, str]:
    """Both values, with more digits than usual where they would look alike and are not."""
    both = (check.baseline, check.value)
    usual = [_usual(check.kind, value) for value in both]
    if usual[0] == usual[1] and check.baseline != check.value:
        usual = [ABSENT if value is None else f"{value:.10g}" for value in both]
    return usual[0], usual[1]


def change(check: Check) -> str:
    """How far a figure moved: in its units for quality, else as a share."""
    if check.difference is None or check.baseline is None:
        return ABSENT
    if check.difference == 0:
        return "0"
    if check.kind == "quality":
        return _signed(check.difference, ".4f")
    if check.baseline == 0:
        return "from 0"
    return f"{_signed(100 * check.difference / abs(check.baseline), '.1f')} %"


def allowed(check: Check) -> str:
    """How much worse a figure may be."""
    if check.kind == "quality":
        return f"{check.allowed:.4f}"
    return f"{100 * check.allowed:.3g} %" if check.allowed else "0"


def p_text(check: Check) -> str:
    """The p-value of a check that has one."""
    if check.p is None:
        return ABSENT
    return "<.001" if check.p < 0.001 else f"{check.p:.3f}".removeprefix("0")


def alarm_line(check: Check) -> str:
    """A regression in one line."""
    before, now = values(check)
    system = check.system
    limit = f"allowed {allowed(check)}"
    test = "" if check.p is None else f", p {p_text(check)}"
    remark = f"; {check.remark}" if check.remark else ""
    return printable(
        f"{system.task} ({check.place}), {system.mode}: {figure_name(check)} {before} → {now} "
        f"({change(check)}, {limit}{test}){remark}"
    )


def summary(checks: Sequence[Check]) -> str:
    """How many checks there were, and how many of them alarm."""
    alarms = sum(check.alarms for check in checks)
    systems = len({check.system for check in checks})
    return (
        f"{counted(len(checks), 'check')} of {counted(systems, 'baseline')}: "
        f"{counted(alarms, 'regression')}"
    )


def counted(number: int, noun: str) -> str:
    """A number of things, as `1 check` or `2,000 checks`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def tables(checks: Sequence[Check]) -> dict[tuple[str, str], list[Check]]:
    """The checks that tables show, by task and place: quality always, all else where it moved."""
    found: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        if check.kind == "quality" or check.verdict != Verdict.EQUAL:
            found.setdefault((check.system.task, check.place), []).append(check)
    return found


def _signed(moved: float, usual: str) -> str:
    """A number other than 0, by one digit where the usual ones would show none of it."""
    text = f"{moved:+{usual}}"
    return text if text.strip("+-0.") else f"{moved:+.1g}"


def _usual(kind: str, value: float | None) -> str:
    if value is None:
        return ABSENT
    if kind == "quality":
        return f"{value:.4f}"
    if kind == "time":
        return f"{1000 * value:.3g}"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
