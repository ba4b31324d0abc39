"""Checks as GitHub-flavoured Markdown, for a pull request or a job's summary."""

from __future__ import annotations

from collections.abc import Sequence

from harness.markdown import inert, table_line
from harness.regression.check import Check
from harness.regression.table import COLUMNS, row
from harness.regression.words import alarm_line, summary, tables
from harness.text import printable

_FIGURES = ("baseline", "now", "change", "allowed", "p")


def markdown_text(checks: Sequence[Check], notes: Sequence[str]) -> str:
    """A heading with the outcome, the alarms as a list, a table a task, and the notes.

    Args:
        checks: All checks; those of cost and time are in the tables only where they moved.
        notes: What was not compared, and what explains a difference.
    """
    parts = [f"### harness regress: {summary(checks)}"]
    alarms = [f"- regression: {escaped(alarm_line(check))}" for check in checks if check.alarms]
    if alarms:
        parts.append("\n".join(alarms))
    for (task, place), group in tables(checks).items():
        rules = ["---:" if name in _FIGURES else "---" for name in COLUMNS]
        lines = [table_line(COLUMNS), table_line(rules)]
        lines += [table_line([_cell(cell, check) for cell in row(check)]) for check in group]
        parts += [f"#### {escaped(f'{task} ({place})')}", "\n".join(lines)]
    if notes:
        parts.append("\n".join(f"- note: {escaped(note)}" for note in notes))
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """A text from outside that Markdown shows as it is, on one line."""
    return inert(" ".join(printable(text).split()))


def _cell(text: str, check: Check) -> str:
    return f"**{escaped(text)}**" if check.alarms else escaped(text)
