"""The ablation of training stages: its modes and tables, from scores and embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.config import (
    AlignedSparseConfig,
    Bm25Config,
    DenseConfig,
    HybridConfig,
    RetrievalConfig,
)
from harness.errors import BadInputError
from harness.statistics.bootstrap import paired_interval
from harness.statistics.significance import holm, paired_randomisation
from harness.statistics.verdict import verdict

if TYPE_CHECKING:
    from harness.analysis.spectrum import SpectrumOf

M = TypeVar("M", bound=RetrievalConfig)

DENSE, BM25, HYBRID, HYBRID_SPARSE = "dense", "bm25", "hybrid", "hybrid_sparse"
SUMMARY = ("task", "stage", "attention", "pooling")


def sparse_mode(expansion: int) -> str:
    """The name of aligned sparse retrieval with an M."""
    return f"aligned_sparse_m{expansion}"


def stage_modes(
    configured: Mapping[str, RetrievalConfig], expansions: Sequence[int]
) -> dict[str, RetrievalConfig]:
    """The modes that a stage is judged by, by name; fusions after what they fuse.

    Args:
        configured: A run's modes: the first of each kind gives its settings, else the defaults do.
        expansions: Each M of aligned sparse retrieval; the first one's ranking is fused too.
    """
    sparse = _first(configured, AlignedSparseConfig())
    fusion = _first(configured, HybridConfig())
    if len(fusion.modes) != 2:
        fusion = replace(fusion, weights=None)
    return {
        DENSE: _first(configured, DenseConfig()),
        **{sparse_mode(m): replace(sparse, query_expansion=m) for m in expansions},
        HYBRID: replace(fusion, modes=[DENSE, BM25]),
        HYBRID_SPARSE: replace(fusion, modes=[DENSE, sparse_mode(expansions[0])]),
        BM25: _first(configured, Bm25Config()),
    }


def modes_table(
    scores: Mapping[str, NDArray[np.float64]], *, threshold: float, seed: int
) -> pd.DataFrame:
    """Modes of one stage on one collection beside dense; a row each, dense first.

    Args:
        scores: Mode to nDCG@10 of each query.
        threshold: Share of dense that is to be reached.
        seed: Of resamples and swaps.

    Returns:
        Columns mode, ndcg, share (of dense), low and high (its 95 % interval by the paired
        bootstrap), verdict, difference (from dense) and p (of none, by paired randomisation); of
        dense itself the last five are absent.
    """
    dense = scores[DENSE]
    mean = float(dense.mean())
    rows = []
    for mode, own in scores.items():
        row: dict[str, object] = {"mode": mode, "ndcg": float(own.mean())}
        row["share"] = float(own.mean()) / mean if mean else float("nan")
        if mode == DENSE:
            absent = dict.fromkeys(("low", "high", "difference", "p"), float("nan"))
            rows.append({**row, **absent, "verdict": ""})
            continue
        low, high = paired_interval(own, dense, seed=seed)
        rows.append(
            {
                **row,
                "low": low,
                "high": high,
                "verdict": verdict(low, high, threshold),
                "difference": float(own.mean()) - mean,
                "p": paired_randomisation(own, dense, seed=seed),
            }
        )
    names = ["mode", "ndcg", "share", "low", "high", "verdict", "difference", "p"]
    return pd.DataFrame(rows, columns=names)


def with_holm(modes: pd.DataFrame) -> pd.DataFrame:
    """With `p_holm`: p corrected by Holm's method, all stages' tests of a task together."""
    corrected = pd.Series(np.nan, modes.index)
    for _, part in modes[modes["p"].notna()].groupby("task", sort=False):
        corrected[part.index] = holm(part["p"].to_numpy(np.float64))
    return modes.assign(p_holm=corrected)


def variation_row(found: SpectrumOf, stage: str) -> dict[str, object]:
    """How far a stage moved the texts along the first stage's u_1, and how far elsewhere.

    Args:
        found: Of the first stage's embeddings (h) and the stage's (ĥ), of the same texts.
        stage: For messages.

    Returns:
        `v_1`, the mean of (ĥ - h)·u_1; `v_1_share`, its square as a share of the squared length of
        the mean of ĥ - h, which is the sum of all directions' squares; `largest_other`, the
        largest |v_j| of the further directions that were asked for.

    Raises:
        BadInputError: If the embeddings are not numbers.
    """
    assert found.embedder is not None
    moved = found.embedder.mean(axis=0, dtype=np.float64)
    moved -= found.backbone.mean(axis=0, dtype=np.float64)
    if not np.isfinite(moved).all():
        raise BadInputError(
            f"the embeddings of stage {stage} hold NaN or infinity; check its weights, or use "
            "backend.dtype=float32"
        )
    squared = float(moved @ moved)
    others = np.abs(found.table["variation"].to_numpy(np.float64)[1:])
    return {
        "v_1": found.first_variation,
        "v_1_share": found.first_variation**2 / squared if squared else float("nan"),
        "largest_other": float(others.max()) if len(others) else float("nan"),
    }


def summary_table(
    modes: pd.DataFrame, rates: pd.DataFrame, variations: pd.DataFrame, expansions: Sequence[int]
) -> pd.DataFrame:
    """One row a stage and task, of its own setting: what the ablation says at a glance.

    Args:
        modes: See `Stages`.
        rates: See `Stages`; those of documents are taken.
        variations: See `Stages`.
        expansions: Each M of aligned sparse retrieval.

    Returns:
        Columns task, stage, attention, pooling; dense, nDCG@10; hit, lar and gar of documents; v_1
        and v_1_share; sparse_mM and hybrid, hybrid_sparse and bm25, as shares of dense.
    """
    keys = list(SUMMARY)
    table = modes[modes["mode"] == DENSE][[*keys, "ndcg"]].rename(columns={"ndcg": "dense"})
    of_documents = rates[rates["side"] == "document"]
    wide = of_documents.pivot_table(index=["task", "stage"], columns="metric", values="value")
    table = table.merge(
        wide.reindex(columns=["hit", "lar", "gar"]).reset_index(), on=["task", "stage"], how="left"
    )
    table = table.merge(variations[["task", "stage", "v_1", "v_1_share"]], on=["task", "stage"])
    shares = modes.pivot_table(index=["task", "stage"], columns="mode", values="share")
    named = {sparse_mode(m): f"sparse_m{m}" for m in expansions}
    named |= {name: name for name in (HYBRID, HYBRID_SPARSE, BM25)}
    shares = shares.reindex(columns=list(named)).rename(columns=named).reset_index()
    return table.merge(shares, on=["task", "stage"], how="left")


def by_pooling(dense: pd.DataFrame) -> pd.DataFrame:
    """The grid with a column for each pooling, and a row for each stage and attention."""
    poolings = list(dict.fromkeys(dense["pooling"]))
    keys = ["task", "stage", "attention"]
    rows = [
        {
            **dict(zip(keys, key, strict=True)),
            **dict(zip(part["pooling"], part["ndcg"], strict=True)),
        }
        for key, part in dense.groupby(keys, sort=False)
    ]
    return pd.DataFrame(rows, columns=[*keys, *poolings])


def _first(configured: Mapping[str, RetrievalConfig], default: M) -> M:
    """The first mode of the default's kind."""
    kind = type(default)
    return next((mode for mode in configured.values() if isinstance(mode, kind)), default)
