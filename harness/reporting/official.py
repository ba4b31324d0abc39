"""Official results as lines of the leaderboard, beside ours of the same tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.evaluation.published import PublishedScores
from harness.evaluation.rows import ResultRow
from harness.reporting.collect import Entry

PUBLISHED_KIND = "published"


@dataclass(frozen=True)
class OfficialFile:
    """A result file of mteb's.

    Attributes:
        path: The file.
        model: Its model.
        revision: The model's revision.
    """

    path: Path
    model: str
    revision: str


def official_entries(
    entries: Sequence[Entry], published: PublishedScores, models: Sequence[str]
) -> list[Entry]:
    """Each model's official score at every place where we have a result, as an entry without cost.

    Args:
        entries: Ours.
        published: Theirs.
        models: Names of models, `organisation/name`.
    """
    places = {
        (row.task, row.split, row.subset, row.metric, row.dataset_revision): row
        for row in (entry.row for entry in entries)
    }
    found = []
    for model in models:
        for row in places.values():
            score = published.score_of(model, row)
            if score is not None:
                found.append(
                    Entry(
                        ResultRow(
                            model=model,
                            task=row.task,
                            task_type=row.task_type,
                            subset=row.subset,
                            split=row.split,
                            mode=PUBLISHED_KIND,
                            kind=PUBLISHED_KIND,
                            metric=row.metric,
                            value=score.value,
                            dataset_revision=row.dataset_revision,
                            hardware="mteb’s official results",
                        ),
                        settings=f"official result, revision {score.revision[:12]}",
                        revision=score.revision,
                        official=score,
                    )
                )
    return found


def official_files(entries: Sequence[Entry], others: Sequence[Entry]) -> list[OfficialFile]:
    """Each file that a published score of the entries is from, once.

    Args:
        entries: Ours, beside published scores.
        others: Entries of `official_entries`.
    """
    scores = [entry.comparison.published for entry in entries if entry.comparison]
    scores += [entry.official for entry in others if entry.official]
    files = {
        score.file: OfficialFile(score.file, score.model, score.revision)
        for score in scores
        if score.file is not None
    }
    return list(files.values())
