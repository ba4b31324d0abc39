from harness.regression.changes import change_lines
from harness.regression.compare import compare
from harness.regression.quality import QualityRule
from tests.regression.conftest import COST, figures, score, snapshot


def lines(old, new):
    return change_lines(old, new, compare([(old, new)], QualityRule()) if old else [])


def test_a_new_baseline_has_its_values(one_snapshot):
    assert lines(None, one_snapshot) == ["new: ndcg_at_10 test/default 0.5000"]


def test_no_change_is_no_line(one_snapshot):
    assert lines(one_snapshot, snapshot()) == []


def test_old_and_new_are_told(one_snapshot):
    new = snapshot(
        data_revision="data2",
        settings={"version": 1},
        places={
            "test/default": figures(
                {"ndcg_at_10": score(q1=1.0, q2=0.25, q3=0.0)}, index_bytes=COST["index_bytes"] - 1
            )
        },
    )
    told = lines(one_snapshot, new)
    assert told[0] == "other: data revision data1 in the baseline, data2 in the run"
    assert told[1] == "setting: encoder.pooling.kind mean → (none)"
    assert told[-2:] == [
        "test/default nDCG@10 0.5000 → 0.4167 (-0.0833, worse than a comparison would allow); "
        "1 of 3 queries fell, 0 rose; most: q2 0.5000 → 0.2500",
        "test/default index bytes 317,944 → 317,943 (-0.0003 %)",
    ]


def test_fewer_queries_places_and_metrics_are_said():
    both = {"ndcg_at_10": score(q1=1.0, q2=0.0), "map_at_10": score(q1=1.0, q2=0.0)}
    old = snapshot(places={"test/default": figures(both), "dev/default": figures()})
    new = snapshot(places={"test/default": figures({"ndcg_at_10": score(q1=1.0)})})
    told = lines(old, new)
    assert told[:3] == [
        "fewer: the baseline no longer has place dev/default",
        "fewer: the baseline no longer has queries of test/default: q2",
        "fewer: the baseline no longer has map_at_10 of test/default",
    ]
