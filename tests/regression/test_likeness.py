from dataclasses import replace

import pytest

from harness.regression.likeness import changed_settings, lost, missing, unlike
from tests.regression.conftest import SETTINGS, figures, score, snapshot


def test_the_same_is_alike(one_snapshot):
    assert unlike(one_snapshot, snapshot()) == []
    assert missing(one_snapshot, snapshot()) == []
    assert lost(one_snapshot, snapshot()) == []
    assert changed_settings(one_snapshot, snapshot()) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data_revision": "data2"}, "data revision data1 in the baseline, data2 in the run"),
        ({"model_hash": "bb22"}, "model hash aa11 in the baseline, bb22 in the run"),
        ({"model_hash": None}, "model hash aa11 in the baseline, (none) in the run"),
        (
            {"model_hash": "b" * 64},
            "model hash aa11 in the baseline, bbbbbbbbbbbbbbbb… in the run",
        ),
        (
            {"main_metric": "map_at_10"},
            "metric ndcg_at_10 in the baseline, map_at_10 in the run",
        ),
    ],
)
def test_unlike_things_are_named(one_snapshot, changes, says):
    assert unlike(one_snapshot, snapshot(**changes)) == [says]


def test_everything_that_differs_is_named(one_snapshot):
    other = snapshot(data_revision="data2", model_hash="bb22", main_metric="map_at_10")
    assert len(unlike(one_snapshot, other)) == 3


def test_other_queries_are_unlike(one_snapshot):
    other = snapshot(
        places={"test/default": figures({"ndcg_at_10": score(q1=1.0, q2=0.5, q4=0.0, q5=0.0)})}
    )
    assert unlike(one_snapshot, other) == [
        "queries of ndcg_at_10 at test/default: 1 only in the baseline (q3), 2 only in the run "
        "(q4, q5)"
    ]


def test_settings_are_alike_and_named(one_snapshot):
    encoder = {
        side: {**one, "pooling": {"kind": "cls"}} for side, one in SETTINGS["encoder"].items()
    }
    mode = {"kind": "dense", "similarity": "dot"}
    other = snapshot(settings={"version": 1, "mode": mode, "encoder": encoder, "head": {"k": 1}})
    assert unlike(one_snapshot, other) == []
    assert changed_settings(one_snapshot, other) == [
        "encoder.pooling.kind mean → cls",
        "head.k (none) → 1",
        "mode.similarity cosine → dot",
    ]


def test_places_and_metrics_without_a_baseline(one_snapshot):
    both = {"ndcg_at_10": score(q1=1.0), "recall_at_100": score(q1=1.0)}
    wider = replace(
        one_snapshot, places={"test/default": figures(both), "dev/default": figures(both)}
    )
    assert missing(one_snapshot, wider) == ["place dev/default"]
    assert missing(one_snapshot, wider, ["recall_at_100"]) == [
        "place dev/default",
        "metric recall_at_100",
    ]
    assert lost(wider, one_snapshot) == ["place dev/default", "recall_at_100 of test/default"]


def test_lost_queries_are_counted(one_snapshot):
    fewer = snapshot(places={"test/default": figures({"ndcg_at_10": score(q2=0.5)})})
    assert lost(one_snapshot, fewer) == ["queries of test/default: q1, q3"]
