"""The corpus that the embedder is trained on: from a folder of packages to three files.

`text.jsonl` holds documents for causal training, `pairs.jsonl` summaries with the bodies that they
ask for, and `manifest.json` says where both come from and what was left out, by whose overlap with
the standard library's documentation. The same packages give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

from harness.errors import BadInputError, HarnessError, explain
from harness.evaluation.tasks.pydoc_sources import read_docstrings, standard_library_root
from harness.evaluation.tasks.pydoc_text import query_key
from harness.progress import progress_bar, say
from harness.training.corpus_duplicates import near_copies, repeated
from harness.training.corpus_files import (
    CorpusReport,
    Removed,
    by_reason,
    word_count,
    write_corpus,
)
from harness.training.decontamination import (
    Reference,
    find_overlap,
    find_pair_overlap,
    find_summary_overlap,
    make_reference,
)
from harness.training.documentation import Document, read_documentation
from harness.training.packages import Package, find_packages

# Generated clients repeat themselves; no package may outweigh the others.
MAX_PACKAGE_WORDS = 600_000


def build_corpus(
    packages: Path, output: Path, *, processes: int = 1, library: Path | None = None
) -> CorpusReport:
    """Build the corpus from installed packages.

    Args:
        packages: A folder that `pip install --target` has filled.
        output: Where the three files go; made if missing. The manifest appears last.
        processes: Packages read at a time, each in a process of its own.
        library: The standard library's folder; the running interpreter's own by default.

    Returns:
        The numbers that the manifest holds.

    Raises:
        BadInputError: If the folder holds no packages, or their documentation no text.
    """
    found = find_packages(packages)
    wanted = [package for package in found if package.permissive]
    skipped = {
        package.name: f"licence: {package.licence or 'none stated'}"
        for package in found
        if not package.permissive
    }
    read = read_all(wanted, packages, processes)
    reference = make_reference(read_docstrings(library or standard_library_root()))
    documents, texts_removed = decontaminate(without_repetition(read), reference)
    documents = limit_words(documents, MAX_PACKAGE_WORDS)
    pairs, pairs_removed = choose_pairs(documents, reference)
    if not documents:
        raise BadInputError(
            f"the packages under {packages} document nothing; install others there: make corpus"
        )
    removed = [*texts_removed, *pairs_removed]
    report = CorpusReport(
        packages=len(wanted),
        skipped=skipped,
        documents=len(documents),
        pairs=len(pairs),
        words=sum(word_count(document) for document in documents),
        removed=by_reason(removed),
    )
    write_corpus(output, report, packages=wanted, documents=documents, pairs=pairs, removed=removed)
    return report


def read_all(packages: Sequence[Package], folder: Path, processes: int = 1) -> list[Document]:
    """The documentation of all packages, ordered by package and name.

    Args:
        packages: In order.
        folder: Where they are installed.
        processes: Packages read at a time.
    """
    documents: list[Document] = []
    with progress_bar("reading packages", len(packages), unit="documents") as advance:
        for found in _read(packages, folder, processes):
            documents.extend(found)
            advance(1, len(found))
    return documents


def without_repetition(documents: Sequence[Document]) -> list[Document]:
    """The documents that say something which none before them has said, see `repeated`."""
    flags = repeated(document.text for document in documents)
    return [document for document, flag in zip(documents, flags, strict=True) if not flag]


def decontaminate(
    documents: Sequence[Document], reference: Reference
) -> tuple[list[Document], list[Removed]]:
    """Take out the documents that overlap the reference: whole, by their bodies or summaries.

    Args:
        documents: In order.
        reference: What must not be trained on.

    Returns:
        The others, and what was taken out.
    """
    kept: list[Document] = []
    removed: list[Removed] = []
    with progress_bar("comparing", len(documents), unit="documents") as advance:
        for document in documents:
            overlap = find_summary_overlap(reference, document.text)
            overlap = overlap or find_overlap(reference, document.text)
            if overlap is None and document.positive:
                overlap = find_overlap(reference, document.positive)
            if overlap is None:
                kept.append(document)
            else:
                removed.append(Removed("text", document.package, document.name, overlap))
            advance(1, 1)
    return kept, removed


def limit_words(documents: Sequence[Document], limit: int) -> list[Document]:
    """At most so many words of each package, the documents chosen by hash, in their order.

    Args:
        documents: In order.
        limit: Words a package; what would exceed them is left out.
    """
    spent: Counter[str] = Counter()
    chosen = set()
    for index in sorted(range(len(documents)), key=lambda index: _rank(documents[index])):
        package, words = documents[index].package, word_count(documents[index])
        if spent[package] + words <= limit:
            spent[package] += words
            chosen.add(index)
    return [document for index, document in enumerate(documents) if index in chosen]


def choose_pairs(
    documents: Sequence[Document], reference: Reference
) -> tuple[list[Document], list[Removed]]:
    """The documents whose summary asks for their body, and for no other one.

    Of equal summaries, equal bodies and bodies nearly alike the first is kept, so that one pair's
    body is no answer to another pair's summary.

    Args:
        documents: In order, without overlap as texts.
        reference: What must not be trained on.

    Returns:
        Those that serve as pairs, and what overlaps as a pair only.
    """
    kept: list[Document] = []
    removed: list[Removed] = []
    queries: set[str] = set()
    for document in documents:
        if not document.query or query_key(document.query) in queries:
            continue
        overlap = find_pair_overlap(reference, document.query, document.positive)
        if overlap is None:
            queries.add(query_key(document.query))
            kept.append(document)
        else:
            removed.append(Removed("pair", document.package, document.name, overlap))
    flags = near_copies(document.positive for document in kept)
    return [document for document, flag in zip(kept, flags, strict=True) if not flag], removed


def _read(packages: Sequence[Package], folder: Path, processes: int) -> Iterator[list[Document]]:
    if processes == 1:
        yield from (read_documentation(one.name, one.distribution) for one in packages)
        return
    # Threads of a parent that has loaded PyTorch do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        names = [package.name for package in packages]
        distributions = [package.distribution for package in packages]
        yield from pool.map(read_documentation, names, distributions)


def _rank(document: Document) -> bytes:
    return hashlib.sha256(f"{document.package}\n{document.name}\n{document.text}".encode()).digest()


def main(arguments: Sequence[str]) -> None:
    """`python -m harness.training.corpus PACKAGES OUTPUT`: build and print the numbers as JSON."""
    if len(arguments) != 2:
        raise BadInputError("two folders are needed: python -m harness.training.corpus IN OUT")
    packages, output = map(Path, arguments)
    report = build_corpus(packages, output, processes=os.cpu_count() or 1)
    print(json.dumps(asdict(report), indent=1))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (HarnessError, OSError) as error:
        say(explain(error))
        sys.exit(error.exit_status if isinstance(error, HarnessError) else 1)
