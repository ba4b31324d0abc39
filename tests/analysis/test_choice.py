"""The choice and the tables by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.choice import (
    SETTINGS,
    choose,
    differences_table,
    transfer_table,
)
from harness.statistics.bootstrap import paired_interval
from harness.statistics.significance import holm, paired_randomisation


def points_of(*rows):
    """Rows of (runs_model, flops_share, index_bytes)."""
    return pd.DataFrame(rows, columns=["runs_model", "flops_share", "index_bytes"])


def test_the_smallest_index_within_one_standard_error_of_the_best_is_chosen():
    """The best mean is 0.6; differences of 0.1 have errors of 0.1 and of 0, of 0.05 one of 0.03."""
    best = [0.4, 0.8, 0.6, 0.6]
    scores = np.array(
        [
            best,
            [0.4, 0.4, 0.6, 0.6],  # differences 0, 0.4, 0, 0: mean 0.1, error 0.1
            [0.3, 0.7, 0.5, 0.5],  # 0.1 throughout: error 0
            [0.3, 0.7, 0.6, 0.6],  # mean 0.05, error sqrt(1/300)/2 = 0.0289
        ],
        np.float32,
    )
    rows = points_of((False, 0.01, 900), (False, 0.01, 500), (False, 0.01, 10), (False, 0.01, 20))
    assert choose(rows, scores, most_flops=0.05) == 1


def test_settings_that_cost_too_much_do_not_count():
    scores = np.array([[0.9, 0.9], [0.8, 0.8], [0.7, 0.7]], np.float32)
    rows = points_of((True, 0.01, 1), (False, 0.06, 1), (False, 0.05, 1))
    assert choose(rows, scores, most_flops=0.05) == 2
    assert choose(rows, scores, most_flops=0.06) == 1
    assert choose(rows, scores, most_flops=0.04) == -1
    assert choose(rows.assign(runs_model=True), scores, most_flops=1) == -1


def test_of_equal_indexes_the_cheaper_one_then_the_first_is_chosen():
    scores = np.full((4, 3), 0.5, np.float32)
    rows = points_of((False, 0.2, 5), (False, 0.1, 5), (False, 0.1, 5), (False, 0.0, 6))
    assert choose(rows, scores, most_flops=1) == 1


@pytest.mark.filterwarnings("error")
def test_one_query_shows_no_spread_so_that_the_best_is_chosen():
    scores = np.array([[0.4], [0.9], [0.9], [0.8]], np.float32)
    rows = points_of((False, 0.01, 1), (False, 0.01, 9), (False, 0.01, 7), (False, 0.01, 1))
    assert choose(rows, scores, most_flops=1) == 2


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 5))
def test_something_is_chosen_wherever_something_counts(seed, settings, queries):
    rng = np.random.default_rng(seed)
    scores = rng.random((settings, queries)).astype(np.float32)
    rows = points_of(*((False, 0.01, int(size)) for size in rng.integers(1, 5, settings)))
    number = choose(rows, scores, most_flops=0.05)
    best = scores.mean(axis=1).argmax()
    assert rows["index_bytes"][number] <= rows["index_bytes"][best]


def test_a_setting_on_every_collection():
    first = dict(zip(SETTINGS, ("ridge", "none", 8, 0, "raw", "none", 0.0, "idf"), strict=True))
    second = first | {"doc_top_k": 16}
    points = pd.DataFrame(
        [
            {"task": task, **setting, "row": row, "ndcg": ndcg, "ratio": ndcg / 0.5,
             "flops_share": share, "index_bytes": size}
            for task, setting, row, ndcg, share, size in (
                ("a", first, 0, 0.25, 0.01, 80),
                ("a", second, 1, 0.5, 0.02, 160),
                ("b", second, 0, 0.75, 0.03, 320),
                ("b", first, 1, 1.0, 0.04, 640),
            )
        ]
    )  # fmt: skip
    scores = {
        "a": np.array([[0, 0.5], [0.5, 0.5]], np.float32),
        "b": np.array([[0.5, 1.0], [1, 1]], np.float32),
    }
    dense = {"a": np.array([0.5, 0.5]), "b": np.array([0.25, 0.75])}
    chosen = {"default": points.iloc[0], "a": points.iloc[1]}
    table = transfer_table(chosen, points, scores, dense, seed=3)
    assert list(table.columns) == [
        *("chosen_on", "task", *SETTINGS, "ndcg", "ratio", "low", "high"),
        *("flops_share", "index_bytes"),
    ]
    rows = table[["chosen_on", "task", "doc_top_k", "ndcg", "flops_share", "index_bytes"]]
    assert rows.to_numpy().tolist() == [
        ["default", "a", 8, 0.25, 0.01, 80],
        ["default", "b", 8, 1.0, 0.04, 640],
        ["a", "a", 16, 0.5, 0.02, 160],
        ["a", "b", 16, 0.75, 0.03, 320],
    ]
    expected = paired_interval(scores["b"][1].astype(np.float64), dense["b"], seed=3)
    assert tuple(table.loc[1, ["low", "high"]]) == expected
    assert tuple(table.loc[2, ["low", "high"]]) == (1.0, 1.0)  # equal to dense, query by query


def test_nothing_chosen_is_an_empty_table():
    assert len(transfer_table({}, pd.DataFrame(), {}, {}, seed=0)) == 0


def test_differences_are_tested_in_pairs_and_corrected_together():
    rng = np.random.default_rng(0)
    dense = rng.random(40)
    sparse, lexical = dense + rng.normal(0.1, 0.1, 40), dense + rng.normal(0, 0.3, 40)
    pairs = {
        ("sparse", "dense"): (sparse, dense),
        ("bm25", "dense"): (lexical, dense),
        ("sparse", "bm25"): (sparse, lexical),
    }
    table = differences_table("tales", pairs, seed=7)
    assert table["task"].unique().tolist() == ["tales"]
    assert [*zip(table["mode"], table["against"], strict=True)] == list(pairs)
    for row, (first, second) in zip(table.to_dict(orient="records"), pairs.values(), strict=True):
        assert row["ndcg"] == pytest.approx(first.mean())
        assert row["difference"] == pytest.approx(first.mean() - second.mean())
        assert row["p"] == paired_randomisation(first, second, seed=7)
    np.testing.assert_allclose(table["p_holm"], holm(table["p"].to_numpy()))
    assert table["p_holm"][0] < 0.001
    assert len(differences_table("tales", {}, seed=0)) == 0
