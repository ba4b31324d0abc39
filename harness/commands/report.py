"""`harness report`: results to a leaderboard page, tables, figures and one data table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.config import ReportConfig, parse
from harness.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from omegaconf import DictConfig

    from harness.evaluation.published import PublishedScores
    from harness.reporting.collect import Collection, Entry
    from harness.reporting.leaderboard import Leaderboard
    from harness.reporting.tidy import TidyResults


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
    from harness.reporting.collect import collect
    from harness.reporting.leaderboard import leaderboard
    from harness.reporting.published import print_published
    from harness.reporting.tidy import TidyResults
    from harness.reporting.verdicts import print_verdicts

    tidy = TidyResults(Path(config.results_dir))
    collection = collect(Path(config.results_dir), each=tidy.add)
    published = None
    if config.published is not None:
        theirs = Path(config.published).expanduser()
        published = PublishedScores(theirs, names=config.published_names)
        collection = _beside(collection, published, config.published_models, tidy)
    found = leaderboard(
        collection,
        title=config.title,
        today=datetime.now(UTC).date(),
        threshold=config.threshold,
        queries=config.queries,
        resamples=config.resamples,
        seed=config.seed,
    )
    folder = Path(config.leaderboards_dir)
    faults = list(found.standings.faults)
    try:
        page = _write(found, tidy, folder, config, faults)
    except OSError as error:
        raise BadInputError(
            f"leaderboards_dir={folder} cannot be written ({error.strerror}); name another folder "
            "with leaderboards_dir=DIR"
        ) from error
    print_verdicts(found.standings, found.boards)
    faults += collection.unreadable
    for line in dict.fromkeys(faults):
        say(f"left out: {line}")
    if published is not None:
        ours = [entry for entry in collection.entries if entry.path is not None]
        comparisons = [entry.comparison for entry in ours if entry.comparison]
        print_published(comparisons)
        for line in published.faults:
            say(f"published score left out: {line}")
        say(f"{len(ours) - len(comparisons)} of {len(ours)} results have no published score")
    say(f"leaderboard of {len(collection.entries)} results: {page}")
    return 1 if faults or (published is not None and published.faults) else 0


def _beside(
    collection: Collection, published: PublishedScores, models: Sequence[str], tidy: TidyResults
) -> Collection:
    """The collection with published scores beside ours, and lines of other models."""
    from dataclasses import replace

    from harness.reporting.official import official_entries, official_files
    from harness.reporting.published import with_published

    known = set(published.models)
    for model in models:
        if model != "all" and model not in known:
            raise BadInputError(
                f"published_models: {model!r} has no folder under published; it has "
                f"{len(known):,} models, such as {', '.join(sorted(known)[:3])}"
            )
    chosen = sorted(known) if "all" in models else list(models)
    others: list[Entry] = official_entries(collection.entries, published, chosen)
    entries = with_published(collection.entries, published)
    for file in official_files(entries, others):
        tidy.add_official(file)
    return replace(collection, entries=[*entries, *others])


def _write(
    found: Leaderboard, tidy: TidyResults, folder: Path, config: ReportConfig, faults: list[str]
) -> Path:
    from harness.files import ABANDONED_SECONDS, remove_leftovers
    from harness.reporting.leaderboard import write_figures, write_leaderboard, write_results_table
    from harness.reporting.system_pages import FOLDER, write_system_pages

    for place in (folder, folder / FOLDER):
        remove_leftovers(place, older_than=ABANDONED_SECONDS)
    pages = write_system_pages(found.standings, folder, faults) if config.pages else {}
    write_results_table(tidy.table(), folder)
    if config.figures:
        write_figures(found, folder)
    return write_leaderboard(found, folder, pages=pages)
