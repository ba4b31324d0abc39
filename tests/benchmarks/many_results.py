"""Results of many systems on many tasks, as `harness run` writes them, with random scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from harness.evaluation.metrics import NAMES, PER_QUERY_FILE, QueryMetrics, per_query_table

COLUMN = NAMES.index("ndcg_at_10")


def write_many(root: Path, systems: int, tasks: int, queries: int, *, seed: int = 0) -> None:
    """Write results of half dense and half sparse systems, each pair of one model's configuration.

    Args:
        root: The results folder.
        systems: How many.
        tasks: How many.
        queries: Of each task.
        seed: Of the scores.
    """
    rng = np.random.default_rng(seed)
    difficulty = rng.random((tasks, queries))
    ids = tuple(f"query-{number}" for number in range(queries))
    for system in range(systems):
        model, sparse = f"org/model-{system // 2:04d}", system % 2
        side = {
            **{"weights": f"{system // 2:064x}", "pooling": {"kind": "mean"}, "max_length": 512},
            **{"instruction": {"pieces": ["", ""], "strip": "none"}, "dtype": "float32"},
        }
        mode = {"kind": "dense", "similarity": "cosine"}
        if sparse:
            mode = {"kind": "aligned_sparse", "doc_top_k": 256, "query_expansion": 0}
        settings = {"version": 1, "mode": mode}
        settings["encoder"] = {name: {**side, "side": name} for name in ("query", "document")}
        folder = root / model.replace("/", "__") / "r1" / "experiments" / f"{mode['kind']}-abc"
        config = _config(model)
        for task in range(tasks):
            noise = rng.normal(0, 0.2, queries) - 0.1 * sparse
            values = np.zeros((queries, len(NAMES)))
            values[:] = np.clip(difficulty[task] + noise, 0, 1)[:, None]
            _write(folder, f"Task{task:03d}", model, mode, settings, config, values, ids)


def _write(folder, task, model, mode, settings, config, values, ids):
    details = folder / task
    details.mkdir(parents=True)
    scores = {name: float(mean) for name, mean in zip(NAMES, values.mean(axis=0), strict=True)}
    place = {"hf_subset": "default", "languages": ["eng-Latn"], **scores}
    place["main_score"] = scores["ndcg_at_10"]
    result = {"dataset_revision": "r", "task_name": task, "mteb_version": "2.26.24"}
    parts = {
        details / "experiment.json": {
            **{"mode": mode["kind"], "model": model, "revision": "r1", "settings": settings},
            **{"folder": folder.name, "main_metric": "ndcg_at_10", "task_type": "Retrieval"},
        },
        details / "environment.json": {
            "hardware": {"cpu": "Some CPU", "cores": 2, "gpus": []},
            "commit": {"commit": "0123456789abcdef", "dirty": False},
        },
        details / "cost.json": {
            "test/default": {
                **{"documents": 5000, "queries": len(ids), "corpus_flops": 2.9e13},
                **{"query_flops": 5e8, "index_bytes": 7_961_088, "latency_p50_ms": 9.0},
            }
        },
        folder / f"{task}.json": {**result, "scores": {"test": [place]}},
    }
    (details / "config.yaml").write_text(config)
    table = per_query_table("test", "default", QueryMetrics(ids, values))
    pq.write_table(table, details / PER_QUERY_FILE, compression="zstd")
    for path, content in parts.items():
        path.write_text(json.dumps(content))


def _config(model):
    groups = {"model": ("name", model), "pooling": ("kind", "mean"), "head": ("kind", "ridge")}
    return "".join(f"{group}:\n  {name}: {value}\n" for group, (name, value) in groups.items())
