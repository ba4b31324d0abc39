"""A process of a Ray cluster that runs jobs of a sweep."""

from __future__ import annotations

import os


def enter() -> None:
    """Go where the sweep was started: relative paths of its jobs mean that folder.

    Raises:
        FileNotFoundError: If this machine does not have it; Ray shows the message.
    """
    folder = os.environ.get("HARNESS_SWEEP_CWD")
    if not folder:
        return
    try:
        os.chdir(folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{os.uname().nodename} has no {folder}; start the sweep in a folder that all nodes see"
        ) from error
