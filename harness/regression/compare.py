"""Snapshots against their baselines: every figure that both have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.regression.check import Check
from harness.regression.cost import judge_cost
from harness.regression.quality import QualityRule, differences, paired_p
from harness.regression.snapshot import COST_FIGURES, PlaceFigures, Score, Snapshot

_NO_SCORE = Score(None, {})


def compare(
    pairs: Sequence[tuple[Snapshot, Snapshot]], rule: QualityRule, *, cost_tolerance: float = 0.0
) -> list[Check]:
    """Check every figure of the places that a baseline and a run share.

    Args:
        pairs: Baseline and run.
        rule: Judges quality; its paired tests, over all pairs, are one family.
        cost_tolerance: See `judge_cost`.

    Returns:
        Pair by pair and place by place, quality before cost. What a run has and its baseline has
        not is left out, see `harness.regression.likeness`.
    """
    places = [
        (now, place, baseline.places[place], figures)
        for baseline, now in pairs
        for place, figures in now.places.items()
        if place in baseline.places
    ]
    scores = [
        (number, metric, score, now.scores.get(metric, _NO_SCORE))
        for number, (_, _, before, now) in enumerate(places)
        for metric, score in before.scores.items()
    ]
    p_values = paired_p([(before, now) for *_, before, now in scores], rule.significance)
    checks: list[list[Check]] = [[] for _ in places]
    for (number, metric, before, after), p in zip(scores, p_values, strict=True):
        snapshot, place, *_ = places[number]
        checks[number].append(
            Check(
                system=snapshot.system,
                place=place,
                kind="quality",
                figure=metric,
                baseline=before.value,
                value=after.value,
                allowed=rule.allowed(metric),
                p=p,
                verdict=rule.judge(metric, before.value, after.value, p),
                remark=moved_queries(before, after),
            )
        )
    return [
        check
        for place_, found in zip(places, checks, strict=True)
        for check in (*found, *_cost_checks(*place_, cost_tolerance))
    ]


def moved_queries(before: Score, now: Score) -> str:
    """How many queries fell and rose, and which one most; empty where none did."""
    moved = differences(before, now)
    if moved is None or not moved.any():
        return ""
    query = sorted(before.queries)[int(np.argmax(np.abs(moved)))]
    return (
        f"{(moved < 0).sum()} of {len(moved)} queries fell, {(moved > 0).sum()} rose; most: "
        f"{query} {before.queries[query]:.4f} → {now.queries[query]:.4f}"
    )


def _cost_checks(
    snapshot: Snapshot, place: str, before: PlaceFigures, now: PlaceFigures, allowed: float
) -> list[Check]:
    return [
        Check(
            system=snapshot.system,
            place=place,
            kind="cost",
            figure=name,
            baseline=before.cost[name],
            value=now.cost[name],
            allowed=allowed,
            verdict=judge_cost(before.cost[name], now.cost[name], allowed),
        )
        for name in COST_FIGURES
        if before.cost[name] is not None or now.cost[name] is not None
    ]
