from harness.evaluation.rows import ResultRow
from harness.regression.matching import match
from harness.regression.quality import QualityRule
from harness.regression.report import older_results, report_on
from tests.regression.conftest import figures, score, snapshot


def test_settings_and_what_was_not_compared_are_noted():
    settings = {"version": 1, "mode": {"kind": "dense", "similarity": "dot"}}
    wide = {"test/default": figures(), "dev/default": figures()}
    baselines = [
        snapshot(settings={"version": 1, "mode": {"kind": "dense", "similarity": "cosine"}}),
        snapshot(mode="hybrid", places=wide),
        snapshot(mode="gone"),
    ]
    run = [snapshot(settings=settings), snapshot(mode="hybrid")]
    report = report_on(match({one.system: one for one in baselines}, run), QualityRule())
    assert report.notes == [
        "setting mode.similarity cosine → dot (toy, dense)",
        "not compared, not in this run: place dev/default (toy, hybrid)",
        "baselines not in this run, or not finished by it: toy, org/model, gone",
    ]
    assert report.skipped == [(baselines[2].system, "not in this run, or not finished by it")]
    assert report.alarms == []
    assert len(report.checks) == 10


def test_alarms_are_the_checks_that_alarm():
    fell = snapshot(places={"test/default": figures({"ndcg_at_10": score(q1=0.0, q2=0.5, q3=0.0)})})
    report = report_on(match({fell.system: snapshot()}, [fell]), QualityRule())
    assert [check.figure for check in report.alarms] == ["ndcg_at_10"]


def test_what_is_better_is_noted():
    rose = score(q1=1.0, q2=0.75, q3=0.0)
    now = snapshot(places={"test/default": figures({"ndcg_at_10": rose}, index_bytes=5)})
    (note,) = report_on(match({now.system: snapshot()}, [now]), QualityRule()).notes
    assert note.startswith("better than the baseline: 2 figures; without update=true ")


def row(**changes):
    known = {"model": "m", "task": "t", "subset": "s", "split": "s", "mode": "m", "kind": "dense"}
    return ResultRow(**known | {"metric": "x", "value": 1.0, "kept": True} | changes)


def test_results_of_this_very_code_need_no_note():
    rows = [row(commit="abc"), row(commit="old", kept=False), row(commit="old", main=False)]
    assert older_results(rows, commit="abc", computed=0, texts_read=7) == []


def test_results_that_may_be_of_other_code_are_noted():
    rows = [row(commit="abc"), row(commit="old"), row(commit="")]
    assert older_results(rows, commit="abc", computed=0, texts_read=0) == [
        "kept, and computed at an unknown commit, old: 2 results; what code that has changed since "
        "does is seen with results_dir=NEW store_dir=NEW"
    ]
    (changed,) = older_results([row(commit="abc+")], commit="abc+", computed=0, texts_read=0)
    assert changed.startswith("kept, and computed at abc+: 1 result; ")


def test_embeddings_from_the_store_are_noted_where_they_were_used():
    assert older_results([], commit="abc", computed=2, texts_read=1500) == [
        "read from the store, whichever code computed them: 1,500 embeddings; "
        "store_dir=NEW encodes with this one"
    ]
