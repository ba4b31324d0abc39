import pytest

from harness.errors import BadInputError
from harness.regression.baselines import baseline_path, write_baseline
from harness.regression.matching import match, read_baselines, refusal
from tests.regression.conftest import figures, score, snapshot


def by_system(*snapshots):
    return {one.system: one for one in snapshots}


def test_like_is_set_beside_like():
    dense, bm25 = snapshot(), snapshot(model="baseline/bm25s", mode="bm25")
    matches = match(by_system(dense, bm25), [bm25, dense])
    assert matches.pairs == [(bm25, bm25), (dense, dense)]
    assert (matches.unlike, matches.missing, matches.unused) == ({}, {}, [])
    assert refusal(matches) == ""


def test_unlike_things_are_refused_by_name():
    run = [snapshot(data_revision="data2"), snapshot(mode="hybrid", data_revision="data2")]
    matches = match(by_system(snapshot(), snapshot(mode="hybrid")), run)
    assert matches.pairs == []
    assert refusal(matches) == (
        "not compared: toy (dense, hybrid): data revision data1 in the baseline, data2 in the run; "
        "update=true writes baselines of this run"
    )


def test_what_has_no_baseline_is_refused_by_name():
    both = {"ndcg_at_10": score(q1=1.0), "recall_at_100": score(q1=1.0)}
    known = snapshot(places={"test/default": figures({"ndcg_at_10": score(q1=1.0)})})
    run = [snapshot(places={"test/default": figures(both)}), snapshot(task="other")]
    assert match(by_system(known), run[:1]).pairs == [(known, run[0])]
    matches = match(by_system(known), run, asked=["recall_at_100"])
    assert refusal(matches) == (
        "not compared: toy (dense): no metric recall_at_100 in the baseline | "
        "other (dense): no baseline; update=true writes baselines of this run"
    )


def test_baselines_without_a_run_are_named_and_not_refused():
    gone = snapshot(mode="gone")
    matches = match(by_system(snapshot(), gone), [snapshot()])
    assert matches.unused == [gone.system]
    assert refusal(matches) == ""


def test_a_folder_s_baselines(tmp_path):
    for one in (snapshot(), snapshot(mode="bm25"), snapshot(task="other")):
        write_baseline(baseline_path(tmp_path, one.system), one)
    (tmp_path / "times-some-cpu-1a2b3c4d.json").write_text("no baseline of quality")
    assert {str(system) for system in read_baselines(tmp_path)} == {
        "toy, org/model, dense",
        "toy, org/model, bm25",
        "other, org/model, dense",
    }


@pytest.mark.parametrize("made", [True, False])
def test_no_baseline_at_all_is_refused(tmp_path, refusal, made):
    folder = tmp_path / "baselines"
    if made:
        folder.mkdir()
    message = refusal(lambda: read_baselines(folder))
    assert "holds no baseline" in message
    assert "update=true" in message


def test_a_baseline_in_the_place_of_another_is_refused(tmp_path):
    one = snapshot()
    write_baseline(baseline_path(tmp_path, snapshot(mode="bm25").system), one)
    with pytest.raises(BadInputError, match="is the baseline of toy, org/model, dense"):
        read_baselines(tmp_path)
