"""`harness report`: results to a leaderboard page, CSV and Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.config import ReportConfig, parse
from harness.errors import BadInputError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def report(settings: DictConfig) -> int:
    """Write the leaderboard of all results.

    Returns:
        0, or 1 when a result could not be read; the others are on the page.
    """
    config = parse(ReportConfig, settings, where="")
    from datetime import UTC, datetime
    from pathlib import Path

    from harness.evaluation.published import PublishedScores
    from harness.progress import say
    from harness.reporting.collect import Collection, collect
    from harness.reporting.leaderboard import write_leaderboard
    from harness.reporting.published import print_published, with_published

    collection = collect(Path(config.results_dir))
    published = None
    if config.published is not None:
        theirs = Path(config.published).expanduser()
        published = PublishedScores(theirs, names=config.published_names)
        entries = with_published(collection.entries, published)
        collection = Collection(entries, collection.unreadable)
    folder = Path(config.leaderboards_dir)
    try:
        page = write_leaderboard(
            collection, folder, title=config.title, today=datetime.now(UTC).date()
        )
    except OSError as error:
        raise BadInputError(
            f"leaderboards_dir={folder} cannot be written ({error.strerror}); name another folder "
            "with leaderboards_dir=DIR"
        ) from error
    for line in collection.unreadable:
        say(f"left out: {line}")
    if published is not None:
        comparisons = [entry.comparison for entry in collection.entries if entry.comparison]
        print_published(comparisons)
        for line in published.faults:
            say(f"published score left out: {line}")
        missing = len(collection.entries) - len(comparisons)
        say(f"{missing} of {len(collection.entries)} results have no published score")
    say(f"leaderboard of {len(collection.entries)} results: {page}")
    return 1 if collection.unreadable else 0
