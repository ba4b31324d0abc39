"""What the jobs of a sweep leave unfinished, told together at its end."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_VARIABLE = "HARNESS_SWEEP_UNFINISHED"  # inherited by the processes of every local launcher


@contextmanager
def collected() -> Iterator[Path]:
    """Collect what jobs tell while this lasts.

    Yields:
        A file with one JSON object a line: `job` (its overrides) and `line`.
    """
    handle, name = tempfile.mkstemp(prefix="harness-sweep-", suffix=".jsonl")
    os.close(handle)
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = name
    try:
        yield Path(name)
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before
        Path(name).unlink(missing_ok=True)


def tell(lines: Sequence[str]) -> None:
    """Tell the sweep that this job belongs to, if any, what it leaves unfinished."""
    path = os.environ.get(_VARIABLE)
    if not path or not lines:
        return
    from hydra.core.hydra_config import HydraConfig

    job = " ".join(HydraConfig.get().overrides.task)
    # One write to a file that is open for appending keeps the lines of several processes whole.
    text = "".join(json.dumps({"job": job, "line": line}) + "\n" for line in lines)
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(text)


def told(path: Path) -> list[str]:
    """What jobs have told, one line each, with the job's overrides."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [f"{record['job'] or 'defaults'}: {record['line']}" for record in records]
