"""The tidy table of literal results, read back with pandas."""

import json

import pandas as pd
import pytest

from harness.reporting.collect import collect
from harness.reporting.leaderboard import write_results_table
from harness.reporting.official import OfficialFile
from harness.reporting.tidy import TidyResults, flattened
from tests.reporting.written import BM25, place, write


def frame_of(root, target, *official):
    tidy = TidyResults(root)
    collect(root, each=tidy.add)
    for file in official:
        tidy.add_official(file)
    return pd.read_parquet(write_results_table(tidy.table(), target))


def test_every_metric_of_every_place_is_a_row(tmp_path):
    scores = {
        "test": [
            {"hf_subset": "de", "ndcg_at_10": 0.2, "map_at_10": 0.1, "main_score": 0.2},
            {"hf_subset": "en", "ndcg_at_10": 0.4, "map_at_10": 0.3, "main_score": 0.4},
        ],
        "dev": [{"hf_subset": "de", "ndcg_at_10": 0.6, "main_score": 0.6}],
    }
    cost = {"test/en": {"query_flops": 7, "documents": 3}}
    config = "model:\n  name: org/model\n  adapters: [a, b]\nbackend:\n  token_budget: 512\n"
    write(tmp_path, scores=scores, cost=cost, config=config)
    frame = frame_of(tmp_path, tmp_path / "out")
    values = frame.set_index(["split", "subset", "metric"])["value"]
    assert values.to_dict() == {
        ("test", "de", "ndcg_at_10"): 0.2,
        ("test", "de", "map_at_10"): 0.1,
        ("test", "en", "ndcg_at_10"): 0.4,
        ("test", "en", "map_at_10"): 0.3,
        ("dev", "de", "ndcg_at_10"): 0.6,
    }
    assert frame["cost.query_flops"].dropna().tolist() == [7, 7]
    assert frame["config.backend.token_budget"].unique().tolist() == [512]
    assert frame["config.model.adapters"].unique().tolist() == ["a, b"]
    assert frame["setting.encoder.document.max_length"].unique().tolist() == [256]
    assert frame["hardware.cpu"].unique().tolist() == ["Some CPU"]
    assert frame["commit"].unique().tolist() == ["0123456789abcdef"]
    assert frame["per_query"].isna().all()


def test_settings_that_a_result_does_not_have_are_absent(tmp_path):
    write(tmp_path)
    write(tmp_path, mode=BM25, model="baseline/bm25s")
    frame = frame_of(tmp_path, tmp_path / "out").set_index("kind")
    assert frame.loc["bm25", "setting.mode.k1"].tolist() == [1.5, 1.5]
    assert frame.loc["dense", "setting.mode.k1"].isna().all()
    assert frame.loc["bm25", "setting.encoder.document.dtype"].isna().all()


def test_the_main_metric_is_marked(tmp_path):
    path = write(tmp_path)
    file = path.with_suffix("") / "experiment.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "main_metric": "map_at_10"}))
    frame = frame_of(tmp_path, tmp_path / "out")
    assert frame.set_index("metric")["main"].to_dict() == {"map_at_10": True, "ndcg_at_10": False}


def test_official_results_stand_in_the_same_table(tmp_path):
    write(tmp_path / "ours")
    file = tmp_path / "T.json"
    file.write_text(
        json.dumps(
            {
                "task_name": "T",
                "dataset_revision": "d",
                "mteb_version": "1.12.75",
                "scores": place(ndcg_at_10=0.7, map_at_10=float("nan"), main_score=0.7),
            }
        )
    )
    official = OfficialFile(file, "org/other", "r")
    frame = frame_of(tmp_path / "ours", tmp_path / "out", official)
    theirs = frame[frame["source"] == "mteb"].set_index("metric")
    assert theirs.loc["ndcg_at_10", ["model", "revision", "value", "main"]].tolist() == [
        *("org/other", "r", 0.7, True)
    ]
    assert pd.isna(theirs.loc["map_at_10", "value"])
    assert theirs["mode"].isna().all()


def test_numbers_too_large_for_any_float_are_refused_when_read(tmp_path):
    write(tmp_path)
    write(tmp_path, task="U", cost={"test/default": {"documents": 10**400, "query_flops": 1.0}})
    tidy = TidyResults(tmp_path)
    collection = collect(tmp_path, each=tidy.add)
    assert len(collection.unreadable) == 1
    assert set(tidy.table()["task"].to_pylist()) == {"T"}


@pytest.mark.parametrize(
    ("nested", "flat"),
    [
        ({}, {}),
        ({"a": {"b": {"c": 1}}, "d": None}, {"p.a.b.c": 1, "p.d": None}),
        ({"a": [1, "x"], "b": True}, {"p.a": "1, x", "p.b": True}),
    ],
)
def test_nested_names_are_joined(nested, flat):
    assert flattened("p", nested) == flat


def test_half_a_surrogate_pair_does_not_spoil_the_table(tmp_path):
    environment = {"hardware": {"cpu": "Some CPU", "cores": 2, "os": "\ud800"}}
    write(tmp_path, environment=environment)
    frame = frame_of(tmp_path, tmp_path / "out")
    assert frame["hardware.os"].unique().tolist() == ["\\ud800"]
