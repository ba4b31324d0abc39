"""Standard output for tables: as wide as the terminal, or a fixed width for files and pipes."""

from __future__ import annotations

from rich.console import Console

_WIDTH = 110


class _Output(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # the command line says what a closed pipe means


def standard_output() -> Console:
    """A console on standard output; text is taken as it is, numbers are not coloured."""
    console = _Output(highlight=False)
    return console if console.is_terminal else _Output(highlight=False, width=_WIDTH)
