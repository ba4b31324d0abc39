"""Scores that others have published, beside ours: which figure of theirs one of ours means."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.evaluation.published_files import ResultFiles, Scores
from harness.evaluation.rows import ResultRow

# Other versions of libraries move scores by half as much: mteb's own BM25 baseline has .6863 on
# SciFact with bm25s 0.3, and was published with 0.1 at .6874.
TOLERANCE = 0.002
_BM25_MODELS = ("mteb/baseline-bm25s", "bm25s", "baseline/bm25s")  # its older names last
_UNKNOWN_REVISIONS = ("external", "no_revision_available")
_TASK_TYPE = re.compile(
    "((Multilabel|Pair)?Classification|(Instruction)?(Retrieval|Reranking)|Clustering|BitextMining"
    "|Regression|Summarization|STS)$"
)
_COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class PublishedScore:
    """One published figure.

    Attributes:
        model: The model's name as it was published.
        revision: The model's revision that was evaluated; may be `external`, as reported by its
            authors, or `no_revision_available`.
        task: The official name of the task.
        split: The official split.
        subset: The official subset.
        metric: mteb's name of the metric.
        value: Its value.
        deviation: Sample standard deviation of the metric over the task's experiments; None for
            tasks that do not repeat their experiment.
        file: The result file that it is from.
    """

    model: str
    revision: str
    task: str
    split: str
    subset: str
    metric: str
    value: float
    deviation: float | None
    file: Path | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Comparison:
    """A figure of ours beside the published one.

    Attributes:
        row: Ours.
        published: Theirs.
        tolerance: The largest absolute difference that counts as a reproduction.
    """

    row: ResultRow
    published: PublishedScore
    tolerance: float

    @property
    def difference(self) -> float | None:
        """Ours − published; None where ours is not a number."""
        return None if self.row.value is None else self.row.value - self.published.value

    @property
    def within(self) -> bool:
        """Whether ours is a number within the tolerance, its own rounding aside."""
        off = math.inf if self.difference is None else abs(self.difference)
        return off <= self.tolerance or math.isclose(off, self.tolerance, rel_tol=1e-9)


def compare(
    rows: Iterable[ResultRow],
    published: PublishedScores,
    *,
    revision: str | None = None,
    tolerance: float = TOLERANCE,
) -> list[Comparison]:
    """The rows that have a published score, beside it.

    A task that trains on random samples repeats its experiment, ten times as a rule, and publishes
    the mean. Another draw of the samples, or another version of the solver, moves each experiment
    by about one standard deviation s, so that two honest means over n experiments differ by about
    s·√(2/n), 0.45 s for ten. One s, which is more than two such standard errors, is therefore
    allowed where it is larger than `tolerance`.

    Args:
        rows: Our figures.
        published: Theirs.
        revision: The revision of our model; None when it is unknown.
        tolerance: Absolute, in units of the metric.
    """
    found = ((row, published.score(row, revision=revision)) for row in rows)
    return [
        Comparison(row, score, max(tolerance, score.deviation or 0.0))
        for row, score in found
        if score is not None
    ]


class PublishedScores:
    """Published figures, read from a folder as they are asked for."""

    def __init__(self, folder: Path, *, names: Mapping[str, str] | None = None) -> None:
        """Open a folder; no result is read yet.

        Args:
            folder: See `ResultFiles`.
            names: Our task's name, such as that of a folder, to `Task` or `Task/subset`; wins over
                every other way to match names.

        Raises:
            BadInputError: If there is no such folder, or it cannot be read.
        """
        self._files = ResultFiles(folder)
        self._names = dict(names or {})

    @property
    def faults(self) -> list[str]:
        """One line for each file that was needed so far and could not be read."""
        return list(self._files.faults)

    def score(self, row: ResultRow, *, revision: str | None = None) -> PublishedScore | None:
        """The published score of one of our figures.

        Dense modes have that of their model, BM25 that of mteb's baseline, other modes none. On
        reranking tasks BM25 has none either: mteb's baseline ranks the whole collection there and
        drops what is no candidate, which is another figure.

        A task is known by its exact name, or by `names`. One that is not pinned to a commit, such
        as a folder, is also known by a name that differs in case and punctuation only, that lacks
        the task's type, or that ends in the subset: `xquad-en` is XQuADRetrieval, subset `en`. Then
        the split may have another name where there is only one. Two tasks that fit are none.

        The revision is ours where it has the score; else the one that was evaluated with the
        newest mteb; else an unknown one.

        Args:
            row: Our figure.
            revision: The revision of our model; None when it is unknown.
        """
        models = {"dense": (row.model,), "bm25": _BM25_MODELS}.get(row.kind, ())
        if row.kind == "bm25" and "Reranking" in row.task_type:
            return None
        scores = (self._score(model, row, revision) for model in models)
        return next((score for score in scores if score is not None), None)

    @property
    def models(self) -> list[str]:
        """Names of all models that have a folder, `organisation/name`."""
        return self._files.models

    def score_of(self, model: str, row: ResultRow) -> PublishedScore | None:
        """A model's published score at the place of one of our figures, whatever our mode.

        Args:
            model: The model's name.
            row: Our figure; names, splits and revisions are matched as in `score`.
        """
        return self._score(model, row, None)

    def _score(self, model: str, row: ResultRow, revision: str | None) -> PublishedScore | None:
        files = self._files.of_model(model)
        target = self._target(files, row)
        if target is None:
            return None
        task, subset = target
        exact = task == row.task and row.task not in self._names
        for found, path in self._ordered(files.get(task, {}), revision):
            place = _place(self._files.scores(path), row, subset, exact=exact)
            value = _number(place[1].get(row.metric)) if place else None
            if place and value is not None:
                return PublishedScore(
                    model=model,
                    revision=found,
                    task=task,
                    split=place[0],
                    subset=_subset(place[1]),
                    metric=row.metric,
                    value=value,
                    deviation=_deviation(place[1], row.metric),
                    file=path,
                )
        return None

    def _target(
        self, files: Mapping[str, Mapping[str, Path]], row: ResultRow
    ) -> tuple[str, str | None] | None:
        """The official task and subset that a row means; a subset of None is the row's or the only.

        A task that is pinned to a commit is one of mteb's own, which similar names would confuse.
        """
        if row.task in self._names:
            task, _, subset = self._names[row.task].partition("/")
            return task, subset or None
        if row.task in files:
            return row.task, row.subset
        if _COMMIT.fullmatch(row.dataset_revision):
            return None
        similar = set(self._similar(files, row))
        return similar.pop() if len(similar) == 1 else None

    def _similar(
        self, files: Mapping[str, Mapping[str, Path]], row: ResultRow
    ) -> Iterator[tuple[str, str]]:
        ours = _folded(row.task)
        for task, paths in files.items():
            for name in {_folded(task), _folded(_TASK_TYPE.sub("", task))} - {""}:
                if ours == name:
                    yield task, row.subset
                elif ours.startswith(name):
                    for subset in self._subsets(paths.values()):
                        if ours == name + _folded(subset):
                            yield task, subset

    def _subsets(self, paths: Iterable[Path]) -> set[str]:
        read = [self._files.scores(path) for path in paths]
        return {_subset(place) for scores in read for places in scores.values() for place in places}

    def _ordered(self, paths: Mapping[str, Path], ours: str | None) -> Iterator[tuple[str, Path]]:
        """Revisions and files, the one to be taken first.

        What an earlier one already settles is not opened.
        """
        ranks: list[list[str]] = [[], [], []]
        for revision in sorted(paths):
            ranks[0 if revision == ours else 1 + (revision in _UNKNOWN_REVISIONS)].append(revision)
        for rank in ranks:
            for revision in sorted(
                rank, key=lambda name: self._files.mteb_version(paths[name]), reverse=True
            ):
                yield revision, paths[revision]


def _place(
    scores: Scores, row: ResultRow, subset: str | None, *, exact: bool
) -> tuple[str, Mapping[str, Any]] | None:
    """The split, and the scores of the subset in it."""
    split = row.split
    if not exact and split not in scores and len(scores) == 1:
        (split,) = scores
    places = scores.get(split, ())
    named = [place for place in places if _subset(place) == (subset or row.subset)]
    if subset is None and not named:
        named = list(places)
    return (split, named[0]) if len(named) == 1 else None


def _subset(place: Mapping[str, Any]) -> str:
    return str(place.get("hf_subset") or "default")


def _deviation(place: Mapping[str, Any], metric: str) -> float | None:
    experiments = place.get("scores_per_experiment")
    if not isinstance(experiments, list):
        return None
    values = [_number(one.get(metric)) for one in experiments if isinstance(one, dict)]
    numbers = [value for value in values if value is not None]
    return statistics.stdev(numbers) if len(numbers) > 1 else None


def _number(value: Any) -> float | None:
    """A finite number, else None: an integer of JSON may be larger than any float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _folded(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()
