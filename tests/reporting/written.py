"""Results on disk as `harness run` writes them, with literal figures."""

import json

import numpy as np
import pyarrow.parquet as pq

from harness.evaluation.metrics import NAMES, PER_QUERY_FILE, QueryMetrics, per_query_table

ENCODER = {
    side: {
        "weights": "0123",
        "pooling": {"kind": "mean", "include_instruction": True},
        "instruction": ["", ""],
        "side": side,
        "max_length": 256,
        "dtype": "float32",
    }
    for side in ("query", "document")
}
DENSE = {"kind": "dense", "similarity": "cosine"}
BM25 = {"kind": "bm25", "k1": 1.5, "b": 0.75, "method": "lucene"}
SCORES = {"map_at_10": 0.4, "ndcg_at_10": 0.5, "main_score": 0.5}


def write(root, *, mode=DENSE, name=None, model="org/model", task="T", revision="r1", **given):
    """One result as `harness run` writes it; `given` replaces whole parts."""
    name = name or mode["kind"]
    settings = {"version": 1, "mode": mode}
    if mode["kind"] != "bm25":
        settings["encoder"] = ENCODER
    folder = root / model.replace("/", "__") / "m1" / "experiments" / f"{name}-{revision}-abc"
    result = {
        "dataset_revision": revision,
        "task_name": task,
        "scores": given.get("scores", {"test": [{**SCORES, "hf_subset": "default"}]}),
    }
    parts = {
        "experiment": {
            "mode": given.get("experiment_mode", name),
            "model": model,
            "revision": "m1",
            "settings": settings,
            "folder": folder.name,
        },
        "environment": {
            "hardware": {"cpu": "Some CPU", "cores": 2, "gpus": []},
            "commit": {"commit": "0123456789abcdef", "dirty": True},
        },
        "cost": {"test/default": {"documents": 10, "query_flops": 1e6}},
    }
    parts |= {part: given[part] for part in parts if part in given}
    (folder / task).mkdir(parents=True)
    for part, content in parts.items():
        (folder / task / f"{part}.json").write_text(json.dumps(content))
    if "config" in given:
        (folder / task / "config.yaml").write_text(given["config"])
    if "per_query" in given:
        write_per_query(folder / task, given["per_query"])
    path = folder / f"{task}.json"
    path.write_text(json.dumps(result))
    (folder / "model_meta.json").write_text("no JSON")
    return path


def place(**scores):
    return {"test": [{"hf_subset": "default", **scores}]}


def write_per_query(folder, scores, *, metric="ndcg_at_10", split="test", subset="default"):
    """`per_query.parquet` with one metric's values by query id; the others are 0."""
    values = np.zeros((len(scores), len(NAMES)))
    values[:, NAMES.index(metric)] = list(scores.values())
    table = per_query_table(split, subset, QueryMetrics(tuple(scores), values))
    pq.write_table(table, folder / PER_QUERY_FILE)
