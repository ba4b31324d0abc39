"""Jobs that run at once and need the same embeddings: one of them goes ahead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


@contextmanager
def first_ahead(folder: Path, need: str) -> Iterator[None]:
    """The first of the jobs with a need runs alone, the others wait until it has ended well.

    They then find what it has encoded. Where it fails or its process is gone, the next one goes
    ahead.

    Args:
        folder: Where they see each other: one of the sweep, on a file system that all of them have.
        need: What they share; a file name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    met = folder / f"{need}.met"
    if met.exists():
        yield
        return
    lock = FileLock(folder / f"{need}.lock")
    with lock:
        if met.exists():
            lock.release()
        yield
        met.touch()
