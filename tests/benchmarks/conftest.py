"""What the benchmarks share: how large they are, and what is kept beside the timings."""

import csv
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
def documents(scifact: Path, text_count: int) -> dict[str, str]:
    """Title and text of SciFact's documents by id: a sample of so many, or all."""
    lines = (scifact / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    rows = np.arange(len(lines))
    if text_count:
        rows = np.sort(np.random.default_rng(0).choice(len(lines), text_count, replace=False))
    entries = [json.loads(lines[row]) for row in rows]
    return {each["_id"]: f"{each['title']} {each['text']}".strip() for each in entries}


@pytest.fixture(scope="session")
def judgements(scifact: Path) -> dict[str, dict[str, int]]:
    """SciFact's grades: query id to document id to grade."""
    grades: dict[str, dict[str, int]] = {}
    with (scifact / "qrels" / "test.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            grades.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    return grades


@pytest.fixture(scope="session")
def queries(scifact: Path, judgements: dict[str, dict[str, int]]) -> dict[str, str]:
    """The texts of the judged queries by id."""
    lines = (scifact / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    texts = {each["_id"]: each["text"] for each in map(json.loads, lines)}
    return {query: texts[query] for query in judgements}


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
