from harness.regression.check import Verdict
from harness.regression.compare import compare, moved_queries
from harness.regression.quality import QualityRule
from harness.regression.snapshot import PlaceFigures, Score
from tests.regression.conftest import COST, QUERIES, figures, score, snapshot


def with_score(made, **cost):
    return snapshot(places={"test/default": figures({"ndcg_at_10": made}, **cost)})


def told(checks):
    return [(check.kind, check.figure, check.verdict.value) for check in checks]


def test_a_run_that_equals_its_baseline(one_snapshot):
    checks = compare([(one_snapshot, snapshot())], QualityRule())
    assert told(checks) == [
        ("quality", "ndcg_at_10", "equal"),
        ("cost", "query_flops", "equal"),
        ("cost", "scoring_flops_per_query", "equal"),
        ("cost", "corpus_flops", "equal"),
        ("cost", "index_bytes", "equal"),
    ]
    assert not any(check.alarms for check in checks)


def test_one_query_that_fell_and_a_byte_more(one_snapshot):
    now = with_score(score(q1=1.0, q2=0.25, q3=0.0), index_bytes=COST["index_bytes"] + 1)
    quality, *_, size = compare([(one_snapshot, now)], QualityRule())
    assert quality.flat() == {
        "model": "org/model",
        "task": "toy",
        "subset": "default",
        "split": "test",
        "mode": "dense",
        "kind": "quality",
        "metric": "ndcg_at_10",
        "baseline": 0.5,
        "value": 0.41667,
        "difference": 0.41667 - 0.5,
        "allowed": 0.005,
        "p": 1.0,
        "verdict": "regression",
        "remark": "1 of 3 queries fell, 0 rose; most: q2 0.5000 → 0.2500",
    }
    assert (size.figure, size.difference, size.verdict) == ("index_bytes", 1, Verdict.REGRESSION)


def test_a_figure_that_neither_has_is_no_check(one_snapshot):
    counted = with_score(score(**QUERIES), splade_flops=2.5)
    assert "splade_flops" not in {c.figure for c in compare([(one_snapshot,) * 2], QualityRule())}
    (splade,) = (
        check
        for check in compare([(counted, one_snapshot)], QualityRule())
        if check.figure == "splade_flops"
    )
    assert (splade.baseline, splade.value, splade.alarms) == (2.5, None, True)


def test_places_are_told_apart_and_those_of_one_side_left_out():
    def two(*, first, second):
        return snapshot(
            places={"test/de": figures({"ndcg_at_10": first}), second: figures()},
        )

    before = two(first=score(q1=1.0), second="test/en")
    now = two(first=score(q1=0.0), second="test/fr")
    checks = compare([(before, now)], QualityRule())
    assert {check.place for check in checks} == {"test/de"}
    assert [check.figure for check in checks if check.alarms] == ["ndcg_at_10"]


def test_tests_of_all_pairs_are_one_family():
    """Eight queries that fall alike have p near 2/2⁸; beside nine others ten times as much."""
    before, fell = (score(**{f"q{n}": value for n in range(8)}) for value in (0.5, 0.497))
    pair = with_score(before), with_score(fell)
    same = with_score(before), with_score(before)
    alone = compare([pair], QualityRule())[0]
    among = compare([pair, *[same] * 9], QualityRule())[0]
    assert alone.verdict is Verdict.REGRESSION
    assert among.verdict is Verdict.WITHIN
    assert among.p == 10 * alone.p


def test_a_metric_that_a_run_lost_is_a_regression(one_snapshot):
    now = snapshot(places={"test/default": PlaceFigures({}, COST)})
    check = compare([(one_snapshot, now)], QualityRule())[0]
    assert (check.figure, check.value, check.alarms) == ("ndcg_at_10", None, True)


def test_tasks_without_values_of_single_queries_have_the_tolerance_alone():
    before, now = with_score(Score(0.8, {})), with_score(Score(0.79, {}))
    check = compare([(before, now)], QualityRule())[0]
    assert (check.p, check.remark, check.alarms) == (None, "", True)


def test_moved_queries():
    before = Score(0.5, {"b": 1.0, "a": 0.5, "c": 0.0})
    assert moved_queries(before, before) == ""
    assert moved_queries(before, Score(0.5, {"a": 1.0, "b": 0.25, "c": 0.0})) == (
        "1 of 3 queries fell, 1 rose; most: b 1.0000 → 0.2500"
    )
    assert moved_queries(before, Score(0.5, {"a": 1.0})) == ""
