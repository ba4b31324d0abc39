"""Task folders: test collections in BEIR's format here, JSON lines of other types beside.

Reading a folder ends in a task object of mteb's, or in one line that names the file, the line, the
fault and the remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from mteb.abstasks.retrieval import AbsTaskRetrieval

from harness.evaluation.task_texts import joined
from harness.evaluation.tasks.candidates import read_candidates
from harness.evaluation.tasks.json_lines import (
    FaultError,
    bad,
    find_json_lines,
    own_name,
    parsed,
    require_folder,
    shown,
    text,
)
from harness.evaluation.tasks.local import Collection, retrieval_task
from harness.evaluation.tasks.public import evaluation_of
from harness.evaluation.tasks.qrels import read_qrels
from harness.evaluation.tasks.settings import (
    FILE,
    Settings,
    read_settings,
    refuse_useless_knobs,
)
from harness.evaluation.tasks.streamed import StreamedCorpus
from harness.evaluation.tasks.typed.task import typed_task

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

_Document = tuple[str, str, str]  # id, title, text
_Query = tuple[str, str, str | None]  # id, text, instruction
_Entry = TypeVar("_Entry", _Document, _Query)


def local_task(
    folder: Path,
    *,
    split: str = "test",
    empty_text: Literal["refuse", "keep"] = "refuse",
    stream: Path | None = None,
    stream_bytes: int = 0,
) -> AbsTask:
    """Read a folder as an mteb task of the type that its files show.

    With `corpus.jsonl`, `queries.jsonl` or `qrels/` it is a test collection, see `folder_task`;
    else its lines tell the type, see `typed.forms` for the formats.

    Args:
        folder: The folder; its own name becomes the task's name.
        split: Which split to evaluate.
        empty_text: Whether blank texts are refused or kept.
        stream: A folder where large corpora lie while they are worked on; None keeps all in memory.
        stream_bytes: How large a `corpus.jsonl` is that counts as large.

    Returns:
        A loaded task whose revision is the content hash.

    Raises:
        BadInputError: If the folder, a file or a line is bad.
    """
    require_folder(folder)
    files = [find_json_lines(folder, name) for name in ("corpus.jsonl", "queries.jsonl")]
    if any(files) or (folder / "qrels").is_dir():
        large = files[0] is not None and files[0].stat().st_size >= stream_bytes
        return folder_task(
            folder, split=split, empty_text=empty_text, stream=stream if large else None
        )
    task: AbsTask = typed_task(folder, split=split, empty_text=empty_text)
    return task


def folder_task(
    folder: Path,
    *,
    split: str = "test",
    empty_text: Literal["refuse", "keep"] = "refuse",
    stream: Path | None = None,
) -> AbsTaskRetrieval:
    """Read a BEIR folder as an mteb task, see `read_collection`.

    Its type is Retrieval; InstructionRetrieval if a judged query has an instruction; Reranking or
    InstructionReranking if there are candidates. A `task.json` may give languages, a prompt and a
    description. If mteb has a task of exactly the folder's name and this type, that task's class
    evaluates.

    Args:
        folder: The folder; its own name becomes the task's name.
        split: Which `qrels/{split}.tsv` to judge by.
        empty_text: Whether blank documents and queries are refused or kept.
        stream: See `read_collection`.

    Returns:
        A loaded task whose revision is the content hash.

    Raises:
        BadInputError: If the folder, a file or a line is bad.
    """
    collection = read_collection(folder, split=split, empty_text=empty_text, stream=stream)
    name, settings = own_name(folder), read_settings(folder)
    _check_settings(folder, settings, collection.task_type)
    evaluation = evaluation_of(
        name,
        task_type=collection.task_type,
        base=AbsTaskRetrieval,
        main_score=collection.main_score,
    )
    return retrieval_task(
        collection,
        name=name,
        description=settings.description
        or f"The collection {name}, read from a folder in BEIR's format.",
        languages=settings.languages or evaluation.languages,
        split=split,
        prompt=settings.prompt or evaluation.prompt,
        main_score=evaluation.main_score,
        base=evaluation.base,
    )


def read_collection(
    folder: Path,
    *,
    split: str = "test",
    empty_text: Literal["refuse", "keep"] = "refuse",
    stream: Path | None = None,
) -> Collection:
    """Read a BEIR folder line by line.

    Only queries with a judgement in the split are kept, in the order of the queries file. A query
    whose judgements are all zero or negative is kept and scores 0, as in mteb. Beyond what BEIR's
    own loader reads, these are accepted: gzip-compressed corpus and queries (`.jsonl.gz`, used when
    the plain file is absent), a byte order mark, blank lines, integer ids (`7` is `"7"`), a null or
    absent title, qrels without a header, grades such as `1.0`. A judgement may be repeated with the
    same grade. Ids with quotes, tabs or line ends stand CSV-quoted in the qrels.

    A query line may have an `instruction` of its own. The file `top_ranked/{split}.jsonl`, with
    lines `{"query": id, "documents": [ids]}`, gives each judged query the candidates to rerank.

    Args:
        folder: Holds `corpus.jsonl`, `queries.jsonl` and `qrels/{split}.tsv`.
        split: Which qrels file to read.
        empty_text: Whether documents without title and text, and judged queries without text, are
            refused or kept.
        stream: A folder where the documents lie instead of in memory, while the collection is used.

    Returns:
        The collection, documents and queries in file order.

    Raises:
        BadInputError: At the first fault, in one line with file, line number and remedy.
    """
    require_folder(folder)
    corpus_file, queries_file, qrels_file = _collection_files(folder, split)
    refuse_empty = empty_text == "refuse"
    documents: dict[str, _Document] | StreamedCorpus
    if stream is None:
        documents = _read_entries(corpus_file, "document", _document, refuse_empty=refuse_empty)
    else:
        documents = _streamed(corpus_file, stream, refuse_empty=refuse_empty)
    # Unjudged queries are dropped, so that it does no harm when one of them is blank.
    queries = _read_entries(queries_file, "query", _query, refuse_empty=False)
    ids: Container[str] = documents if isinstance(documents, dict) else documents.ids
    qrels = read_qrels(qrels_file, ids, queries)
    judged = [query for query in queries.values() if query[0] in qrels]
    for query, words, _ in judged:
        if refuse_empty and not words.strip():
            raise bad(queries_file, _empty("query", query), _line_of(queries_file, _query, query))
    return Collection(
        documents=tuple(documents.values()) if isinstance(documents, dict) else documents,
        queries=tuple((query, words) for query, words, _ in judged),
        qrels=qrels,
        instructions={query: own for query, _, own in judged if own is not None},
        top_ranked=read_candidates(
            folder,
            split,
            documents=ids,
            queries=queries,
            judged=[query for query, _, _ in judged],
        ),
    )


def read_documents(folder: Path) -> list[tuple[str, str]]:
    """Ids and texts of a folder's `corpus.jsonl`, title and text joined, ordered by id.

    Raises:
        BadInputError: At the first fault, in one line with file, line number and remedy.
    """
    require_folder(folder)
    corpus_file = _json_lines_file(folder, "corpus.jsonl")
    documents = _read_entries(corpus_file, "document", _document, refuse_empty=False)
    return sorted((name, joined(title, words)) for name, title, words in documents.values())


def _check_settings(folder: Path, settings: Settings, task_type: str) -> None:
    if settings.type not in (None, task_type):
        fault = f'"type" is {shown(str(settings.type))}, but the files make a task of type'
        raise bad(folder / FILE, f"{fault} {task_type}; remove the key")
    refuse_useless_knobs(folder, settings, task_type, ())


def _collection_files(folder: Path, split: str) -> tuple[Path, Path, Path]:
    corpus_file = _json_lines_file(folder, "corpus.jsonl")
    queries_file = _json_lines_file(folder, "queries.jsonl")
    # The split is looked up among the files that exist, so that it never acts as a path.
    qrels = {path.stem: path for path in (folder / "qrels").glob("*.tsv") if path.name[0] != "."}
    if split not in qrels:
        splits = ", ".join(shown(name) for name in sorted(qrels))
        remedy = f"set tasks.split to one of {splits}" if splits else "add it as qrels/SPLIT.tsv"
        raise bad(folder / "qrels", f"there are no qrels for split {shown(split)}; {remedy}")
    return corpus_file, queries_file, qrels[split]


def _json_lines_file(folder: Path, name: str) -> Path:
    found = find_json_lines(folder, name)
    if found is None:
        fault = "there is no such file; add it, plain or as .gz, one object a line"
        raise bad(folder / name, fault)
    return found


def _streamed(path: Path, scratch: Path, *, refuse_empty: bool) -> StreamedCorpus:
    """The documents of a file on disk; faults are those of `_read_entries`."""

    def entries() -> Iterator[_Document]:
        for number, entry in parsed(path, _document):
            if refuse_empty and not any(part and part.strip() for part in entry[1:]):
                raise bad(path, _empty("document", entry[0]), number)
            yield entry

    documents = StreamedCorpus(entries(), scratch)
    if (twice := documents.repeated()) is not None:
        numbers = (number for number, entry in parsed(path, _document) if entry[0] == twice)
        first, second = next(numbers), next(numbers)
        raise bad(path, _given_already("document", twice, first), second)
    if not documents:
        raise bad(path, _no_entries("document"))
    return documents


def _read_entries(
    path: Path,
    kind: Literal["document", "query"],
    parse: Callable[[dict[str, Any]], _Entry],
    *,
    refuse_empty: bool,
) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    for number, entry in parsed(path, parse):
        identifier = entry[0]
        if identifier in entries:
            # Keeping line numbers would always cost memory; reading again costs time at a fault.
            first = _line_of(path, parse, identifier)
            raise bad(path, _given_already(kind, identifier, first), number)
        if refuse_empty and not any(part and part.strip() for part in entry[1:]):
            raise bad(path, _empty(kind, identifier), number)
        entries[identifier] = entry
    if not entries:
        raise bad(path, _no_entries(kind))
    return entries


def _line_of(path: Path, parse: Callable[[dict[str, Any]], Any], identifier: str) -> int:
    return next(number for number, entry in parsed(path, parse) if entry[0] == identifier)


def _document(record: dict[str, Any]) -> _Document:
    has_title = record.get("title") is not None
    return _identifier(record), text(record, "title") if has_title else "", text(record, "text")


def _query(record: dict[str, Any]) -> _Query:
    identifier, words = _identifier(record), text(record, "text")
    if record.get("instruction") is None:
        return identifier, words, None
    own = text(record, "instruction")
    if not own.strip():
        raise FaultError('"instruction" is blank; write one, or null for a query without')
    return identifier, words, own


def _identifier(record: dict[str, Any]) -> str:
    value = record.get("_id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    identifier = text(record, "_id")
    if not identifier:
        raise FaultError('"_id" is empty; give every line an id of its own')
    return identifier


def _given_already(kind: str, identifier: str, first: int) -> str:
    fault = f"{kind} id {shown(identifier)} was given on line {first} already"
    return f"{fault}; remove one of the lines"


def _no_entries(kind: str) -> str:
    return f'holds no {kind}; add lines such as {{"_id": "1", "text": "…"}}'


def _empty(kind: str, identifier: str) -> str:
    missing = "no title and no text" if kind == "document" else "no text"
    remedy = "remove the line or set tasks.empty_text=keep"
    return f"{kind} {shown(identifier)} has {missing}; {remedy}"
