"""Everything that a leaderboard says, computed once for the page, the tables and the files."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from harness.reporting.assessment import Assessed, Assessment, Share, assess
from harness.reporting.collect import Entry
from harness.reporting.costs import QUERIES
from harness.reporting.overall import Overall, OverallSums
from harness.reporting.systems import (
    DenseKey,
    System,
    TaskPlace,
    dense_entries,
    systems_of,
)
from harness.statistics.bootstrap import RESAMPLES
from harness.statistics.ranks import SIGNIFICANCE
from harness.statistics.significance import holm
from harness.statistics.verdict import THRESHOLD

K = TypeVar("K", bound=Hashable)

ALL = "all"


@dataclass(frozen=True, eq=False, kw_only=True)
class Standings:
    """All systems at all places, and over them.

    Attributes:
        systems: The systems.
        places: Where they were scored, ordered by task.
        types: The types of tasks that there are, in alphabetical order.
        assessments: By system's number and place, where there is a result.
        overall: By tab, `ALL` and each type, one a system; None without a result there.
        threshold: What a share of dense is to reach.
        queries: How many queries `total_flops` has beside the corpus pass.
        faults: One line for each file of scores that could not be read.
    """

    systems: list[System]
    places: list[TaskPlace]
    types: list[str]
    assessments: dict[tuple[int, TaskPlace], Assessment]
    overall: dict[str, list[Overall | None]]
    threshold: float
    queries: int = QUERIES
    faults: list[str] = field(default_factory=list)

    def type_of(self, place: TaskPlace) -> str:
        """The type of a place's task; `other` where no result tells."""
        return _type_of(self.systems, place)


def standings(
    entries: Sequence[Entry],
    *,
    threshold: float = THRESHOLD,
    queries: int = QUERIES,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Standings:
    """Assess all entries.

    Args:
        entries: The results.
        threshold: What a share of dense is to reach.
        queries: See `shown_costs`.
        resamples: Of the bootstraps and randomisation tests.
        seed: Of both.
    """
    systems = systems_of(entries)
    places = sorted({place for system in systems for place in system.entries})
    type_of = {place: _type_of(systems, place) for place in places}
    types = sorted(set(type_of.values()))
    tabs = {ALL: places, **{kind: [p for p in places if type_of[p] == kind] for kind in types}}
    if len(types) == 1:
        del tabs[types[0]]
    dense = dense_entries(systems)
    drawn: dict[str, int] = {
        "queries": queries,
        "resamples": resamples,
        "assignments": max(resamples, _assignments(systems)),
        "seed": seed,
    }
    sums = {tab: OverallSums(systems, members, dense, **drawn) for tab, members in tabs.items()}
    found: dict[tuple[int, TaskPlace], Assessment] = {}
    faults: list[str] = []
    for assessed in _assessed(systems, places, dense, threshold=threshold, **drawn):
        faults += assessed.faults
        found |= {(number, assessed.place): one for number, one in assessed.assessments.items()}
        for one in sums.values():
            one.add(assessed)
    overall = {tab: one.overall(threshold=threshold) for tab, one in sums.items()}
    if len(types) == 1:
        overall[types[0]] = overall[ALL]
    return Standings(
        systems=systems,
        places=places,
        types=types,
        assessments=_corrected_places(found, systems),
        overall={tab: _corrected_overall(lines, systems) for tab, lines in overall.items()},
        threshold=threshold,
        queries=queries,
        faults=faults,
    )


def _assessed(
    systems: Sequence[System],
    places: Sequence[TaskPlace],
    dense: Mapping[DenseKey, Entry],
    **given: Any,
) -> Iterator[Assessed]:
    """The places one after the other, some at a time: each holds its resamples.

    A thread each, since their products are too small to be shared out well.
    """
    threads = len(os.sched_getaffinity(0))
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(places), threads):
            few = places[start : start + threads]
            yield from pool.map(lambda place: assess(systems, place, dense, **given), few)


def _assignments(systems: Sequence[System]) -> int:
    """Random assignments that tell the smallest p of the largest family from the level by far.

    The smallest p that n assignments can give is 1/(n + 1), and Holm multiplies it by the family.
    """
    comparisons = Counter[str]()
    for system in systems:
        if system.row.kind != "dense":
            comparisons[system.family] += len(system.entries)
    return int(20 * max(comparisons.values(), default=1) / SIGNIFICANCE)


def _type_of(systems: Sequence[System], place: TaskPlace) -> str:
    entries = (system.entries[place] for system in systems if place in system.entries)
    return next((entry.row.task_type for entry in entries if entry.row.task_type), "other")


def _corrected_places(
    found: dict[tuple[int, TaskPlace], Assessment], systems: Sequence[System]
) -> dict[tuple[int, TaskPlace], Assessment]:
    """P-values corrected by Holm: all modes and tasks of a model's configuration are a family."""
    shares = {key: one.share for key, one in found.items() if one.share is not None}
    families = {key: systems[key[0]].family for key in shares}
    corrected = _holm(shares, families)
    return {
        key: replace(one, share=corrected[key]) if key in corrected else one
        for key, one in found.items()
    }


def _corrected_overall(
    lines: Sequence[Overall | None], systems: Sequence[System]
) -> list[Overall | None]:
    shares = {n: one.share for n, one in enumerate(lines) if one is not None and one.share}
    corrected = _holm(shares, {number: systems[number].family for number in shares})
    return [
        replace(one, share=corrected[n]) if one is not None and n in corrected else one
        for n, one in enumerate(lines)
    ]


def _holm(shares: Mapping[K, Share], families: Mapping[K, str]) -> dict[K, Share]:
    members: dict[str, list[K]] = defaultdict(list)
    for key, share in shares.items():
        if share.p is not None:
            members[families[key]].append(key)
    corrected = dict(shares)
    for keys in members.values():
        adjusted = holm(np.array([shares[key].p for key in keys], np.float64))
        for key, p in zip(keys, adjusted, strict=True):
            corrected[key] = replace(shares[key], p=float(p))
    return corrected
