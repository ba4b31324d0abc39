"""`PyDocRetrieval`: a retrieval task that every CPython can build, without network or downloads.

Its texts are the documentation that comes with the interpreter (`pydoc_corpus` says how they
become documents and queries). They differ from one Python version to the next, so the data set's
revision is a hash of the content and scores of different interpreters are never compared silently.

The collection is built at first use and cached as one file per interpreter and builder.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from mteb.abstasks.retrieval import AbsTaskRetrieval

from harness.errors import BadInputError
from harness.evaluation.tasks.local import Collection, retrieval_task
from harness.evaluation.tasks.pydoc_corpus import build_collection
from harness.evaluation.tasks.pydoc_sources import source_files, standard_library_root
from harness.files import write_atomically

TASK_NAME = "PyDocRetrieval"
DESCRIPTION = (
    "Find the documentation of a Python standard library object from its one-line summary; built "
    "from the docstrings and help topics of the running interpreter."
)
REFERENCE = "https://docs.python.org/3/library/pydoc.html"


def pydoc_task(cache_dir: Path) -> AbsTaskRetrieval:
    """The task `PyDocRetrieval`, from the cache or built and cached.

    Args:
        cache_dir: Where the built collection is kept; made if missing.

    Returns:
        An mteb task with its data loaded, subset `default`, split `test`, main metric nDCG@10.

    Raises:
        BadInputError: If the cached file is damaged, the cache cannot be read or written, or the
            interpreter comes without its library's source files.
    """
    path = cache_dir / f"{TASK_NAME}-{_cache_key()}.json"
    collection = _read(path)
    if collection is None:
        collection = build_collection()
        _write(path, collection)
    return retrieval_task(collection, name=TASK_NAME, description=DESCRIPTION, reference=REFERENCE)


def _cache_key() -> str:
    """A hash of all that the build depends on: the interpreter, its library and the builder."""
    root = standard_library_root()
    digest = hashlib.sha256(sys.version.encode())
    for builder in sorted(Path(__file__).parent.glob("pydoc*.py")):
        digest.update(builder.read_bytes())
    for file in source_files(root):
        status = file.stat()
        # A library patched in place keeps sys.version.
        line = f"{file.relative_to(root).as_posix()} {status.st_size} {status.st_mtime_ns}\n"
        digest.update(line.encode())
    return digest.hexdigest()[:16]


def _write(path: Path, collection: Collection) -> None:
    """A line with the SHA-256 of what follows, then the collection as one JSON line."""
    fields = {
        "documents": collection.documents,
        "queries": collection.queries,
        "qrels": collection.qrels,
    }
    payload = json.dumps(fields, separators=(",", ":")).encode()
    checksum = hashlib.sha256(payload).hexdigest().encode()

    def write(temporary: Path) -> None:
        temporary.write_bytes(checksum + b"\n" + payload)

    try:
        write_atomically(path, write)
    except OSError as error:
        raise BadInputError(
            f"{path}: the built {TASK_NAME} cannot be stored ({error.strerror or error}); "
            "make the folder writable or choose another"
        ) from error


def _read(path: Path) -> Collection | None:
    try:
        checksum, _, payload = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInputError(
            f"{path}: the cached {TASK_NAME} cannot be read ({error.strerror or error}); "
            "delete it or choose another folder, and run again"
        ) from error
    if hashlib.sha256(payload).hexdigest().encode() != checksum:
        raise BadInputError(f"{path}: the cached {TASK_NAME} is damaged; delete it and run again")
    return _collection(json.loads(payload))


def _collection(fields: dict[str, Any]) -> Collection:
    return Collection(
        documents=[(document_id, title, text) for document_id, title, text in fields["documents"]],
        queries=[(query_id, text) for query_id, text in fields["queries"]],
        qrels=fields["qrels"],
    )
