"""The `PyDocRetrieval` collection: find an object's documentation from its summary line.

Documents. A document is the documentation of a module, class, function, method or help topic of
the standard library without its summary, in at most 120 words, without a title. Names that would
give the answer away are handled on both sides: in a document the object's own name, bare or
dotted, becomes `this function` (class, method, ...), and signature lines are dropped; a summary
that holds the bare name of an object it asks for is no query, since a replaced name would not read
as English. Its document stays, as a distractor, as do those of summaries that say too little
("Return the value").

Queries. A query is a summary. Documents whose texts are equal but for case, white space and
punctuation are one document. Near duplicates by their three-word shingles (an inherited or adapted
copy) are all relevant where one of them is, and a summary that several objects share is one query
for which all their documents are relevant.

Documents are chosen by the hash of their id and queries by that of their words, so that every part
of the library is present in proportion and the choice depends on the interpreter alone.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from harness.errors import BadInputError
from harness.evaluation.tasks.local import Collection
from harness.evaluation.tasks.pydoc_sources import (
    Docstring,
    read_docstrings,
    standard_library_root,
)
from harness.evaluation.tasks.pydoc_text import (
    MIN_BODY_WORDS,
    cut,
    is_usable_query,
    mask_name,
    query_key,
    split_summary,
)

MAX_DOCUMENTS = 1_500
MIN_DOCUMENTS = 1_000
MAX_QUERIES = 500
SHINGLE_WORDS = 3
NEAR_DUPLICATE_JACCARD = 0.6
# A body under more different summaries than this says nothing of any of them.
MAX_SUMMARIES = 2


@dataclass(frozen=True)
class Entry:
    """A document and what may ask for it.

    Attributes:
        document_id: The qualified name, with `#2` and so on where a name repeats.
        text: The body, cut and masked.
        names: The qualified names of the objects that share the text.
        summaries: Their distinct summaries, in order of first sight; none if there are more than
            `MAX_SUMMARIES`.
    """

    document_id: str
    text: str
    names: tuple[str, ...]
    summaries: tuple[str, ...]


def build_collection(root: Path | None = None) -> Collection:
    """Build the collection from the running interpreter's documentation.

    Args:
        root: The standard library's folder; the running interpreter's own by default.

    Returns:
        1,000 to 1,500 documents and up to 500 queries, ordered by id, the same on every call.

    Raises:
        BadInputError: If fewer than 1,000 documents can be built, as where the library comes
            without source files.
    """
    root = standard_library_root() if root is None else root
    entries = choose(make_entries(read_docstrings(root)))
    if len(entries) < MIN_DOCUMENTS:
        raise BadInputError(
            f"PyDocRetrieval needs {MIN_DOCUMENTS} documents but the standard library under {root}"
            f" gives {len(entries)}; install Python with its source files, or leave this task out"
        )
    return assemble(entries)


def make_entries(docstrings: Iterable[Docstring]) -> list[Entry]:
    """Documents out of docstrings, exact copies merged.

    Args:
        docstrings: In a fixed order.

    Returns:
        One entry per distinct body of at least `MIN_BODY_WORDS` words, in order of first sight.
    """
    seen: Counter[str] = Counter()
    merged: dict[str, tuple[str, str, list[str], dict[str, str]]] = {}
    for name, kind, text in docstrings:
        summary, body = split_summary(text)
        body = cut(mask_name(body, name, kind))
        key = query_key(body)
        if len(key.split()) < MIN_BODY_WORDS:
            continue
        if key not in merged:
            seen[name] += 1
            suffix = f"#{seen[name]}" if seen[name] > 1 else ""
            merged[key] = (name + suffix, body, [], {})
        _, _, names, summaries = merged[key]
        names.append(name)
        summaries.setdefault(query_key(summary), summary)
    return [
        Entry(document_id, body, tuple(names), _askable(tuple(summaries.values())))
        for document_id, body, names, summaries in merged.values()
    ]


def choose(entries: Sequence[Entry], limit: int = MAX_DOCUMENTS) -> list[Entry]:
    """At most `limit` entries, by the hash of their ids, ordered by id."""
    chosen = sorted(entries, key=lambda entry: _rank(entry.document_id))[:limit]
    return sorted(chosen, key=lambda entry: entry.document_id)


def assemble(entries: Sequence[Entry], max_queries: int = MAX_QUERIES) -> Collection:
    """Judge the documents for the summaries.

    A summary's relevant documents are those that it belongs to and their near duplicates. It is a
    query if it is usable for all of them.

    Args:
        entries: Documents in their final order.
        max_queries: Queries kept, by the hash of their text.

    Returns:
        The collection; query ids are `q-` and the first document's id.
    """
    queries: list[tuple[str, str]] = []
    qrels: dict[str, Mapping[str, int]] = {}
    judged = _judged(entries)
    kept = sorted(judged, key=lambda summary: _rank(query_key(summary)))[:max_queries]
    for summary in sorted(kept, key=lambda summary: (judged[summary], query_key(summary))):
        owner, relevant = judged[summary]
        query_id = _free_id(f"q-{entries[owner].document_id}", qrels)
        queries.append((query_id, summary))
        qrels[query_id] = {entries[index].document_id: 1 for index in relevant}
    documents = [(entry.document_id, "", entry.text) for entry in entries]
    return Collection(documents=documents, queries=queries, qrels=qrels)


def _judged(entries: Sequence[Entry]) -> dict[str, tuple[int, list[int]]]:
    """For each usable summary, the first entry that has it and all entries relevant for it."""
    alike = near_duplicates([entry.text for entry in entries])
    asked: dict[str, tuple[str, list[int]]] = {}
    for index, entry in enumerate(entries):
        for summary in entry.summaries:
            asked.setdefault(query_key(summary), (summary, []))[1].append(index)
    judged: dict[str, tuple[int, list[int]]] = {}
    for summary, owners in asked.values():
        relevant = sorted({index for owner in owners for index in (owner, *alike[owner])})
        if all(_asks_for(summary, entries[index]) for index in relevant):
            judged[summary] = (owners[0], relevant)
    return judged


def _asks_for(summary: str, entry: Entry) -> bool:
    return all(is_usable_query(summary, name, entry.text) for name in entry.names)


def near_duplicates(texts: Sequence[str]) -> list[list[int]]:
    """For each text, the others that are nearly the same.

    Two texts are near duplicates if the Jaccard coefficient of their sets of three-word shingles is
    at least 0.6: a word changed in fifteen, or a sentence added to three.

    Args:
        texts: Any texts.

    Returns:
        Ascending indices per text, symmetric, without the text itself.
    """
    shingles = [_shingles(text) for text in texts]
    holders: defaultdict[str, list[int]] = defaultdict(list)
    for index, found in enumerate(shingles):
        for shingle in found:
            holders[shingle].append(index)
    shared: Counter[tuple[int, int]] = Counter()
    for indices in holders.values():
        shared.update(combinations(indices, 2))
    alike: list[list[int]] = [[] for _ in texts]
    for (first, second), count in shared.items():
        union = len(shingles[first]) + len(shingles[second]) - count
        if count >= NEAR_DUPLICATE_JACCARD * union:
            alike[first].append(second)
            alike[second].append(first)
    return [sorted(indices) for indices in alike]


def _askable(summaries: tuple[str, ...]) -> tuple[str, ...]:
    return summaries if len(summaries) <= MAX_SUMMARIES else ()


def _shingles(text: str) -> frozenset[str]:
    words = query_key(text).split()
    last = max(len(words) - SHINGLE_WORDS, 0)
    return frozenset(" ".join(words[start : start + SHINGLE_WORDS]) for start in range(last + 1))


def _rank(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _free_id(wanted: str, taken: Mapping[str, object]) -> str:
    candidates = (wanted if count == 1 else f"{wanted}~{count}" for count in range(1, 10_000))
    return next(candidate for candidate in candidates if candidate not in taken)
