"""A test collection's judgements: `qrels/SPLIT.tsv`."""

from __future__ import annotations

import csv
import re
from collections.abc import Container, Iterator
from pathlib import Path

from harness.evaluation.tasks.json_lines import FaultError, bad, lines, shown

# "1.0" is how tables that were saved through floats spell a grade of 1.
_GRADE = re.compile(r"([+-]?[0-9]{1,10})(?:\.0*)?")
_GRADE_LIMIT = 2**31  # mteb stores grades in 32 bits
_ROW_REMEDY = "write query id, document id and grade (no second column as in TREC)"


def read_qrels(
    path: Path, documents: Container[str], queries: Container[str]
) -> dict[str, dict[str, int]]:
    """Read tab-separated rows of query id, document id and grade, with or without a header.

    Args:
        path: The file.
        documents: The ids of the corpus.
        queries: The ids of all queries.

    Returns:
        Query id to document id to grade, as the rows stand; a grade below -1, such as TREC's -2 for
        spam, becomes -1: pytrec_eval overwrites memory at them, and all are as irrelevant.

    Raises:
        BadInputError: If a row is bad, or no grade is above 0.
    """
    qrels: dict[str, dict[str, int]] = {}
    for position, (number, row) in enumerate(_rows(path)):
        if position == 0 and row[0] not in queries and not re.search("[0-9]", row[2]):
            continue  # the header
        try:
            query, document, grade = _judgement(row, documents, queries)
        except FaultError as error:
            raise bad(path, str(error), number) from None
        before = qrels.setdefault(query, {}).setdefault(document, grade)
        if before != grade:
            pair = f"query {shown(query)} and document {shown(document)}"
            fault = f"{pair} have the grades {before} and {grade}; keep one of the rows"
            raise bad(path, fault, number)
    if not qrels:
        raise bad(path, "holds no judgement; add rows of query id, document id and grade")
    if not any(grade > 0 for grades in qrels.values() for grade in grades.values()):
        raise bad(path, "has no grade above 0, so that nothing can score; add a positive grade")
    return qrels


def _judgement(
    row: list[str], documents: Container[str], queries: Container[str]
) -> tuple[str, str, int]:
    query, document, grade = row
    match = _GRADE.fullmatch(grade.strip())
    if not match or abs(int(match[1])) >= _GRADE_LIMIT:
        fault = f"the grade {shown(grade)} is not an integer of 32 bits; write 0, 1, 2, …"
        raise FaultError(fault)
    remedy = "remove the row or add the"
    if query not in queries:
        raise FaultError(f"query {shown(query)} is not in the queries file; {remedy} query")
    if document not in documents:
        raise FaultError(f"document {shown(document)} is not in the corpus; {remedy} document")
    return query, document, max(int(match[1]), -1)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    # Strict, since a stray quote would otherwise swallow the judgements up to the next one.
    reader = csv.reader((line for _, line in lines(path)), delimiter="\t", strict=True)
    number = 1
    try:
        for row in reader:
            if any(field.strip() for field in row):
                if len(row) != 3:
                    fault = f"has {len(row)} tab-separated columns, not 3; {_ROW_REMEDY}"
                    raise bad(path, fault, number)
                yield number, row
            number = reader.line_num + 1
    except csv.Error as error:
        remedy = 'CSV-quote a field with a quote, tab or line end, as in "a ""b"" c"'
        fault = f"has a stray quote or line end ({shown(str(error))}); {remedy}"
        raise bad(path, fault, number) from None
