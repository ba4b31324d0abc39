"""Lines with a text's summaries, by people and by machines, and how good the machines' are."""

from __future__ import annotations

from typing import Any

from mteb.abstasks import AbsTaskSummarization

from harness.evaluation.tasks.json_lines import FaultError, bad, checked_number, field, items
from harness.evaluation.tasks.typed.form import Data, Form, Part, Row, TextReader

_SUMMARIES = ("human_summaries", "machine_summaries")


def _row(record: Row, text: TextReader) -> Row:
    row: Row = {"text": text(field(record, "text"), '"text"')}
    for key in _SUMMARIES:
        row[key] = [text(value, f'an entry of "{key}"') for value in items(record, key)]
        if not row[key]:
            raise FaultError(f'"{key}" is empty; add a summary or remove the line')
    values = items(record, "relevance")
    row["relevance"] = [checked_number(value, 'an entry of "relevance"') for value in values]
    summaries, grades = len(row["machine_summaries"]), len(row["relevance"])
    if summaries != grades:
        fault = f'"machine_summaries" has {summaries} entries and "relevance" {grades}'
        raise FaultError(f"{fault}; write one grade for each summary")
    return row


def _check(data: Data) -> None:
    if not any(len(set(grades)) > 1 for grades in data.test.column("relevance")):
        fault = "no line has two different grades in its relevance, so that nothing can score"
        raise bad(data.test.path, f"{fault}; add one that has")


def _attributes(_: Part) -> dict[str, Any]:
    # mteb needs a range to scale grades by; the correlations are the same for any.
    return {"min_score": 0, "max_score": 1}


SUMMARIZATION = Form(
    task_type="Summarization",
    keys=("text", *_SUMMARIES, "relevance"),
    base=AbsTaskSummarization,
    main_score="cosine_spearman",
    row=_row,
    check=_check,
    attributes=_attributes,
)
