"""Checksums of a result's records: what a disk has changed is found and not used.

`{Task}/digests.json` has, for `{Task}.json` (named `result`) and for the records beside it, the
XXH3 of every content that may be there. While a result is replaced these are the old and the new
ones: a run that is killed half-way leaves some files of each, and all of them are whole. Results
without such a file, as of earlier versions, are not checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import xxhash

from harness.errors import BadInputError, brief
from harness.files import read_json, write_text

DIGESTS_FILE = "digests.json"


def announce(details: Path, texts: Mapping[str, str]) -> None:
    """Let records have these contents, beside those that they may have already.

    Args:
        details: The folder of what belongs to a result.
        texts: Each record's name and the content that it is about to get.
    """
    try:
        known = _read(details)
    except BadInputError:
        known = {}  # damaged, and so is the result that is being replaced
    _write(
        details,
        {name: [*known.get(name, []), _digest(text.encode())] for name, text in texts.items()},
    )


def settle(details: Path, texts: Mapping[str, str]) -> None:
    """Let records have these contents only, see `announce`."""
    _write(details, {name: [_digest(text.encode())] for name, text in texts.items()})


def damaged(details: Path, files: Mapping[str, Path]) -> Path | None:
    """The first of a result's files whose content was never written, None if all are whole.

    Args:
        details: The folder of what belongs to the result.
        files: Each record's name and file.

    Raises:
        BadInputError: If the checksums themselves are unreadable.
        OSError: If a file is.
    """
    known = _read(details)
    for name, file in files.items():
        # Another process may replace a file after the checksums were read, or between the two
        # readings; not twice.
        if not _is_known(name, file.read_bytes(), known) and not any(
            _is_whole(details, name, file) for _ in range(2)
        ):
            return file
    return None


def unreadable_table(path: Path, error: Exception) -> BadInputError:
    """What is said of a table beside a result that is not as it was written."""
    return BadInputError(
        f"{path} is not as `harness run` writes it ({type(error).__name__}: {brief(error)}); "
        f"delete {path.parent}.json and the result will be computed again"
    )


def _is_whole(details: Path, name: str, file: Path) -> bool:
    """By the checksums as they are once the file has been read."""
    content = file.read_bytes()
    return _is_known(name, content, _read(details))


def _is_known(name: str, content: bytes, known: Mapping[str, list[str]]) -> bool:
    return name not in known or _digest(content) in known[name]


def _read(details: Path) -> dict[str, list[str]]:
    path = details / DIGESTS_FILE
    if not path.exists():
        return {}
    remedy = f"delete {details}.json and it will be computed again"
    known = read_json(path, remedy=remedy)
    if not all(isinstance(digests, list) for digests in known.values()):
        raise BadInputError(f"{path} holds no checksums; {remedy}")
    return known


def _write(details: Path, digests: Mapping[str, list[str]]) -> None:
    write_text(details / DIGESTS_FILE, json.dumps(digests, indent=2) + "\n")


def _digest(content: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(content)
