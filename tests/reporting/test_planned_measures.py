"""Measured figures of stored results; those of a real run are read in `commands/test_plan.py`."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.config import AlignedSparseConfig
from harness.reporting import planned_measures
from harness.reporting.planned_measures import measured_mfu, measured_shared_terms

MODE = {"kind": "aligned_sparse", "doc_top_k": 256, "query_expansion": 0}


@pytest.fixture
def results(monkeypatch):
    """Adds the main row of a result to a made-up folder."""
    entries = []

    def collect(folder):
        assert folder == results.folder
        return SimpleNamespace(entries=entries)

    def results(task, mode, **cost):
        row = SimpleNamespace(
            model="org/model", task=task, split="test", subset="default", hardware="GPU", cost=cost
        )
        entries.append(SimpleNamespace(row=row, record={"mode": mode}))

    results.folder = Path("made-up")
    monkeypatch.setattr(planned_measures, "collect", collect)
    return results


def test_common_terms_weigh_by_queries(results):
    results("a", MODE, splade_flops=2.0, queries=30)
    results("b", MODE, splade_flops=4.0, queries=10)
    results("b", {**MODE, "doc_top_k": 64}, splade_flops=9.0, queries=10)
    results("a", {"kind": "dense", "similarity": "cosine"}, splade_flops=None, queries=30)
    mean, where = measured_shared_terms(results.folder, "org/model", AlignedSparseConfig())
    assert (mean, where) == (2.5, "40 queries of a, b")


def test_no_result_of_that_kind(results, refusal):
    results("a", MODE, splade_flops=2.0, queries=30)
    other = AlignedSparseConfig(doc_top_k=32)
    says = refusal(lambda: measured_shared_terms(results.folder, "org/model", other))
    assert "doc_top_k=32" in says
    assert "postings=zipf" in says
    says = refusal(lambda: measured_shared_terms(results.folder, "org/none", AlignedSparseConfig()))
    assert "org/none" in says


def test_the_share_of_the_peak_weighs_by_time(results, refusal):
    results("a", MODE, mfu=0.5, encode_seconds=30.0)
    results("a", {"kind": "dense", "similarity": "cosine"}, mfu=0.5, encode_seconds=30.0)
    results("b", MODE, mfu=0.1, encode_seconds=10.0)
    results("c", MODE, mfu=None, encode_seconds=None)
    share, where = measured_mfu(results.folder, "org/model")
    assert share == pytest.approx(0.4)
    assert where == "2 passes on GPU"
    assert "hardware.mfu=0.4" in refusal(lambda: measured_mfu(results.folder, "org/none"))
