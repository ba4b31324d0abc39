"""Literal tables of two stages, as an ablation of training stages gives them."""

import pandas as pd

from harness.analysis.stages_run import Stages

NAN = float("nan")
MODES = ("dense", "aligned_sparse_m0", "hybrid", "bm25")


def dense_of(tasks, stages):
    rows = [
        (task, stage, attention, pooling, 0.1 + 0.1 * number, (attention, pooling) == own)
        for task in tasks
        for stage, own in stages.items()
        for attention in ("causal", "bidirectional")
        for number, pooling in enumerate(("eos", "mean"))
    ]
    columns = ["task", "stage", "attention", "pooling", "ndcg", "own"]
    return pd.DataFrame(rows, columns=columns)


def stages_of(*tasks, first="causal", second="mntp", text="a cat"):
    """Two stages on tasks."""
    tasks = tasks or ("tales",)
    stages = {first: ("causal", "mean"), second: ("bidirectional", "mean")}
    keys = [(task, stage) for task in tasks for stage in stages]
    modes = pd.DataFrame(
        [
            (task, stage, *stages[stage], mode, 0.4 + 0.1 * n, 1 + n / 4, 0.9 + n / 4, 1.1 + n / 4)
            for task, stage in keys
            for n, mode in enumerate(MODES)
        ],
        columns=[
            *("task", "stage", "attention", "pooling", "mode", "ndcg", "share", "low", "high"),
        ],
    )
    modes = modes.assign(verdict="reached", difference=0.1, p=0.25, p_holm=0.5)
    modes.loc[modes["mode"] == "dense", ["low", "high", "difference", "p", "p_holm"]] = NAN
    modes.loc[modes["mode"] == "dense", "verdict"] = ""
    rates = pd.DataFrame(
        [
            (task, stage, side, 4, 10, metric, value, value - 0.1, value + 0.1)
            for task, stage in keys
            for side in ("document", "query")
            for metric, value in (("hit", 0.9), ("lar", 0.5), ("gar", 0.3))
        ],
        columns=["task", "stage", "side", "texts", "k", "metric", "value", "low", "high"],
    )
    variations = pd.DataFrame(
        [
            (task, stage, 4, v, share, other, "the and", 0.75)
            for task in tasks
            for stage, v, share, other in zip(
                stages, (0.0, -2.5), (NAN, 0.625), (0.0, 0.5), strict=True
            )
        ],
        columns=[
            *("task", "stage", "texts", "v_1", "v_1_share", "largest_other", "direction", "energy"),
        ],
    )
    tokens = pd.DataFrame(
        [
            (task, stage, "q1", text, rank, rank, token, 3.0 - rank, token == "cat")
            for task, stage in keys
            for rank, token in enumerate(("cat", stage), 1)
        ],
        columns=["task", "stage", "id", "text", "rank", "term", "token", "weight", "literal"],
    )
    summary = pd.DataFrame(
        [
            (task, stage, *stages[stage], 0.4, 0.9, 0.5, 0.3, -2.5, 0.625, 1.25, 1.5, 1.6, 1.75)
            for task, stage in keys
        ],
        columns=[
            *("task", "stage", "attention", "pooling", "dense", "hit", "lar", "gar", "v_1"),
            *("v_1_share", "sparse_m0", "hybrid", "hybrid_sparse", "bm25"),
        ],
    )
    return Stages(summary, dense_of(tasks, stages), modes, rates, variations, tokens)
