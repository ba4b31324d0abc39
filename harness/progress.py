"""Progress bars on standard error, with rates and time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from harness.text import printable

Advance = Callable[[int, int], None]


class _Rate(TextColumn):
    """Units per second so far."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        done, elapsed = task.fields.get("units", 0), task.elapsed
        if not done or not elapsed:
            return Text("")
        return Text(f"{done / elapsed:,.0f} {task.fields['unit']}/s", style="progress.data.speed")


@contextmanager
def progress_bar(description: str, total: int, *, unit: str) -> Iterator[Advance]:
    """Show one bar on standard error; nothing is shown where there is no terminal.

    Args:
        description: What is being done.
        total: Texts in all.
        unit: What the rate counts, for instance `tokens`.

    Yields:
        `advance(texts, units)`.
    """
    console = error_console()
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task(description, total=total, unit=unit, units=0)

        def advance(texts: int, units: int) -> None:
            done = bar.tasks[0].fields["units"] + units
            bar.update(task, advance=texts, units=done)

        yield advance


@cache
def error_console() -> Console:
    """The one console on standard error: a line goes above whatever bars are shown on it."""
    return Console(stderr=True, highlight=False)


def say(message: str) -> None:
    """One line on standard error, for a person."""
    error_console().print(printable(message), markup=False, soft_wrap=True)


@cache
def say_once(message: str) -> None:
    """As `say`, for what stays true: not a second time in this process."""
    say(message)
