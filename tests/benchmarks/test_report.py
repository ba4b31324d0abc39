"""A leaderboard of 1,000 results on 50 tasks, and its intervals against a loop over SciPy's."""

import numpy as np
import pytest
from omegaconf import OmegaConf
from scipy.stats import bootstrap

from harness.commands.report import report
from harness.cost.comparison import compare
from harness.statistics.paired import paired_figures
from tests.benchmarks.many_results import write_many

SYSTEMS, TASKS, QUERIES = 20, 50, 300
ROUNDS = 3

pytestmark = pytest.mark.slow


@pytest.mark.benchmark(group="report")
def test_a_thousand_results(benchmark, tmp_path):
    """Everything that `harness report` writes: tables, page, figures, a page for each system."""
    write_many(tmp_path / "results", SYSTEMS, TASKS, QUERIES)
    settings = OmegaConf.create(
        {"results_dir": str(tmp_path / "results"), "leaderboards_dir": str(tmp_path / "out")}
    )
    assert benchmark.pedantic(report, (settings,)) == 0
    lines = (tmp_path / "out" / "leaderboard.csv").read_text().count("\n")
    assert lines == 1 + SYSTEMS * TASKS


@pytest.mark.benchmark(group="report")
def test_intervals(benchmark, keep):
    """Means, ratios to dense, their intervals and tests, all systems of a task at once."""
    rng = np.random.default_rng(0)
    values = np.clip(rng.random((QUERIES, 1)) + rng.normal(0, 0.2, (QUERIES, SYSTEMS)), 0, 1)
    reference = np.array([-1, *[0] * (SYSTEMS - 1)])

    def ours():
        return paired_figures(values, reference)

    def scipy():
        return [
            bootstrap(
                (values[:, system], values[:, 0]),
                lambda a, b, axis=-1: a.mean(axis=axis) / b.mean(axis=axis),
                paired=True,
                method="percentile",
                n_resamples=10_000,
                rng=np.random.default_rng(0),
            ).confidence_interval
            for system in range(1, SYSTEMS)
        ]

    found, expected = ours(), scipy()
    widths = found.share_high[1:] - found.share_low[1:]
    assert np.abs(found.share_low[1:] - [one.low for one in expected]).max() < 0.1 * widths.min()
    comparison = compare({"ours": ours, "scipy": scipy}, rounds=ROUNDS, warmup=0)
    keep(
        comparison.ratios["scipy"],
        what=f"intervals and tests of {SYSTEMS} systems, {QUERIES} queries",
        peer="SciPy's bootstrap of the ratios alone, system by system",
        at_least=1.0,
    )
    benchmark.pedantic(ours)
