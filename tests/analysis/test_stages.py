"""The tables of the ablation of training stages, from literal figures."""

import numpy as np
import pandas as pd
import pytest

from harness.analysis.spectrum import SpectrumOf
from harness.analysis.stages import (
    by_pooling,
    modes_table,
    stage_modes,
    summary_table,
    variation_row,
    with_holm,
)
from harness.config import AlignedSparseConfig, Bm25Config, DenseConfig, HybridConfig
from harness.statistics.bootstrap import paired_interval
from harness.statistics.significance import paired_randomisation

NAN = float("nan")


def test_modes_have_the_defaults_and_fusions_come_after_their_parts():
    modes = stage_modes({}, [0, 16])
    assert modes == {
        "dense": DenseConfig(),
        "aligned_sparse_m0": AlignedSparseConfig(query_expansion=0),
        "aligned_sparse_m16": AlignedSparseConfig(query_expansion=16),
        "hybrid": HybridConfig(modes=["dense", "bm25"]),
        "hybrid_sparse": HybridConfig(modes=["dense", "aligned_sparse_m0"]),
        "bm25": Bm25Config(),
    }


def test_the_first_mode_of_each_kind_gives_its_settings():
    configured = {
        "mine": AlignedSparseConfig(doc_top_k=8, query_expansion=3),
        "other": AlignedSparseConfig(doc_top_k=9),
        "near": DenseConfig(similarity="dot"),
        "words": Bm25Config(k1=2.0),
        "fused": HybridConfig(modes=["near", "words"], weights=[1, 3], depth=20),
    }
    modes = stage_modes(configured, [4])
    assert modes["dense"].similarity == "dot"
    assert modes["bm25"].k1 == 2.0
    sparse = modes["aligned_sparse_m4"]
    assert (sparse.doc_top_k, sparse.query_expansion) == (8, 4)
    assert (modes["hybrid"].weights, modes["hybrid"].depth) == ([1, 3], 20)
    assert modes["hybrid_sparse"].modes == ["dense", "aligned_sparse_m4"]


def test_weights_of_three_parts_are_left_out():
    fused = HybridConfig(modes=["a", "b", "c"], weights=[1, 2, 3], fusion="rrf")
    hybrid = stage_modes({"fused": fused}, [0])["hybrid"]
    assert (hybrid.weights, hybrid.fusion) == (None, "rrf")


def test_modes_stand_beside_dense():
    rng = np.random.default_rng(0)
    dense = rng.uniform(0.4, 1, 40)
    scores = {"dense": dense, "good": 0.95 * dense, "poor": 0.5 * dense, "noise": dense[::-1] * 0.8}
    table = modes_table(scores, threshold=0.8, seed=3).set_index("mode")
    assert table["verdict"].to_dict() == {
        "dense": "",
        "good": "reached",
        "poor": "not reached",
        "noise": "undecided",
    }
    assert table["share"].tolist() == pytest.approx([1, 0.95, 0.5, 0.8])
    assert table.loc["dense", ["low", "high", "difference", "p"]].isna().all()
    for mode in ("good", "poor", "noise"):
        row = table.loc[mode]
        assert (row["low"], row["high"]) == paired_interval(scores[mode], dense, seed=3)
        assert row["p"] == paired_randomisation(scores[mode], dense, seed=3)
        assert row["difference"] == pytest.approx(scores[mode].mean() - dense.mean())


def test_another_threshold_gives_another_verdict():
    scores = {"dense": np.full(5, 0.5), "half": np.full(5, 0.25)}
    assert modes_table(scores, threshold=0.4, seed=0)["verdict"].tolist() == ["", "reached"]
    assert modes_table(scores, threshold=0.6, seed=0)["verdict"].tolist() == ["", "not reached"]


def test_dense_that_finds_nothing_has_no_shares():
    table = modes_table({"dense": np.zeros(3), "a": np.ones(3)}, threshold=0.8, seed=0)
    assert table["share"].isna().all()


def test_holm_corrects_all_tests_of_a_task_together():
    modes = pd.DataFrame(
        {"task": ["x"] * 4 + ["y"] * 2, "p": [NAN, 0.01, 0.04, 0.02, NAN, 0.04]},
    )
    corrected = with_holm(modes)["p_holm"]
    assert corrected.tolist() == pytest.approx([NAN, 0.03, 0.04, 0.04, NAN, 0.04], nan_ok=True)


