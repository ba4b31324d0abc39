"""Stored runs and judgements as the text files that trec_eval and its kin read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import BadInputError, brief
from harness.evaluation.metrics import (
    PER_QUERY_FILE,
    QRELS_FILE,
    Qrels,
    scored_run,
    stored_metrics,
    stored_qrels,
    stored_runs,
)
from harness.files import write_atomically

if TYPE_CHECKING:
    from harness.evaluation.task_texts import Place
    from harness.retrieval.ranking import Run

_LOOKS_ESCAPED = re.compile(r"%[0-9A-F]{2}")


def read_scored(details: Path) -> dict[Place, tuple[Run, Qrels]]:
    """Each place's run and judgements as its score was computed from them.

    Both have exactly the queries that the score is the mean over, and the run lacks what the task
    leaves out, see `scored_run`.

    Args:
        details: A result's details folder.

    Raises:
        BadInputError: If a file is not as `harness run` writes it; the message has no remedy.
    """
    file = details
    try:
        runs = stored_runs(_checked(file := details / "rankings.parquet"))
        judgements = stored_qrels(_checked(file := details / QRELS_FILE))
        metrics = stored_metrics(_checked(file := details / PER_QUERY_FILE))
        return {
            place: (
                scored_run(
                    {query: runs.get(place, {}).get(query, {}) for query in of_place.query_ids},
                    ignore_identical_ids=of_place.ignore_identical_ids,
                    skip_first_result=of_place.skip_first_result,
                ),
                {query: judgements[place][query] for query in of_place.query_ids},
            )
            for place, of_place in metrics.items()
        }
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise BadInputError(
            f"{file} is not as `harness run` writes it ({type(error).__name__}: {brief(error)})"
        ) from error


def write_trec_run(path: Path, run: Mapping[str, Mapping[str, float]], *, tag: str) -> None:
    """Write `query Q0 document rank score tag` lines, ranks from 1.

    Scores are written with every digit, so that they stay as they are, in float32 and in float64.
    A query without results has no line: tools must count it all the same (`trec_eval -c`).

    Args:
        path: The file.
        run: Query id to document id to score, without ties: tools order ties in ways of their own.
        tag: The run's name.

    Raises:
        OSError: If it cannot be written; nothing is then left of it.
    """
    name = trec_id(tag)
    _write_lines(
        path,
        (
            f"{query} Q0 {trec_id(document)} {rank} {float(score)!r} {name}\n"
            for query, found in ((trec_id(query), found) for query, found in run.items())
            for rank, (document, score) in enumerate(
                sorted(found.items(), key=lambda hit: -hit[1]), start=1
            )
        ),
    )


def write_trec_qrels(path: Path, qrels: Qrels) -> None:
    """Write `query 0 document grade` lines.

    Args:
        path: The file.
        qrels: Query id to document id to grade.

    Raises:
        OSError: If it cannot be written; nothing is then left of it.
    """
    _write_lines(
        path,
        (
            f"{query} 0 {trec_id(document)} {grade}\n"
            for query, grades in ((trec_id(query), grades) for query, grades in qrels.items())
            for document, grade in grades.items()
        ),
    )


def trec_id(name: str) -> str:
    """An id as one column: itself, unless white space or what cannot be printed would break it.

    Such an id has these characters and `%` as `%XX` of their UTF-8 bytes; an empty one is `%`. So
    has an id that looks like an escaped one, so that different ids always stay different.
    """
    sound = bool(name) and name.isprintable() and " " not in name
    if sound and name != "%" and not _LOOKS_ESCAPED.search(name):
        return name
    escaped = (
        char
        if char.isprintable() and char not in " %"
        else quote(char, safe="", errors="surrogatepass")
        for char in name
    )
    return "".join(escaped) or "%"


def _checked(file: Path) -> pa.Table:
    return pq.read_table(file, page_checksum_verification=True)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)

    write_atomically(path, write)
