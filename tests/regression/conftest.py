"""Snapshots of three queries, worked by hand."""

from dataclasses import replace

import pytest

from harness.regression.snapshot import PlaceFigures, Score, Snapshot, System

QUERIES = {"q1": 1.0, "q2": 0.5, "q3": 0.0}
COST = {
    "query_flops": 1298.792,
    "scoring_flops_per_query": 1298.792,
    "corpus_flops": 0.0,
    "splade_flops": None,
    "index_bytes": 317944,
}
SETTINGS = {
    "version": 1,
    "mode": {"kind": "dense", "similarity": "cosine"},
    "encoder": {
        side: {"weights": "aa11", "pooling": {"kind": "mean"}, "side": side}
        for side in ("query", "document", "symmetric")
    },
}


def score(**queries):
    return Score(round(sum(queries.values()) / len(queries), 5), queries)


def figures(scores=None, **cost):
    return PlaceFigures(scores or {"ndcg_at_10": score(**QUERIES)}, COST | cost)


def snapshot(*, task="toy", model="org/model", mode="dense", places=None, **changes):
    made = Snapshot(
        system=System(task, model, mode),
        data_revision="data1",
        model_hash="aa11",
        main_metric="ndcg_at_10",
        settings=SETTINGS,
        places=places or {"test/default": figures()},
    )
    return replace(made, **changes)


def many(values):
    """A score of as many queries as there are values."""
    return score(**{f"q{number:03}": float(value) for number, value in enumerate(values)})


@pytest.fixture
def one_snapshot():
    return snapshot()
