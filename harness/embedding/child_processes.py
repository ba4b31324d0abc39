"""Processes that serve this one over a pipe, and end with it."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

_SECONDS_TO_END = 10.0


@dataclass(frozen=True)
class Child:
    """A process, and our end of the pipe to it."""

    process: BaseProcess
    connection: Connection


def start_child(serve: Callable[..., None], *arguments: Any, daemon: bool = False) -> Child:
    """Start a process of its own, spawned: a fork of one that has used a GPU cannot use any.

    It never gets Ctrl-C, not even while it starts: whoever started it finishes what is under way.

    Args:
        serve: What it does. Called with its end of the pipe, then the arguments; it should return
            when the pipe is closed.
        arguments: They go there by pickle.
        daemon: Whether it is ended with this process at the latest, and has no children.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, *arguments), daemon=daemon)
    resource_tracker.ensure_running()  # its start, within the next, would let the signal through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
    return Child(process, ours)


def end_children(children: Iterable[Child]) -> None:
    """Close the pipes and wait for the processes, which are made to end if they do not."""
    children = list(children)
    for child in children:
        child.connection.close()
    for child in children:
        for end in (child.process.terminate, child.process.kill):
            child.process.join(_SECONDS_TO_END)
            if child.process.is_alive():
                end()
        child.process.join()
