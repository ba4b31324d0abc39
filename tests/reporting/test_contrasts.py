"""Two runs on the tasks of both, and what is refused."""

import numpy as np
import pytest

from harness.reporting.contrasts import contrast_runs
from harness.statistics.significance import holm
from tests.reporting.stored import FIRST, PLACE, QRELS, SECOND, run_of, write_stored

TEXTS = {("query", "q4"): "why?", ("document", "r"): "because"}


@pytest.fixture
def runs(tmp_path):
    """Writes the same tasks as two runs: run of each, and what each is given besides."""

    def write(tasks, *, first=None, second=None):
        pair = ({}, {})
        for task, contents in tasks.items():
            for run, content, folder, given in zip(
                pair, contents, ("a-1", "b-2"), (first or {}, second or {}), strict=True
            ):
                places = None if content is None else {PLACE: (content, QRELS)}
                run[task] = write_stored(
                    tmp_path, task=task, folder=folder, **{"places": places, **given}
                )
        return pair

    return write


def compare(pair, *, tasks=(), metric=None, top=10):
    return contrast_runs(*pair, tasks=tasks, metric=metric, top=top)


def test_one_task(runs):
    compared = compare(runs({"toy": (FIRST, SECOND)}, first={"texts": TEXTS}), top=2)
    (task,) = compared.tasks
    assert (task.task, task.metric, task.experiments) == ("toy", "mrr_at_10", ("a-1", "b-2"))
    assert (task.figures.first, task.figures.second) == (pytest.approx(0.7), pytest.approx(0.5))
    assert (task.p_holm, task.places, task.unshared) == (task.figures.p, 1, 0)
    assert [query.scores.query_id for query in task.moved] == ["q4", "q2"]
    assert task.moved[0].first.text == "why?"
    assert [one.id for one in task.moved[0].first.documents] == ["r", "d1", "d2"]
    assert [one.text for one in task.moved[0].first.documents] == ["because", "", ""]
    assert [one.id for one in task.moved[0].second.documents] == ["d1", "d2", "d3"]
    assert compared.macro is None


def test_several_tasks_with_their_mean(runs):
    second = run_of([2, 2, 2, 2, 2])
    compared = compare(runs({"two": (FIRST, SECOND), "one": (run_of([1] * 5), second)}))
    assert [task.task for task in compared.tasks] == ["one", "two"]
    p = np.array([task.figures.p for task in compared.tasks])
    assert p[0] == pytest.approx(2 / 32, abs=0.01)  # all ten or none of five may be swapped
    np.testing.assert_allclose([task.p_holm for task in compared.tasks], holm(p))
    assert compared.macro.first == pytest.approx((1 + 0.7) / 2)
    assert compared.macro.ratio == pytest.approx((0.5 + 5 / 7) / 2)
    assert compare(runs({"alone": (FIRST, SECOND)})).macro is None


def test_another_metric_of_one_task(runs):
    pair = runs({"one": (FIRST, SECOND), "two": (FIRST, SECOND)})
    (task,) = compare(pair, tasks=["two"], metric="hit_rate_at_1").tasks
    assert (task.task, task.metric) == ("two", "hit_rate_at_1")
    assert (task.figures.first, task.figures.second) == (pytest.approx(0.6), pytest.approx(0.4))


def test_queries_that_one_run_lacks_are_counted(runs):
    short = {query: found for query, found in SECOND.items() if query != "q1"}
    (task,) = compare(runs({"toy": (FIRST, short)})).tasks
    assert (task.figures.queries, task.unshared) == (4, 1)
    assert task.figures.first == pytest.approx(2.5 / 4)


def test_no_moved_queries(runs):
    pair = runs({"toy": (FIRST, FIRST)})
    (task,) = compare(pair).tasks
    assert task.moved == []
    assert (task.figures.ties, task.figures.p) == (5, 1.0)
    assert compare(pair, top=0).tasks[0].moved == []


def test_tasks_that_rank_nothing_are_left_out(runs):
    pair = runs({"sts": (None, None), "toy": (FIRST, SECOND)})
    compared = compare(pair)
    assert [task.task for task in compared.tasks] == ["toy"]
    (line,) = compared.left_out
    assert line.startswith("sts: ")
    assert line.endswith(
        "a-1/sts.json holds no values of single queries, which only tasks that rank have"
    )


def refused(refusal, pair, **options):
    return refusal(lambda: compare(pair, **options))


def test_refusals(runs, refusal):
    pair = runs({"sts": (None, None), "toy": (FIRST, SECOND)})
    assert refused(refusal, pair, metric="ndcg_at_7") == (
        "metric=ndcg_at_7 is none of single queries; write NAME_at_K with NAME of ndcg, map, "
        "recall, precision, mrr, hit_rate and K of 1, 3, 5, 10, 20, 100, 1000"
    )
    assert refused(refusal, pair, tasks=["sts"]).startswith("task=sts: ")
    assert refused(refusal, pair, tasks=["toy", "more"]) == (
        "task=more: run_a has no result of it; both runs have: sts, toy"
    )
    assert refused(refusal, (pair[0], {"other": pair[1]["toy"]})) == (
        "run_a and run_b have no task in common: run_a has sts, toy, run_b has other"
    )
    assert "are the same result" in refused(refusal, (pair[0], pair[0]))
    assert refused(refusal, ({"sts": pair[0]["sts"]}, pair[1])).startswith("nothing to compare: ")


def test_different_data_are_refused(runs, refusal):
    pair = runs({"toy": (FIRST, SECOND)}, second={"revision": "data2"})
    assert refused(refusal, pair) == (
        "toy: the data differ, so the runs cannot be compared: run_a has revision data1, run_b "
        "data2; run the older one again"
    )


def test_main_metrics_that_are_not_of_single_queries(runs, refusal):
    pair = runs({"toy": (FIRST, SECOND)}, second={"metric": "ndcg_at_10"})
    assert refused(refusal, pair) == (
        "toy: its main metric, mrr_at_10 or ndcg_at_10, is none of single queries that both runs "
        "have; give one, for instance metric=ndcg_at_10"
    )
    assert compare(pair, metric="ndcg_at_10").tasks[0].metric == "ndcg_at_10"


def test_no_query_in_common(runs, refusal):
    other = {PLACE: ({"x": {"r": 1.0}}, {"x": {"r": 1}})}
    pair = runs({"toy": (FIRST, SECOND)}, second={"places": other})
    assert refused(refusal, pair) == "toy: run_a and run_b have no query in common"
