"""A record of every run: what was asked, how it ended, what the store was asked for."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BadInputError
from harness.files import write_text
from harness.process import this_process

if TYPE_CHECKING:
    from harness.evaluation.runner import RunOutcome


@contextmanager
def run_manifest(
    results_dir: Path, asked: Mapping[str, Any], outcome: RunOutcome
) -> Iterator[Path]:
    """Keep `results_dir/runs/{time}-{id}.json` while a run lasts and after it.

    Its `status` is `running`, then `done`, `partial` (a task did not finish) or `failed`; its
    `process` is the one that runs it, see `this_process`.

    Args:
        results_dir: The results folder.
        asked: What the run was to do, JSON-able.
        outcome: What it has done so far; read again at its end.

    Yields:
        The file's path.
    """
    started = datetime.now(UTC)
    clock = time.monotonic()
    process = this_process()
    path = results_dir / "runs" / f"{started:%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:8]}.json"

    def write(status: str) -> None:
        done = {key: value for key, value in asdict(outcome).items() if key != "rows"}
        record = {
            "status": status,
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - clock, 3),
            "process": process,
            **asked,
            **done,
        }
        write_text(path, json.dumps(record, indent=2, ensure_ascii=False) + "\n")

    folders = [folder for folder in (path.parent, results_dir) if not folder.exists()]
    try:
        write("running")
    except OSError as error:
        raise BadInputError(
            f"results_dir={results_dir} cannot be written ({error.strerror}); give another folder"
        ) from error
    try:
        yield path
    except BadInputError:
        if outcome.computed:
            write("failed")
        else:  # bad input leaves nothing behind
            path.unlink()
            for folder in folders:
                with suppress(OSError):
                    folder.rmdir()
        raise
    except BaseException:
        write("failed")
        raise
    write("partial" if outcome.failed else "done")
