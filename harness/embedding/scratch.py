"""Folders that go with what is made of them; those of killed processes go with the next."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path

import psutil

_PREFIX = "streamed"


def scratch_folder(parent: Path) -> tempfile.TemporaryDirectory[str]:
    """A new folder, removed with the object or at the process's end.

    Args:
        parent: Where it is made; what processes of this machine that are gone have left there is
            removed.
    """
    parent.mkdir(parents=True, exist_ok=True)
    own = f"{_PREFIX}-{socket.gethostname()}-"
    for folder in parent.glob(f"{_PREFIX}-*"):
        process = folder.name.removeprefix(own).partition("-")[0]
        ours = folder.name.startswith(own) and process.isdecimal()
        if ours and not psutil.pid_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)
    return tempfile.TemporaryDirectory(dir=parent, prefix=f"{own}{os.getpid()}-")
