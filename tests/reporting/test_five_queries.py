"""Five queries worked by hand: the same figures in every format.

nDCG@10 of the queries a to e, and a mode beside dense:

    dense   1    0.5  0    1    0.5   mean 0.60
    sparse  1    0.5  0.5  0    0.4   mean 0.48, 80 % of dense; 1 win, 2 ties, 2 losses
    bm25    0    0    1    0    0.5   mean 0.30

Of the 8 assignments of signs to the differences 0.5, -1 and -0.1, whose sum is -0.6, six sum to 0.6
in size or to more: all but 0.5 - 1 + 0.1 and its opposite. Two comparisons would double p; there is
one. The bootstrap has 5^5 equally likely resamples, which are all drawn here.
"""

import csv
import io
import itertools
import json
import re
from datetime import date

import numpy as np
import pandas as pd
import pytest

from harness.reporting.collect import collect
from harness.reporting.leaderboard import leaderboard, write_leaderboard, write_results_table
from harness.reporting.payload import payload
from harness.reporting.tidy import TidyResults
from tests.reporting.written import BM25, DENSE, place, write

QUERIES = "abcde"
SCORES = {
    "dense": [1, 0.5, 0, 1, 0.5],
    "sparse": [1, 0.5, 0.5, 0, 0.4],
    "bm25": [0, 0, 1, 0, 0.5],
}
MEANS = {"dense": 0.6, "sparse": 0.48, "bm25": 0.3}
MODES = {
    "dense": DENSE,
    "sparse": {"kind": "aligned_sparse", "doc_top_k": 8, "query_expansion": 0},
    "bm25": BM25,
}
COSTS = {  # corpus FLOPs 2,000 in all; a query's FLOPs; index bytes
    "dense": (2000.0, 900.0, 4096),
    "sparse": (3000.0, 10.0, 2048),
    "bm25": (0.0, 5.0, 1024),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    for mode, scores in SCORES.items():
        corpus, query, index = COSTS[mode]
        cost = {
            **{"documents": 10, "queries": 5, "corpus_flops": corpus, "query_flops": query},
            **{"index_bytes": index, "latency_p50_ms": 1.5},
        }
        write(
            root,
            mode=MODES[mode],
            name=mode,
            model="baseline/bm25s" if mode == "bm25" else "org/model",
            scores=place(ndcg_at_10=MEANS[mode], map_at_10=0.01, main_score=MEANS[mode]),
            cost={"test/default": cost},
            per_query=dict(zip(QUERIES, scores, strict=True)),
        )
    return root


@pytest.fixture(scope="module")
def found(folder):
    return leaderboard(collect(folder), title="Five queries", today=date(2024, 2, 29))


@pytest.fixture(scope="module")
def written(found, tmp_path_factory):
    target = tmp_path_factory.mktemp("leaderboard")
    write_leaderboard(found, target, pages={})
    return target


def every_resample():
    draws = np.array(list(itertools.product(range(5), repeat=5)))
    dense, sparse = (np.array(SCORES[mode])[draws].mean(axis=1) for mode in ("dense", "sparse"))
    ratio = sparse[dense > 0] / dense[dense > 0]
    # Few values are possible, so that the quantile of 10,000 draws may be the next one.
    low, high = [2.0, 3.0], [97.0, 98.0]
    return {
        "low": np.percentile(sparse, low),
        "high": np.percentile(sparse, high),
        "ratio_low": np.percentile(ratio, low),
        "ratio_high": np.percentile(ratio, high),
    }


@pytest.fixture(scope="module")
def lines(written):
    rows = csv.DictReader(io.StringIO((written / "leaderboard.csv").read_text()))
    return {row["mode"]: row for row in rows}


def test_csv(lines):
    sparse = lines["sparse"]
    assert float(sparse["value"]) == 0.48
    assert float(sparse["ratio"]) == pytest.approx(0.8, abs=1e-12)
    assert (sparse["wins"], sparse["ties"], sparse["losses"]) == ("1", "2", "2")
    assert float(sparse["p"]) == pytest.approx(0.75, abs=0.015)
    for name, (least, most) in every_resample().items():
        assert least - 1e-6 <= float(sparse[name]) <= most + 1e-6, name
    assert float(sparse["ratio_low"]) < 0.8 < float(sparse["ratio_high"])
    assert sparse["verdict"] == "undecided"
    assert float(sparse["document_flops"]) == 300
    assert float(sparse["total_flops"]) == 3000 + 10 * 1_000_000
    assert [lines[mode]["wins"] for mode in ("dense", "bm25")] == ["", ""]
    assert [lines[mode]["ratio"] for mode in ("dense", "bm25")] == ["1.0", ""]


def shown(lines):
    """The line of the sparse mode as it is shown, from the figures in full."""
    row = {name: lines["sparse"][name] for name in lines["sparse"]}
    interval = f"[{float(row['low']):.4f}, {float(row['high']):.4f}]"
    share = f"80.0 % [{100 * float(row['ratio_low']):.1f}, {100 * float(row['ratio_high']):.1f}]"
    return [
        *("0.4800", interval, "a", share, "undecided", f"{float(row['p']):.4f}", "1/2/2"),
        *("10.0", "300", "1.50", "–", "2.00 KiB", "–"),
    ]


# FLOPs of the corpus and a million queries: 3,000 + 10 million, and dense's 2,000 + 900 million.
COST = ["–", "–", "–", "–", "10.0 (1.11 %)", "10.0 M (1.11 %)", "2.00 KiB (50 %)"]
COST += ["1.50 (100 %)", "–", "–", "–", "FLOPs, bytes"]


def test_markdown(written, lines):
    text = (written / "leaderboard.md").read_text()
    quality, cost = (
        [cell.replace("\\", "") for cell in line.strip("| ").split(" | ")]
        for line in text.splitlines()
        if "| sparse |" in line
    )
    assert quality[0] == cost[0] == "2"
    assert quality[4:] == shown(lines)
    assert cost[4:] == COST


def test_latex(written, lines):
    text = (written / "leaderboard.tex").read_text()
    quality, cost = (
        [cell.strip("{} ") for cell in line.removesuffix(r" \\").split(" & ")]
        for line in text.splitlines()
        if "{sparse}" in line
    )
    for cells, expected in ((quality, shown(lines)), (cost, COST)):
        assert cells[:3] == ["2", "model", "sparse"]
        assert cells[3:] == [cell.replace("%", r"\%").replace("–", "--") for cell in expected]
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 2


def test_page(written, lines):
    text = (written / "index.html").read_text()
    *_, table = (part for part in text.split("<table")[1:] if "nDCG@10" in part)
    (row,) = (row for row in re.split(r"<tr[ >]", table) if ">sparse<" in row)
    cells = [" ".join(cell.split()) for cell in re.findall(r">([^<>]+)<", row) if cell.strip()]
    for cell in (
        "0.4800",
        "undecided",
        "1 / 2 / 2",
        "300",
        "10.0 M",
        "1.11 % of dense",
        "2.00 KiB",
    ):
        assert cell in cells, (cell, cells)
    ends = [f"{100 * float(lines['sparse'][name]):.1f}" for name in ("ratio_low", "ratio_high")]
    assert any("80.0 %" in cell for cell in cells)
    assert all(any(end in cell for cell in cells) for end in ends), (ends, cells)


def test_payload(found, lines):
    data = payload(
        found.standings,
        found.boards,
        pages={},
        title=found.title,
        summary=found.summary,
        today=found.today,
    )
    json.dumps(data, allow_nan=False)
    systems = {system["mode"]: system["id"] for system in data["systems"]}
    (cell,) = (cell for cell in data["cells"] if cell["system"] == systems["sparse"])
    assert cell["value"] == 0.48
    assert cell["ratio"]["value"] == pytest.approx(0.8, abs=1e-12)
    outcomes = {name: cell["ratio"][name] for name in ("wins", "ties", "losses")}
    assert outcomes == {"wins": 1, "ties": 2, "losses": 2}
    assert cell["ratio"]["low"] == float(lines["sparse"]["ratio_low"])
    assert cell["front"] == ["query_flops", "index_bytes"]
    assert cell["costs"]["total_flops"] == 3000 + 10 * 1_000_000
    assert cell["cost_shares"]["total_flops"] == pytest.approx(10_003_000 / 900_002_000)
    (system,) = (one for one in data["systems"] if one["mode"] == "sparse")
    assert system["mean"] == {"all": 0.48, "other": 0.48}
    assert system["ratio"]["all"]["tasks"] == 1
    assert system["rank"]["all"] == 2


def test_parquet(folder, tmp_path):
    tidy = TidyResults(folder)
    collect(folder, each=tidy.add)
    frame = pd.read_parquet(write_results_table(tidy.table(), tmp_path))
    assert len(frame) == 6
    row = frame[(frame["mode"] == "sparse") & (frame["metric"] == "ndcg_at_10")].iloc[0]
    assert row["value"] == 0.48
    assert row["cost.query_flops"] == 10
    assert row["setting.mode.doc_top_k"] == 8
    assert row["setting.encoder.document.pooling.kind"] == "mean"
    values = pd.read_parquet(folder / row["per_query"])["ndcg_at_10"]
    assert values.tolist() == SCORES["sparse"]
    assert json.loads((folder / row["result"]).read_text())["task_name"] == row["task"] == "T"
