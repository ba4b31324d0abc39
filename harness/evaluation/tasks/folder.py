"""Test collections in BEIR's folder format: `corpus.jsonl`, `queries.jsonl`, `qrels/{split}.tsv`.

Reading a folder ends in a collection that every retrieval mode can use, or in one line that names
the file, the line, the fault and the remedy.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from collections.abc import Container, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import BadInputError
from harness.evaluation.tasks.local import Collection, retrieval_task

if TYPE_CHECKING:
    from mteb.abstasks.retrieval import AbsTaskRetrieval

_Entry = tuple[str, str, str]  # id, title, text; a query's title is ""

# "1.0" is how tables that were saved through floats spell a grade of 1.
_GRADE = re.compile(r"([+-]?[0-9]{1,10})(?:\.0*)?")
_GRADE_LIMIT = 2**31  # mteb stores grades in 32 bits
_ROW_REMEDY = "write query id, document id and grade (no second column as in TREC)"
_LONGEST_SNIPPET = 80
_JSON_TYPES = {dict: "an object", list: "an array", bool: "a boolean", type(None): "null"}


class _FaultError(ValueError):
    """What is wrong with one line, before file and line number are known."""


def folder_task(
    folder: Path, *, split: str = "test", empty_text: Literal["refuse", "keep"] = "refuse"
) -> AbsTaskRetrieval:
    """Read a BEIR folder as an mteb task, see `read_collection`.

    Args:
        folder: The folder; its own name becomes the task's name.
        split: Which `qrels/{split}.tsv` to judge by.
        empty_text: Whether blank documents and queries are refused or kept.

    Returns:
        A loaded task whose revision is the content hash.

    Raises:
        BadInputError: If the folder, a file or a line is bad.
    """
    collection = read_collection(folder, split=split, empty_text=empty_text)
    name = _own_name(folder)
    description = f"The collection {name}, read from a folder in BEIR's format."
    return retrieval_task(collection, name=name, description=description, split=split)


def read_collection(
    folder: Path, *, split: str = "test", empty_text: Literal["refuse", "keep"] = "refuse"
) -> Collection:
    """Read a BEIR folder line by line.

    Only queries with a judgement in the split are kept, in the order of the queries file. A query
    whose judgements are all zero or negative is kept and scores 0, as in mteb. Beyond what BEIR's
    own loader reads, these are accepted: gzip-compressed corpus and queries (`.jsonl.gz`, used when
    the plain file is absent), a byte order mark, blank lines, integer ids (`7` is `"7"`), a null or
    absent title, qrels without a header, grades such as `1.0`. A judgement may be repeated with the
    same grade. Ids with quotes, tabs or line ends stand CSV-quoted in the qrels.

    Args:
        folder: Holds `corpus.jsonl`, `queries.jsonl` and `qrels/{split}.tsv`.
        split: Which qrels file to read.
        empty_text: Whether documents without title and text, and judged queries without text, are
            refused or kept.

    Returns:
        The collection, documents and queries in file order.

    Raises:
        BadInputError: At the first fault, in one line with file, line number and remedy.
    """
    try:
        corpus_file, queries_file, qrels_file = _collection_files(folder, split)
    except OSError as error:
        fault = f"cannot be read ({_shown(str(error))}); check the path and its permissions"
        raise _bad(folder, fault) from None
    refuse_empty = empty_text == "refuse"
    documents = _read_entries(corpus_file, "document", refuse_empty=refuse_empty)
    # Unjudged queries are dropped, so that it does no harm when one of them is blank.
    queries = _read_entries(queries_file, "query", refuse_empty=False)
    qrels = _read_qrels(qrels_file, documents, queries)
    judged = tuple((query, text) for query, _, text in queries.values() if query in qrels)
    for query, text in judged:
        if refuse_empty and not text.strip():
            raise _bad(queries_file, _empty("query", query), _line_of(queries_file, "query", query))
    return Collection(documents=tuple(documents.values()), queries=judged, qrels=qrels)


def _own_name(folder: Path) -> str:
    # A symbolic link keeps the name that the user gave it.
    name = folder.resolve().name if folder.name in ("", "..") else folder.name
    if _unusable_character(name):
        raise _bad(folder, "the name is not UTF-8, so it cannot name a task; rename the folder")
    return name


def _collection_files(folder: Path, split: str) -> tuple[Path, Path, Path]:
    if not folder.is_dir():
        fault = "is not a folder" if folder.exists() else "there is no such folder"
        raise _bad(folder, f"{fault}; set tasks.path to the folder that holds corpus.jsonl")
    corpus_file = _json_lines_file(folder, "corpus.jsonl")
    queries_file = _json_lines_file(folder, "queries.jsonl")
    # The split is looked up among the files that exist, so that it never acts as a path.
    qrels = {path.stem: path for path in (folder / "qrels").glob("*.tsv") if path.name[0] != "."}
    if split not in qrels:
        splits = ", ".join(_shown(name) for name in sorted(qrels))
        remedy = f"set tasks.split to one of {splits}" if splits else "add it as qrels/SPLIT.tsv"
        raise _bad(folder / "qrels", f"there are no qrels for split {_shown(split)}; {remedy}")
    return corpus_file, queries_file, qrels[split]


def _json_lines_file(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.exists():
            return candidate
    raise _bad(folder / name, "there is no such file; add it, plain or as .gz, one object a line")


def _read_entries(
    path: Path, kind: Literal["document", "query"], *, refuse_empty: bool
) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    for number, entry in _numbered_entries(path, kind):
        identifier, title, text = entry
        if identifier in entries:
            # Keeping line numbers would always cost memory; reading again costs time at a fault.
            first = _line_of(path, kind, identifier)
            fault = f"{kind} id {_shown(identifier)} was given on line {first} already"
            raise _bad(path, f"{fault}; remove one of the lines", number)
        if refuse_empty and not (text.strip() or title.strip()):
            raise _bad(path, _empty(kind, identifier), number)
        entries[identifier] = entry
    if not entries:
        raise _bad(path, f'holds no {kind}; add lines such as {{"_id": "1", "text": "…"}}')
    return entries


def _numbered_entries(path: Path, kind: str) -> Iterator[tuple[int, _Entry]]:
    for number, line in _lines(path):
        stripped = line.strip()
        if not stripped:
            continue
        try:
            entry = _entry(stripped, kind)
        except _FaultError as fault:
            raise _bad(path, str(fault), number) from None
        yield number, entry


def _line_of(path: Path, kind: str, identifier: str) -> int:
    return next(number for number, entry in _numbered_entries(path, kind) if entry[0] == identifier)


def _entry(line: str, kind: str) -> _Entry:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = str(error).replace("line 1 ", "")
        fault = f"is not valid JSON ({reason}) in {_shown(line)}; write one object a line"
        raise _FaultError(fault) from None
    if not isinstance(record, dict):
        raise _FaultError(f"is {_json_type(record)}, not a JSON object; write one object a line")
    has_title = kind == "document" and record.get("title") is not None
    return _identifier(record), _text(record, "title") if has_title else "", _text(record, "text")


def _identifier(record: dict[str, Any]) -> str:
    value = record.get("_id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    identifier = _text(record, "_id")
    if not identifier:
        raise _FaultError('"_id" is empty; give every line an id of its own')
    return identifier


def _text(record: dict[str, Any], key: str) -> str:
    if key not in record:
        raise _FaultError(f'has no "{key}"; add it to the object')
    text = record[key]
    if not isinstance(text, str):
        raise _FaultError(f'"{key}" is {_json_type(text)}, not a string; write a string')
    if unusable := _unusable_character(text):
        raise _FaultError(f'"{key}" contains {unusable}; remove it')
    return text


def _unusable_character(text: str) -> str | None:
    if "\0" in text:
        return r"a NUL character (\u0000)"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return r"half a surrogate pair (\ud800 to \udfff)"
    return None


def _read_qrels(
    path: Path, documents: Container[str], queries: Container[str]
) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for position, (number, row) in enumerate(_rows(path)):
        if position == 0 and row[0] not in queries and not re.search("[0-9]", row[2]):
            continue  # the header
        try:
            query, document, grade = _judgement(row, documents, queries)
        except _FaultError as error:
            raise _bad(path, str(error), number) from None
        before = qrels.setdefault(query, {}).setdefault(document, grade)
        if before != grade:
            pair = f"query {_shown(query)} and document {_shown(document)}"
            fault = f"{pair} have the grades {before} and {grade}; keep one of the rows"
            raise _bad(path, fault, number)
    if not qrels:
        raise _bad(path, "holds no judgement; add rows of query id, document id and grade")
    if not any(grade > 0 for grades in qrels.values() for grade in grades.values()):
        raise _bad(path, "has no grade above 0, so that nothing can score; add a positive grade")
    return qrels


def _judgement(
    row: list[str], documents: Container[str], queries: Container[str]
) -> tuple[str, str, int]:
    query, document, grade = row
    match = _GRADE.fullmatch(grade.strip())
    if not match or abs(int(match[1])) >= _GRADE_LIMIT:
        fault = f"the grade {_shown(grade)} is not an integer of 32 bits; write 0, 1, 2, …"
        raise _FaultError(fault)
    remedy = "remove the row or add the"
    if query not in queries:
        raise _FaultError(f"query {_shown(query)} is not in the queries file; {remedy} query")
    if document not in documents:
        raise _FaultError(f"document {_shown(document)} is not in the corpus; {remedy} document")
    return query, document, int(match[1])


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    # Strict, since a stray quote would otherwise swallow the judgements up to the next one.
    reader = csv.reader((line for _, line in _lines(path)), delimiter="\t", strict=True)
    number = 1
    try:
        for row in reader:
            if any(field.strip() for field in row):
                if len(row) != 3:
                    fault = f"has {len(row)} tab-separated columns, not 3; {_ROW_REMEDY}"
                    raise _bad(path, fault, number)
                yield number, row
            number = reader.line_num + 1
    except csv.Error as error:
        remedy = 'CSV-quote a field with a quote, tab or line end, as in "a ""b"" c"'
        fault = f"has a stray quote or line end ({_shown(str(error))}); {remedy}"
        raise _bad(path, fault, number) from None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    # Bytes are split first: then a line that is not UTF-8 has a number, and U+2028 ends no line.
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        fault = f"is not UTF-8 (byte 0x{error.object[error.start]:02x} at byte {error.start + 1})"
        raise _bad(path, f"{fault}; convert the file to UTF-8", number) from None
    except (OSError, EOFError, zlib.error) as error:
        fault = f"cannot be read ({_shown(str(error))}); check the file and its permissions"
        raise _bad(path, fault, number + 1) from None


def _empty(kind: str, identifier: str) -> str:
    missing = "no title and no text" if kind == "document" else "no text"
    remedy = "remove the line or set tasks.empty_text=keep"
    return f"{kind} {_shown(identifier)} has {missing}; {remedy}"


def _json_type(value: object) -> str:
    return "a string" if isinstance(value, str) else _JSON_TYPES.get(type(value), "a number")


def _shown(value: str) -> str:
    shown = repr(value[: _LONGEST_SNIPPET + 1])
    return shown if len(shown) <= _LONGEST_SNIPPET else f"{shown[: _LONGEST_SNIPPET - 1]}…"


def _bad(path: Path, fault: str, line: int | None = None) -> BadInputError:
    name = str(path) if str(path).isprintable() else repr(str(path))
    return BadInputError(f"{name}: {fault}" if line is None else f"{name}, line {line}: {fault}")
