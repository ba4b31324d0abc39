"""The files of the corpus: texts, pairs, and the manifest of where they come from."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.files import write_atomically, write_text
from harness.training.decontamination import Overlap
from harness.training.documentation import Document
from harness.training.packages import Package

TEXT_FILE = "text.jsonl"
PAIRS_FILE = "pairs.jsonl"
MANIFEST_FILE = "manifest.json"
EXAMPLES = 50


@dataclass(frozen=True)
class Removed:
    """A text or pair that overlaps the standard library's documentation.

    Attributes:
        side: `text` or `pair`.
        package: The distribution.
        name: The object's qualified name.
        overlap: What it overlaps, and how.
    """

    side: str
    package: str
    name: str
    overlap: Overlap


@dataclass(frozen=True)
class CorpusReport:
    """What was built.

    Attributes:
        packages: Packages read.
        skipped: The names of packages left out, and why.
        documents: Lines of `text.jsonl`.
        pairs: Lines of `pairs.jsonl`.
        words: Words of all documents, as runs between white space.
        removed: How many texts and pairs decontamination removed, by side and reason.
    """

    packages: int
    skipped: dict[str, str]
    documents: int
    pairs: int
    words: int
    removed: dict[str, dict[str, int]]


def write_corpus(
    output: Path,
    report: CorpusReport,
    *,
    packages: Sequence[Package],
    documents: Sequence[Document],
    pairs: Sequence[Document],
    removed: Sequence[Removed],
) -> None:
    """Write the three files, the manifest last.

    Args:
        output: The folder; made if missing.
        report: The totals.
        packages: The packages read.
        documents: The documents, in order.
        pairs: Those that are pairs, in order.
        removed: What decontamination removed.
    """
    digests = {
        TEXT_FILE: _write_lines(output / TEXT_FILE, map(_text_line, documents)),
        PAIRS_FILE: _write_lines(output / PAIRS_FILE, map(_pair_line, pairs)),
    }
    manifest = describe(
        report, packages=packages, documents=documents, pairs=pairs, removed=removed
    ) | {"sha256": digests}
    write_text(output / MANIFEST_FILE, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def describe(
    report: CorpusReport,
    *,
    packages: Sequence[Package],
    documents: Sequence[Document],
    pairs: Sequence[Document],
    removed: Sequence[Removed],
) -> dict[str, Any]:
    """The manifest, without the digests of the files.

    Args:
        report: The totals.
        packages: The packages read.
        documents: The documents written.
        pairs: The pairs written.
        removed: What decontamination removed.
    """
    counts = Counter(document.package for document in documents)
    pair_counts = Counter(document.package for document in pairs)
    words: Counter[str] = Counter()
    for document in documents:
        words[document.package] += word_count(document)
    examples = sorted(removed, key=lambda one: hashlib.sha256(one.name.encode()).digest())
    return {
        "documents": report.documents,
        "pairs": report.pairs,
        "words": report.words,
        "packages": {
            package.name: {
                "version": package.version,
                "licence": package.licence,
                "documents": counts[package.name],
                "pairs": pair_counts[package.name],
                "words": words[package.name],
            }
            for package in packages
        },
        "skipped": report.skipped,
        "removed": report.removed,
        "examples": [
            {
                "side": one.side,
                "package": one.package,
                "name": one.name,
                "reason": one.overlap.reason,
                "library": one.overlap.name,
                "overlap": one.overlap.overlap,
            }
            for one in examples[:EXAMPLES]
        ],
    }


def by_reason(removed: Iterable[Removed]) -> dict[str, dict[str, int]]:
    """How many texts and pairs were removed, by side and reason."""
    counts: dict[str, Counter[str]] = {"text": Counter(), "pair": Counter()}
    for one in removed:
        counts[one.side][one.overlap.reason] += 1
    return {side: dict(sorted(found.items())) for side, found in counts.items()}


def word_count(document: Document) -> int:
    """The words of a document's text, as runs between white space."""
    return len(document.text.split())


def _text_line(document: Document) -> dict[str, str]:
    return {"package": document.package, "name": document.name, "text": document.text}


def _pair_line(document: Document) -> dict[str, str]:
    return {
        "query": document.query,
        "positive": document.positive,
        "package": document.package,
        "name": document.name,
    }


def _write_lines(path: Path, records: Iterable[dict[str, str]]) -> str:
    """Write JSON lines; their SHA-256."""
    digest = hashlib.sha256()

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            for record in records:
                line = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
                digest.update(line)
                file.write(line)

    write_atomically(path, write)
    return digest.hexdigest()
