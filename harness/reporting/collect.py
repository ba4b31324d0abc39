"""All results under a folder as rows of the leaderboard."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from harness.errors import BadInputError
from harness.evaluation.experiment import settings_hash
from harness.evaluation.published import Comparison, PublishedScore
from harness.evaluation.results import (
    StoredResult,
    details_folder,
    read_result,
    result_paths,
    without_nan,
)
from harness.evaluation.rows import ResultRow, result_rows, with_ratios
from harness.reporting.costs import shown_costs
from harness.reporting.describe import describe

_USUAL_METRIC = "ndcg_at_10"
_NOT_METRICS = ("main_score", "hf_subset", "languages")
MALFORMED = (KeyError, IndexError, TypeError, AttributeError, ValueError, ArithmeticError)


@dataclass(frozen=True)
class Entry:
    """One row with the settings that it was reached with.

    Attributes:
        row: The main metric of one mode on one task, split and subset.
        settings: Key settings in words.
        revision: The model's revision; None when it is unknown.
        comparison: The row beside its published score; None without one.
        path: The result's `{Task}.json`; None where there is no file.
        record: The experiment's settings, every one that can change a score.
        config: The run's resolved configuration; empty where it is not there.
        official: What an entry is that is not ours; None for ours.
    """

    row: ResultRow
    settings: str
    revision: str | None = None
    comparison: Comparison | None = None
    path: Path | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    official: PublishedScore | None = None


@dataclass(frozen=True)
class Collection:
    """What a results folder holds.

    Attributes:
        entries: Every readable result, in the order of their paths.
        unreadable: One line for each result that cannot be read.
    """

    entries: list[Entry]
    unreadable: list[str]


def collect(
    results_dir: Path, *, each: Callable[[StoredResult, Mapping[str, Any]], None] | None = None
) -> Collection:
    """Read every result under a folder; what cannot be read is named and left out.

    Args:
        results_dir: The results folder.
        each: Called with every readable result and its run's configuration.

    Raises:
        BadInputError: If there is no result, or none that can be read.
    """
    paths = result_paths(results_dir)
    found: list[tuple[list[Entry], list[str]]] = []
    unreadable = []
    for path in paths:
        try:
            stored, config = stored_result(path), _config(path)
            entries = _entries(stored, config)
            if each is not None:
                each(stored, config)
            found.append(entries)
        except BadInputError as error:
            unreadable.append(str(error))
        except MALFORMED as error:
            unreadable.append(malformed_line(path, error))
    if not found:
        raise BadInputError(
            f"none of the {len(paths)} results under {results_dir} can be read; {unreadable[0]}"
        )
    return Collection(_with_ratios(_with_shared_metric(found)), unreadable)


def malformed_line(path: Path, error: Exception) -> str:
    """What is said of a result that is not as it should be."""
    return (
        f"{path} is not as `harness run` writes it ({type(error).__name__}: "
        f"{' '.join(str(error).split())}); delete it and it will be computed again"
    )


def stored_result(path: Path) -> StoredResult:
    """A result without mteb's bare NaN, which stand for undefined scores.

    Args:
        path: Its `{Task}.json`.

    Raises:
        BadInputError: If it cannot be read.
    """
    stored = read_result(path)
    if stored is None:
        raise BadInputError(f"{path} went away while it was read; run the command again")
    return replace(stored, result=without_nan(stored.result), cost=without_nan(stored.cost))


def _config(path: Path) -> Mapping[str, Any]:
    """The configuration of a result's run; empty where it is not there."""
    try:
        text = (details_folder(path) / "config.yaml").read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    return _parsed(text)


@lru_cache(maxsize=4096)  # a run's results have one
def _parsed(text: str) -> Mapping[str, Any]:
    try:
        config = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"config.yaml is no YAML: {error}") from error
    if not isinstance(config, dict):
        raise TypeError("config.yaml holds no settings")
    return config


def _entries(stored: StoredResult, config: Mapping[str, Any]) -> tuple[list[Entry], list[str]]:
    """The rows of one result, and the names that its main metric may have.

    Raises:
        ValueError: If the result has no score at all, or no main metric.
    """
    candidates = _main_metrics(stored)
    if not candidates:
        raise ValueError("no metric equals main_score")
    settings = stored.experiment["settings"]
    encoder = settings.get("encoder")
    rows = result_rows(
        stored,
        metrics=candidates[:1],
        model=stored.experiment["model"],
        encoder=settings_hash(encoder) if encoder else "",
        kept=True,
    )
    if not rows:
        raise ValueError("it holds no score")
    words = describe(settings)
    # JSON can hold half a surrogate pair, which no UTF-8 file can.
    json.dumps(settings, ensure_ascii=False, default=str).encode()
    for row in rows:
        _check(row, words)
    revision = stored.experiment.get("revision")
    path = stored.path
    entries = [
        Entry(row, words, revision, path=path, record=settings, config=config) for row in rows
    ]
    return entries, candidates


def _main_metrics(stored: StoredResult) -> list[str]:
    """The metrics that equal `main_score` in every split and subset, the usual one first."""
    if isinstance(known := stored.experiment.get("main_metric"), str):
        return [known]
    places = [scores for split in stored.result["scores"].values() for scores in split]
    names = [
        name
        for name in (places[0] if places else ())
        if name not in _NOT_METRICS
        and all(name in scores and scores[name] == scores["main_score"] for scores in places)
    ]
    return sorted(names, key=lambda name: name != _USUAL_METRIC)


def _with_shared_metric(found: list[tuple[list[Entry], list[str]]]) -> list[Entry]:
    """All rows, those of a task under one name of its main metric.

    On a small task several metrics may have the main metric's value in one result and not in
    another; what holds in all of them is the main one.
    """
    shared: dict[str, list[str]] = {}
    for entries, candidates in found:
        known = shared.setdefault(entries[0].row.task, candidates)
        shared[entries[0].row.task] = [name for name in known if name in candidates]
    return [
        replace(entry, row=replace(entry.row, metric=(shared[entry.row.task] or candidates)[0]))
        for entries, candidates in found
        for entry in entries
    ]


def _with_ratios(entries: list[Entry]) -> list[Entry]:
    """The entries with ratios to dense, never across revisions of a task's data."""
    by_revision: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_revision[entry.row.dataset_revision].append(entry)
    rated = []
    for members in by_revision.values():
        rows = with_ratios(entry.row for entry in members)
        rated += [replace(old, row=row) for row, old in zip(rows, members, strict=True)]
    return rated


def _check(row: ResultRow, words: str) -> None:
    """Raise ValueError or TypeError where a row could not be shown."""
    for name in ("model", "task", "task_type", "subset", "split", "mode", "kind", "experiment"):
        _text(name, getattr(row, name))
    for name in ("hardware", "commit", "dataset_revision"):
        _text(name, getattr(row, name))
    _text("settings", words)
    _figure("main_score", row.value)
    for name, figure in shown_costs(row).items():
        _figure(name, figure)


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r} and no text")
    value.encode()  # JSON can hold half a surrogate pair, which no UTF-8 file can


def _figure(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is {value!r} and no number")
    if not math.isfinite(float(value)):
        raise ValueError(f"{name} is not finite")
