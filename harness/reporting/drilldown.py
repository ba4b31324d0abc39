"""The page of one run: a model's configuration in one retrieval mode, task by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from harness import __version__
from harness.evaluation.results import StoredResult
from harness.reporting.describe import describe
from harness.reporting.difference_chart import HEIGHT, WIDTH
from harness.reporting.drilldown_records import configurations, cost_table, environments
from harness.reporting.drilldown_task import MOST_QUERIES, TaskStory, task_story
from harness.reporting.pages import inline, policy_hash, templates
from harness.text import listed, printable

if TYPE_CHECKING:
    from jinja2 import Template

GENERATOR = "harness report"  # by which a page of a run is known
_LARGEST = 300_000  # bytes of a page
_QUERIES = 60  # of each list that are read, of all tasks together


def drilldown_text(
    results: Mapping[str, StoredResult], dense: Mapping[str, StoredResult] | None = None
) -> str:
    """The HTML of a run's page, which loads nothing and runs no script.

    Args:
        results: The run's results by task, at least one; a task's section has the anchor
            `task_anchor(task)`.
        dense: Results of dense of the same model by task, for the tasks that have one. One of other
            data is not compared with, nor is the run with itself.

    Raises:
        BadInputError: If a file beside a result cannot be read.
    """
    beside = {
        task: other
        for task, other in (dense or {}).items()
        if task in results and _comparable(results[task], other)
    }
    most = max(1, min(MOST_QUERIES, _QUERIES // len(results)))
    stories = [
        task_story(task, stored, beside.get(task), most=most) for task, stored in results.items()
    ]
    return _fitted(_context(results, stories), stories, most)


def _fitted(context: Mapping[str, Any], stories: Sequence[TaskStory], most: int) -> str:
    """The page with as many queries of each list as keep it small; losses go before gains."""
    bare, one = (len(_page(context, stories, shown, shown).encode()) for shown in (0, 1))
    likely = min(most, max(_LARGEST - bare, 0) // max(one - bare, 1))
    for lost, won in [*((shown, shown) for shown in range(likely, 0, -1)), (1, 0), (0, 0)]:
        page = _page(context, stories, lost, won)
        if len(page.encode()) <= _LARGEST:
            break
    return page


def _comparable(stored: StoredResult, other: StoredResult) -> bool:
    same_data = stored.result["dataset_revision"] == other.result["dataset_revision"]
    return same_data and stored.path.resolve() != other.path.resolve()


def _context(results: Mapping[str, StoredResult], stories: Sequence[TaskStory]) -> dict[str, Any]:
    """What the page tells besides the queries."""
    experiment = next(iter(results.values())).experiment
    mode, model = str(experiment["mode"]), str(experiment["model"])
    folders = sorted({stored.path.parent.name for stored in results.values()})
    facts = [
        ("revision", str(experiment.get("revision") or "unknown")),
        ("settings", describe(experiment["settings"])),
        ("results", listed(folders, most=3)),
    ]
    style = inline("drilldown.css")
    return {
        "title": printable(f"{mode}, {model}"),
        "mode": printable(mode),
        "model": printable(model),
        "facts": [(name, printable(value)) for name, value in facts],
        "stories": stories,
        "explained": any(
            query.why for story in stories for query in (*story.lost, *story.won, *story.lowest)
        ),
        "compared": any(story.wins is not None for story in stories),
        "configurations": configurations(results),
        "environments": environments(results),
        "cost": cost_table(results),
        "width": WIDTH,
        "height": HEIGHT,
        "version": __version__,
        "generator": GENERATOR,
        "style": style,
        "style_hash": policy_hash(style),
    }


def _page(context: Mapping[str, Any], stories: Sequence[TaskStory], lost: int, won: int) -> str:
    """The page with at most `lost` queries of each list of losses, and `won` of gains."""
    lists = [(story.lost, lost) for story in stories] + [(story.won, won) for story in stories]
    lists += [(story.lowest, lost) for story in stories]
    cut_short = any(len(queries) >= shown for queries, shown in lists if shown < MOST_QUERIES)
    return _template().render(
        context, lost=lost, won=won, cut_short=cut_short and lost + won < 2 * MOST_QUERIES
    )


@cache
def _template() -> Template:
    """Compiled once: that takes longer than to fill it."""
    return templates().get_template("drilldown.html")
