"""Bytes on disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def disk_bytes(paths: Path | Iterable[Path]) -> int:
    """Return the size of files and of all files in folders, in bytes.

    What the files hold, not the blocks that the file system gives them. A file that is met more
    than once, by a link or because a folder was named too, counts once. Links to files are followed
    (a hub's cache is made of them), links to folders within a folder are not.

    Args:
        paths: A file or folder, or several.

    Raises:
        FileNotFoundError: A path, or what a link leads to, does not exist.
    """
    sizes: dict[tuple[int, int], int] = {}
    for path in [paths] if isinstance(paths, Path) else paths:
        for file in path.rglob("*") if path.is_dir() else [path]:
            if file.is_dir():
                continue
            status = file.stat()
            sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())
