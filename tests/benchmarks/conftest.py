"""What the benchmarks share: how large they are, and what is kept beside the timings."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from harness.cost.comparison import Ratio
from harness.cost.hardware import device_name


def pytest_benchmark_update_machine_info(config, machine_info):
    """The machine as the harness's own tables name it."""
    machine_info["device"] = device_name("cpu")


@pytest.fixture(scope="session")
def text_count() -> int:
    """Texts that are encoded, from HARNESS_BENCH_TEXTS; 0 stands for whole collections."""
    return int(os.environ.get("HARNESS_BENCH_TEXTS", "400"))


@pytest.fixture(scope="session")
def scifact(shared: Path) -> Path:
    """SciFact in BEIR's format."""
    folder = shared / "data" / "beir" / "scifact"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


@pytest.fixture(scope="session")
def documents(scifact: Path, text_count: int) -> list[str]:
    """Documents of SciFact, title and text: a sample of so many, or all."""
    lines = (scifact / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    rows = np.arange(len(lines))
    if text_count:
        chosen = np.random.default_rng(0).choice(len(lines), text_count, replace=False)
        rows = np.sort(chosen)
    entries = [json.loads(lines[row]) for row in rows]
    return [f"{entry['title']} {entry['text']}".strip() for entry in entries]


@pytest.fixture
def keep(benchmark):
    """Puts a ratio beside what pytest-benchmark times, as `summary.py` reads it.

    Args of what it does: the ratio, or a number that has no interval; `what` is compared, its
    `peer`, what the ratio is `of`; `at_least` or `at_most`, the bar if there is one.
    """

    def kept(ratio: Ratio | float, *, what, peer, of="peer's time / ours", **bar: float):
        if not isinstance(ratio, Ratio):
            ratio = Ratio(value=ratio, low=ratio, high=ratio)
        benchmark.extra_info.update(
            what=what, peer=peer, of=of, ratio=ratio.value, low=ratio.low, high=ratio.high, **bar
        )

    return kept
