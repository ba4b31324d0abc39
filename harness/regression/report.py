"""A comparison with baselines, whole: the checks, and what a reader must know besides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.regression.check import Check, Verdict
from harness.regression.compare import compare
from harness.regression.likeness import changed_settings, lost
from harness.regression.matching import Matches
from harness.regression.quality import QualityRule
from harness.regression.snapshot import System
from harness.regression.words import counted
from harness.text import listed

if TYPE_CHECKING:
    from harness.evaluation.rows import ResultRow

_NOT_RUN = "not in this run, or not finished by it"


@dataclass(frozen=True)
class Report:
    """What a comparison came to.

    Attributes:
        checks: Every figure that was compared.
        skipped: Baselines that were not, and why.
        notes: What explains a difference or limits what was compared, one line each.
    """

    checks: list[Check]
    skipped: list[tuple[System, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def alarms(self) -> list[Check]:
        """The regressions."""
        return [check for check in self.checks if check.alarms]


def report_on(matches: Matches, rule: QualityRule, *, cost_tolerance: float = 0.0) -> Report:
    """Compare what can be compared, see `compare`; name what is not, and settings that differ."""
    notes = []
    for phrase, modes in _by_phrase(matches).items():
        notes.append(f"{phrase} ({listed(modes)})")
    checks = compare(matches.pairs, rule, cost_tolerance=cost_tolerance)
    better = sum(check.verdict is Verdict.BETTER for check in checks)
    if better:
        notes.append(
            f"better than the baseline: {counted(better, 'figure')}; without update=true they may "
            "fall back to it unnoticed"
        )
    if matches.unused:
        named = listed([str(system) for system in matches.unused])
        notes.append(f"baselines {_NOT_RUN}: {named}")
    return Report(checks, [(system, _NOT_RUN) for system in matches.unused], notes)


def older_results(
    rows: Iterable[ResultRow], *, commit: str, computed: int, texts_read: int
) -> list[str]:
    """What may be another code's and so cannot show what this one does.

    Args:
        rows: The run's figures.
        commit: Of the code, as rows have it: empty when unknown, with `+` when it was changed, so
            that nobody knows whether what was kept is of the same code.
        computed: (task, mode) pairs that this run evaluated.
        texts_read: Texts whose embeddings the store had.
    """
    certain = commit and not commit.endswith("+")
    kept = [
        row.commit or "an unknown commit"
        for row in rows
        if row.kept and row.main and not (certain and row.commit == commit)
    ]
    notes = []
    if kept:
        notes.append(
            f"kept, and computed at {listed(sorted(set(kept)))}: {counted(len(kept), 'result')}; "
            "what code that has changed since does is seen with results_dir=NEW store_dir=NEW"
        )
    if computed and texts_read:
        notes.append(
            f"read from the store, whichever code computed them: {counted(texts_read, 'embedding')}"
            "; store_dir=NEW encodes with this one"
        )
    return notes


def _by_phrase(matches: Matches) -> dict[str, list[str]]:
    """Settings that differ, places that were not asked for: each with the modes it is true of."""
    phrases: dict[str, list[str]] = {}
    for baseline, now in matches.pairs:
        found: Sequence[str] = [
            *(f"setting {line}" for line in changed_settings(baseline, now)),
            *(f"not compared, not in this run: {what}" for what in lost(baseline, now)),
        ]
        for phrase in found:
            phrases.setdefault(phrase, []).append(f"{now.system.task}, {now.system.mode}")
    return phrases
