"""Files that appear whole or not at all, and names that are safe as paths."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from harness.errors import BadInputError, brief

_SAFE_NAME = re.compile(r"[^A-Za-z0-9._+=-]+")
_LONGEST_NAME = 200
_LONGEST_FILE_NAME = 150

ABANDONED_SECONDS = 86_400.0
"""No file takes so long to write: the writer of an older temporary one was killed."""


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Have `write` fill a temporary file beside `path`, then rename it into place.

    The data reaches the disk (fsync) before the rename, so a reader, a second process or a crash
    sees either the old file or the whole new one.

    Args:
        path: The final place. Missing parent folders are made.
        write: Called with the temporary path, in the same folder as `path`.

    Raises:
        OSError: If the disk is full or the folder is read-only; it names a file. No temporary file
            is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException as error:
        with suppress(FileNotFoundError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # what is written to a file that is open names none
        raise
    _sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically, see `write_atomically`."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(text.encode("utf-8"))

    write_atomically(path, write)


def remove_leftovers(folder: Path, *, older_than: float = 0.0) -> None:
    """Remove temporary files that killed writers have left in a folder, see `write_atomically`.

    Args:
        folder: The folder; it need not be there.
        older_than: Age in seconds of what is removed. 0 is for a folder that no other process is
            writing to, whose lock the caller holds.
    """
    now = time.time()
    for file in folder.glob(".*.tmp"):
        with suppress(FileNotFoundError):  # another process removes them too
            if now - file.stat().st_mtime >= older_than:
                file.unlink()


def read_json(path: Path, *, remedy: str = "") -> dict[str, Any]:
    """A JSON object from a file.

    Args:
        path: The file.
        remedy: What a person can do when it is not one, for the message.

    Raises:
        BadInputError: If it is not one.
    """
    try:
        parsed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        then = f"; {remedy}" if remedy else f" ({brief(error)})"
        raise BadInputError(f"{path} cannot be read as JSON{then}") from error
    if not isinstance(parsed, dict):
        raise BadInputError(f"{path} holds no JSON object{f'; {remedy}' if remedy else ''}")
    return parsed


def file_name(name: str) -> str:
    """A reversible file name for any name from outside: `%XX` for all but letters, digits, `._-+=`.

    What would be longer than 150 characters keeps its beginning and ends in `~` and a hash: file
    systems allow 255 bytes, suffixes included. Such a name is still its own, but not reversible.

    Args:
        name: Any text, for instance a task's name or a folder that a user named.

    Returns:
        A name without separators that is never `.`, `..` or hidden.
    """
    escaped = quote(name, safe="+=", errors="surrogatepass")
    escaped = escaped.replace("~", "%7E")
    if escaped.startswith("."):
        escaped = "%2E" + escaped[1:]
    if len(escaped) > _LONGEST_FILE_NAME:
        digest = hashlib.sha256(escaped.encode()).hexdigest()[:32]
        escaped = f"{escaped[: _LONGEST_FILE_NAME - 33]}~{digest}"
    return escaped or "%"


def original_name(escaped: str) -> str:
    """The name that `file_name` escaped.

    Raises:
        ValueError: If the name was too long to be kept whole.
    """
    if "~" in escaped:
        raise ValueError(f"{escaped} stands for a name that was too long to be kept")
    return "" if escaped == "%" else unquote(escaped, errors="surrogatepass")


def readable_name(text: str) -> str:
    """A short, readable, irreversible part of a file name: runs of other characters become `-`."""
    return _SAFE_NAME.sub("-", text).strip("-.")[:_LONGEST_NAME]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # some file systems refuse to sync a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
