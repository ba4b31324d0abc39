"""The settings of `harness regress`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from harness.components import at_least, one_of, require
from harness.config.commands import RunConfig


@dataclass(kw_only=True)
class RegressConfig(RunConfig):
    """`harness regress`: a run, and how it is compared with `baselines_dir`.

    Attributes:
        update: Whether baselines are written instead of compared with.
        tolerance: The largest fall of a metric that may pass, in its own units.
        tolerances: Metric to its own tolerance; None for none.
        noise_floor: A fall up to this is rounding, whatever the paired test says.
        significance: Largest corrected p of the paired test that counts as significant.
        cost_tolerance: The largest rise of a counted cost that may pass, as a share.
        times: `auto` compares latencies where this hardware has a time baseline, `measure` also
            makes one with `update`, `skip` leaves times alone.
        time_threshold: The largest rise of a median latency that may pass, as a share.
        time_spread: Combined standard errors of the medians that may pass, where they are more.
        times_json: A file for the run's latencies in pytest-benchmark's format; None for none.
        junit: A file for the checks as JUnit XML; None for none.
        markdown: A file for them as GitHub-flavoured Markdown; None for none.
    """

    update: bool = False
    tolerance: float = 0.005
    tolerances: dict[str, Any] | None = None
    noise_floor: float = 0.001
    significance: float = 0.01
    cost_tolerance: float = 0.0
    times: str = "auto"
    time_threshold: float = 0.2
    time_spread: float = 3.0
    times_json: str | None = None
    junit: str | None = None
    markdown: str | None = None

    def __post_init__(self) -> None:
        """See `RunConfig`."""
        super().__post_init__()
        for name in ("tolerance", "noise_floor", "cost_tolerance", "time_threshold", "time_spread"):
            at_least(name, getattr(self, name), 0)
        for metric, tolerance in (self.tolerances or {}).items():
            require(
                isinstance(tolerance, int | float)
                and not isinstance(tolerance, bool)
                and math.isfinite(tolerance)
                and tolerance >= 0,
                f"tolerances.{metric}={tolerance!r} must be a number of at least 0",
            )
        require(
            0 < self.significance < 1, f"significance={self.significance} must be between 0 and 1"
        )
        one_of("times", self.times, ("auto", "measure", "skip"))
        for name in ("times_json", "junit", "markdown"):
            file = getattr(self, name)
            require(file is None or bool(file.strip()), f"{name} is empty; give a file, or null")
        require(
            not self.update or (self.junit is None and self.markdown is None),
            "junit= and markdown= tell of a comparison; leave them out with update=true",
        )
        asked = self.times == "measure" or self.times_json is not None
        require(
            self.times != "skip" or self.times_json is None,
            "times_json= measures latencies and times=skip does not; leave one of them out",
        )
        require(
            not asked or self.cost.latency_queries > 0,
            "latencies are to be measured and cost.latency_queries=0 times no query; raise it",
        )
