"""Ctrl-C while work is under way that is worth finishing."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_NOTICE = b"\ninterrupted: finishing the batch and keeping it; Ctrl-C again ends at once\n"


@contextmanager
def first_interrupt_held() -> Iterator[Callable[[], bool]]:
    """Hold the first Ctrl-C back until the work has come to a point where stopping loses nothing.

    The second one raises `KeyboardInterrupt` wherever it arrives. Only Python's own handler is
    replaced, and only in the main thread, which alone is given signals.

    Yields:
        Whether one is held back: work that finds so keeps what it has and leaves.

    Raises:
        KeyboardInterrupt: At the end, if one was held back; also where the work then failed, since
            whoever notes failures and goes on would not stop.
    """
    held = False

    def hold(number: int, frame: FrameType | None) -> None:
        nonlocal held
        if held:
            signal.default_int_handler(number, frame)
        held = True
        if os.isatty(2):
            # Not through sys.stderr, in the midst of whose writing a signal may come.
            os.write(2, _NOTICE)

    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if not ours:
        yield lambda: False
        return
    signal.signal(signal.SIGINT, hold)
    try:
        yield lambda: held
    except Exception as error:
        if held:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if held:
        raise KeyboardInterrupt
