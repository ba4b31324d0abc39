"""One figure before and now, and what is to be thought of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from harness.regression.snapshot import System


class Verdict(StrEnum):
    """What became of a figure."""

    EQUAL = "equal"
    BETTER = "better"
    WITHIN = "within"  # worse, by no more than is allowed
    REGRESSION = "regression"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One figure of a baseline beside that of the run.

    Attributes:
        system: The task, the model and the mode.
        place: `split/subset`.
        kind: `quality`, `cost` or `time`.
        figure: The metric, or the figure's name in a cost record, or `latency`.
        baseline: Its value in the baseline, seconds for a time.
        value: Its value in the run.
        allowed: How much worse it may be: in its own units for quality, else as a share.
        p: Corrected p of no difference over the queries; None without such a test.
        verdict: What is thought of it.
        remark: What else tells how it came about; empty for nothing.
    """

    system: System
    place: str
    kind: str
    figure: str
    baseline: float | None
    value: float | None
    allowed: float = 0.0
    p: float | None = None
    verdict: Verdict
    remark: str = ""

    @property
    def alarms(self) -> bool:
        """Whether it is a regression."""
        return self.verdict is Verdict.REGRESSION

    @property
    def difference(self) -> float | None:
        """Run less baseline; None where either is no number."""
        return None if self.baseline is None or self.value is None else self.value - self.baseline

    def flat(self) -> dict[str, Any]:
        """All of it by name, JSON-able."""
        split, _, subset = self.place.partition("/")
        return {
            "model": self.system.model,
            "task": self.system.task,
            "subset": subset,
            "split": split,
            "mode": self.system.mode,
            "kind": self.kind,
            "metric": self.figure,
            "baseline": self.baseline,
            "value": self.value,
            "difference": self.difference,
            "allowed": self.allowed,
            "p": self.p,
            "verdict": self.verdict.value,
            "remark": self.remark,
        }
