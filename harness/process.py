"""Which process a record was written by, and whether that one still runs."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_STARTED = 19  # the field of /proc/PID/stat that holds it, counted after the command's name


def this_process() -> dict[str, Any]:
    """What tells this process from any other, JSON-able.

    Returns:
        `host`; `boot`, which is another after every start of the machine, empty where the system
        does not say; `pids`, the name space of process numbers; `pid`; `started`, in ticks since
        the start of the machine or, without them, in seconds since 1970; `clock`, seconds since the
        start of the machine, which setting the clock does not change.
    """
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "pids": _pid_namespace(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "clock": _clock(),
    }


def is_alive(process: Mapping[str, Any]) -> bool | None:
    """Whether the process of a record still runs; None where this machine cannot tell.

    A number that another process has been given since does not count: it started later.

    Args:
        process: What `this_process` gave, there and then.
    """
    if process.get("host") != socket.gethostname():
        return None
    if process.get("boot") != _boot():
        return False
    if process.get("pids") != _pid_namespace():
        return None
    started = _started(int(process["pid"]))
    return started is not None and started == process["started"]


def seconds_since(process: Mapping[str, Any]) -> float | None:
    """Seconds since the record was made, whatever clocks were set to; None on another machine."""
    if process.get("host") != socket.gethostname() or process.get("boot") != _boot():
        return None
    return max(_clock() - float(process["clock"]), 0.0)


def _boot() -> str:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _started(pid: int) -> float | None:
    """When a process started, see `this_process`; None if there is none, or only a dead one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        try:
            return float(psutil.Process(pid).create_time())
        except (psutil.Error, ValueError):
            return None
    # The name stands in brackets and may hold anything, brackets and blanks included.
    after = fields.rpartition(")")[2].split()
    return None if after[0] in "ZX" else float(after[_STARTED])


def _clock() -> float:
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
