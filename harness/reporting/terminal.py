"""Standard output: tables as wide as the terminal or of a fixed width, and JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console

from harness.evaluation.results import without_nan

_WIDTH = 110


class _Output(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # the command line says what a closed pipe means


def standard_output() -> Console:
    """A console on standard output; text is taken as it is, numbers are not coloured."""
    console = _Output(highlight=False)
    return console if console.is_terminal else _Output(highlight=False, width=_WIDTH)


def print_json(records: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object a line on standard output; what is no number is null."""
    for record in records:
        line = json.dumps(without_nan(dict(record)), ensure_ascii=False, allow_nan=False)
        sys.stdout.write(line + "\n")
    sys.stdout.flush()
