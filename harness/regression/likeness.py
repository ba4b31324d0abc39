"""What keeps a run from being compared with a baseline, and what only explains a difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.regression.snapshot import Snapshot
from harness.text import listed

_SIDES = ("query", "document", "symmetric")
_DIGITS = 16  # of a hash; the rest tells nobody more


def unlike(baseline: Snapshot, now: Snapshot) -> list[str]:
    """What makes two snapshots figures of different things, one phrase each; empty if nothing does.

    The data's revision, the model's hash, the main metric, and the queries that a value is the mean
    over. Settings are not among them: what a changed setting costs is what a baseline is there to
    tell.
    """
    found = [
        f"{name} {_short(before)} in the baseline, {_short(after)} in the run"
        for name, before, after in (
            ("data revision", baseline.data_revision, now.data_revision),
            ("model hash", baseline.model_hash, now.model_hash),
            ("metric", baseline.main_metric, now.main_metric),
        )
        if before != after
    ]
    # Other data have other queries, which need no words of their own.
    return found or _other_queries(baseline, now)


def missing(baseline: Snapshot, now: Snapshot, asked: Sequence[str] = ()) -> list[str]:
    """What a run has and its baseline has not: places, and metrics of places that both have.

    Args:
        baseline: What was.
        now: What is.
        asked: Metrics that are wanted beside the main one; others are not missed.
    """
    found = [f"place {place}" for place in now.places if place not in baseline.places]
    metrics = {
        metric: None
        for place, figures in now.places.items()
        if place in baseline.places
        for metric in figures.scores
        if metric in (now.main_metric, *asked) and metric not in baseline.places[place].scores
    }
    return found + [f"metric {metric}" for metric in metrics]


def lost(baseline: Snapshot, now: Snapshot) -> list[str]:
    """What the baseline has and the run has not: places, metrics, queries."""
    found = [f"place {place}" for place in baseline.places if place not in now.places]
    for place, before in baseline.places.items():
        if place not in now.places:
            continue
        for metric, score in before.scores.items():
            after = now.places[place].scores.get(metric)
            if after is None:
                found.append(f"{metric} of {place}")
            elif gone := [query for query in score.queries if query not in after.queries]:
                found.append(f"queries of {place}: {listed(gone, most=3)}")
    return list(dict.fromkeys(found))


def changed_settings(baseline: Snapshot, now: Snapshot) -> list[str]:
    """Settings that differ, as `head.kind ridge → tied`; those of several sides are named once."""
    before, after = dict(_flat(baseline.settings)), dict(_flat(now.settings))
    lines = [
        f"{_without_side(name)} {_value(before, name)} → {_value(after, name)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    return list(dict.fromkeys(lines))


def _other_queries(baseline: Snapshot, now: Snapshot) -> list[str]:
    found = []
    for place, figures in now.places.items():
        if place not in baseline.places:
            continue
        for metric, score in figures.scores.items():
            before = baseline.places[place].scores.get(metric)
            if before is None or before.queries.keys() == score.queries.keys():
                continue
            only = [query for query in before.queries if query not in score.queries]
            new = [query for query in score.queries if query not in before.queries]
            sides = (("baseline", only), ("run", new))
            named = [
                f"{len(ids):,} only in the {side} ({listed(ids, most=3)})"
                for side, ids in sides
                if ids
            ]
            found.append(f"queries of {metric} at {place}: {', '.join(named)}")
    return found


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", value))
    return found


def _without_side(name: str) -> str:
    first, _, rest = name.partition(".")
    side, _, setting = rest.partition(".")
    return f"{first}.{setting}" if first == "encoder" and side in _SIDES else name


def _value(settings: Mapping[str, Any], name: str) -> str:
    return _short(str(settings[name])) if name in settings else "(none)"


def _short(value: str | None) -> str:
    if value is None:
        return "(none)"
    return value if len(value) <= 2 * _DIGITS else f"{value[:_DIGITS]}…"
