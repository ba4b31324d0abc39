"""What a study says: the Pareto front, the setting that one collection chooses, how it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.statistics.bootstrap import paired_interval
from harness.statistics.significance import holm, paired_randomisation

SETTINGS = (
    *("head", "transform", "doc_top_k", "query_expansion", "doc_weight", "doc_norm"),
    *("literal_share", "query_weight"),
)


def choose(points: pd.DataFrame, per_query: NDArray[np.float32], *, most_flops: float) -> int:
    """The setting that a collection chooses: the smallest index that is as good as the best one.

    Only settings count that run no model for a query and whose scoring takes at most `most_flops`
    of dense scoring. As good means: the mean is within one standard error of the paired difference.

    Args:
        points: One row a setting of one collection: runs_model, flops_share, index_bytes.
        per_query: Their scores, (settings, queries).
        most_flops: Of dense scoring FLOPs.

    Returns:
        The row's number; -1 where no setting counts.
    """
    counts = ~points["runs_model"].to_numpy(bool)
    counts &= points["flops_share"].to_numpy() <= most_flops
    if not counts.any():
        return -1
    rows = np.flatnonzero(counts)
    scores = per_query[rows].astype(np.float64)
    means = scores.mean(axis=1)
    differences = scores[np.argmax(means)] - scores
    count = scores.shape[1]
    errors = np.zeros(len(rows))  # one query shows no spread
    if count > 1:
        errors = differences.std(axis=1, ddof=1) / np.sqrt(count)
    good = rows[differences.mean(axis=1) <= errors]
    costs = points.iloc[good]
    order = np.lexsort((good, costs["flops_share"], costs["index_bytes"]))
    return int(good[order[0]])


def transfer_table(
    chosen: Mapping[str, pd.Series],
    points: pd.DataFrame,
    scores: Mapping[str, NDArray[np.float32]],
    dense: Mapping[str, NDArray[np.float64]],
    *,
    seed: int,
) -> pd.DataFrame:
    """Each named setting on every collection, as a share of dense with its 95 % interval.

    Args:
        chosen: Where a setting comes from, to its settings.
        points: All points of all collections; `row` is a point's row in its collection's scores.
        scores: Collection to its points' scores, (settings, queries).
        dense: Collection to dense scores, (queries,).
        seed: Of the bootstraps.
    """
    rows = []
    for origin, setting in chosen.items():
        same = np.logical_and.reduce([points[name] == setting[name] for name in SETTINGS])
        for _, point in points[same].iterrows():
            task = point["task"]
            own = scores[task][int(point["row"])].astype(np.float64)
            low, high = paired_interval(own, dense[task], seed=seed)
            rows.append(
                {
                    "chosen_on": origin,
                    "task": task,
                    **{name: setting[name] for name in SETTINGS},
                    "ndcg": point["ndcg"],
                    "ratio": point["ratio"],
                    "low": low,
                    "high": high,
                    "flops_share": point["flops_share"],
                    "index_bytes": point["index_bytes"],
                }
            )
    return pd.DataFrame(rows)


def differences_table(
    task: str, pairs: Mapping[tuple[str, str], tuple[NDArray[Any], NDArray[Any]]], *, seed: int
) -> pd.DataFrame:
    """Paired randomisation tests of modes on one collection, corrected by Holm's method.

    Args:
        task: The collection.
        pairs: (mode, other mode) to their per-query scores.
        seed: Of the random swaps.
    """
    p_values = [paired_randomisation(a, b, seed=seed) for a, b in pairs.values()]
    corrected = holm(np.array(p_values))
    return pd.DataFrame(
        [
            {
                "task": task,
                "mode": mode,
                "against": other,
                "ndcg": float(np.mean(a)),
                "difference": float(np.mean(a) - np.mean(b)),
                "p": p,
                "p_holm": adjusted,
            }
            for ((mode, other), (a, b)), p, adjusted in zip(
                pairs.items(), p_values, corrected, strict=True
            )
        ]
    )
