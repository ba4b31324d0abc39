"""The candidates of a reranking folder: `top_ranked/SPLIT.jsonl`."""

from __future__ import annotations

from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

from harness.evaluation.tasks.json_lines import (
    FaultError,
    bad,
    field,
    find_json_lines,
    items,
    json_type,
    parsed,
    shown,
)

FOLDER = "top_ranked"


def read_candidates(
    folder: Path,
    split: str,
    *,
    documents: Container[str],
    queries: Container[str],
    judged: Iterable[str],
) -> dict[str, tuple[str, ...]] | None:
    """Read which documents each query reranks.

    Args:
        folder: A folder in BEIR's format.
        split: The split's name, one that the folder's qrels have.
        documents: The ids of the corpus.
        queries: The ids of all queries.
        judged: The ids of the queries that are evaluated.

    Returns:
        Judged query to its candidates in the file's order; None without a folder of candidates.

    Raises:
        BadInputError: If a line is bad, a judged query has no line, or the split no file.
    """
    path = find_json_lines(folder / FOLDER, f"{split}.jsonl")
    if path is None:
        if (folder / FOLDER).is_dir():
            missing = f"has no candidates of split {shown(split)}"
            raise bad(folder / FOLDER, f"{missing}; add {split}.jsonl, or remove the folder")
        return None
    ranked: dict[str, tuple[str, ...]] = {}
    for number, (query, candidates) in parsed(path, _line):
        if query not in queries:
            unknown = f"query {shown(query)} is not in the queries file; remove the line"
            raise bad(path, unknown, number)
        if query in ranked:
            raise bad(path, f"query {shown(query)} has a line already; keep one of them", number)
        if fault := _candidates_fault(candidates, documents):
            raise bad(path, fault, number)
        ranked[query] = candidates
    for query in judged:
        if query not in ranked:
            raise bad(path, f"the judged query {shown(query)} has no line; add its candidates")
    return {query: ranked[query] for query in judged}


def _line(record: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    query = _id(field(record, "query"), '"query"')
    candidates = tuple(
        _id(value, 'an entry of "documents"') for value in items(record, "documents")
    )
    if not candidates:
        raise FaultError('"documents" is empty; list the ids that are to be reranked')
    return query, candidates


def _id(value: object, place: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise FaultError(f"{place} is {json_type(value)}, not a string; write an id")
    return value


def _candidates_fault(candidates: tuple[str, ...], documents: Container[str]) -> str | None:
    seen: set[str] = set()
    for candidate in candidates:
        if candidate not in documents:
            return f"document {shown(candidate)} is not in the corpus; remove it or add it there"
        if candidate in seen:
            return f"document {shown(candidate)} is listed twice; keep it once"
        seen.add(candidate)
    return None
