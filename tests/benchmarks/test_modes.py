"""`harness run` with four modes, against dense alone and against four runs with their own stores.

Each run is a process with an empty store, on SciFact or as many of its documents as are asked for.
What every mode costs by itself is not measured in these runs.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cost.comparison import compare

ROUNDS = 2
ALONE = {  # what a run with one mode has to name
    "dense": ["dense"],
    "aligned_sparse": ["aligned_sparse"],
    "hybrid": ["dense", "bm25", "hybrid"],
    "bm25": ["bm25"],
}
REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def collection(scifact, judgements, text_count, tmp_path_factory):
    """A folder in BEIR's format: judged documents, and others up to the number that is wanted."""
    if not text_count:
        return scifact
    folder = tmp_path_factory.mktemp("collections") / "scifact"
    lines = (scifact / "corpus.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    relevant = set().union(*judgements.values())
    lines.sort(key=lambda line: json.loads(line)["_id"] not in relevant)
    folder.mkdir()
    kept = lines[: max(text_count, len(relevant))]
    (folder / "corpus.jsonl").write_text("".join(kept), encoding="utf-8")
    for name in ("queries.jsonl", "qrels"):
        (folder / name).symlink_to(scifact / name)
    return folder


@pytest.fixture(scope="module")
def run(collection, tmp_path_factory):
    """Runs some modes with an empty store: the main metric of each."""

    def scores(*modes):
        place = tmp_path_factory.mktemp("run")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "harness", "run", "tasks=folder"),
                f"tasks.path={collection}",
                f"retrieval=[{','.join(modes)}]",
                *("cost=off", "format=json"),
                f"results_dir={place / 'results'}",
                f"store_dir={place / 'store'}",
            ],
            check=True,
            cwd=REPOSITORY,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return {row["mode"]: row["value"] for row in rows}

    return scores


@pytest.mark.benchmark(group="modes of one run")
def test_four_runs(benchmark, keep, run):
    found = {}

    def together():
        found["together"] = run(*ALONE)

    def separately():
        found["separately"] = {mode: run(*modes)[mode] for mode, modes in ALONE.items()}

    timed = {"together": together, "separately": separately}
    comparison = compare(timed, rounds=ROUNDS, warmup=0)
    assert found["together"] == found["separately"]
    keep(
        comparison.ratios["separately"],
        what="harness run, four modes",
        peer="four runs, a mode and a store each",
    )
    benchmark.pedantic(together)


@pytest.mark.benchmark(group="modes of one run")
def test_dense_alone(benchmark, keep, run):
    def alone():
        return run("dense")

    comparison = compare({"together": lambda: run(*ALONE), "dense": alone}, rounds=ROUNDS, warmup=0)
    keep(
        comparison.ratios["dense"],
        what="harness run, four modes",
        peer="dense alone",
    )
    benchmark.pedantic(alone)
