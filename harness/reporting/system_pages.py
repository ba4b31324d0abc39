"""A page for each system beside the leaderboard's, under `runs/`."""

from __future__ import annotations

from pathlib import Path

from harness.reporting.standings import Standings


def write_system_pages(standings: Standings, folder: Path) -> dict[int, str]:
    """Write the systems' pages.

    Args:
        standings: The assessed systems.
        folder: The leaderboard's.

    Returns:
        Number of a system to its page, relative to the folder.
    """
    return {}