def found(backbone, embedder, variations):
    directions = np.eye(3, dtype=np.float32)
    table = pd.DataFrame({"variation": variations})
    return SpectrumOf(backbone, embedder, directions, table, variations[0], 0.0)


def test_the_share_of_v_1_is_of_the_whole_movement():
    backbone = np.zeros((2, 3), np.float32)
    embedder = np.array([[2, 4, 0], [4, 0, 8]], np.float32)  # the mean: 3, 2, 4
    row = variation_row(found(backbone, embedder, [3.0, 2.0, -4.0]), "x")
    assert row == {"v_1": 3.0, "v_1_share": pytest.approx(9 / 29), "largest_other": 4.0}


def test_a_stage_that_moved_nothing_has_no_share():
    same = np.ones((2, 3), np.float32)
    row = variation_row(found(same, same, [0.0]), "x")
    assert row["v_1"] == 0
    assert np.isnan(row["v_1_share"])
    assert np.isnan(row["largest_other"])


def test_embeddings_that_are_no_numbers_are_refused(refusal):
    backbone, embedder = np.ones((2, 3), np.float32), np.full((2, 3), np.nan, np.float32)
    message = refusal(lambda: variation_row(found(backbone, embedder, [NAN]), "simcse"))
    assert message == (
        "the embeddings of stage simcse hold NaN or infinity; check its weights, or use "
        "backend.dtype=float32"
    )


def grid():
    keys = [("x", "s"), ("x", "t")]
    rows = [
        (task, stage, attention, pooling)
        for task, stage in keys
        for attention in ("causal", "bidirectional")
        for pooling in ("mean", "eos")
    ]
    table = pd.DataFrame(rows, columns=["task", "stage", "attention", "pooling"])
    return table.assign(ndcg=np.arange(8) / 10, own=False)


def test_the_grid_has_a_column_each_pooling():
    wide = by_pooling(grid())
    assert wide.columns.tolist() == ["task", "stage", "attention", "mean", "eos"]
    assert wide.to_numpy().tolist() == [
        ["x", "s", "causal", 0.0, 0.1],
        ["x", "s", "bidirectional", 0.2, 0.3],
        ["x", "t", "causal", 0.4, 0.5],
        ["x", "t", "bidirectional", 0.6, 0.7],
    ]


def test_the_summary_takes_documents_rates_and_shares_and_keeps_the_order():
    names = ["dense", "aligned_sparse_m0", "hybrid", "hybrid_sparse", "bm25"]
    modes = pd.DataFrame(
        [
            ("x", stage, "causal", "mean", mode, number / 10, number + start)
            for start, stage in ((0, "z"), (10, "a"))
            for number, mode in enumerate(names, 1)
        ],
        columns=["task", "stage", "attention", "pooling", "mode", "ndcg", "share"],
    )
    rates = pd.DataFrame(
        [
            ("x", stage, side, metric, value)
            for stage, add in (("z", 0), ("a", 0.5))
            for side, base in (("document", 0.1), ("query", 0.2))
            for metric, value in (("hit", base + add), ("lar", 0.01 + add), ("gar", 0.02 + add))
        ],
        columns=["task", "stage", "side", "metric", "value"],
    )
    variations = pd.DataFrame(
        {"task": "x", "stage": ["z", "a"], "v_1": [0.0, -2.0], "v_1_share": [NAN, 0.5]}
    )
    table = summary_table(modes, rates, variations, [0])
    assert table.columns.tolist() == [
        *("task", "stage", "attention", "pooling", "dense", "hit", "lar", "gar", "v_1"),
        *("v_1_share", "sparse_m0", "hybrid", "hybrid_sparse", "bm25"),
    ]
    first, second = table.to_dict(orient="records")
    assert (first["stage"], second["stage"]) == ("z", "a")
    assert (second["dense"], second["hit"], second["lar"], second["gar"]) == (0.1, 0.6, 0.51, 0.52)
    assert (second["v_1"], second["v_1_share"]) == (-2.0, 0.5)
    shares = [second[name] for name in ("sparse_m0", "hybrid", "hybrid_sparse", "bm25")]
    assert shares == [12, 13, 14, 15]
