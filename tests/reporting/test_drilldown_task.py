"""What is told of one task, by hand on five queries."""

import pytest

from harness.reporting.drilldown_task import Ranked, TaskStory, task_anchor, task_story
from tests.reporting.stored import FIRST, PLACE, QRELS, SECOND, run_of, write_stored

PLACES = {PLACE: (SECOND, QRELS)}
COST = {"test/default": {"documents": 1500, "queries": 5}}


@pytest.fixture
def dense(tmp_path):
    return write_stored(tmp_path / "dense", places={PLACE: (FIRST, QRELS)})


def test_gains_and_losses_against_dense(tmp_path, dense):
    texts = {("query", "q4"): "why?", ("document", "r"): "because"}
    story = task_story("toy", write_stored(tmp_path, places=PLACES, texts=texts, cost=COST), dense)
    assert (story.task, story.anchor, story.metric) == ("toy", "toy", "MRR@10")
    assert (story.value, story.dense, story.share) == ("0.5000", "0.7000", "71.4 %")
    assert story.facts == "1,500 documents, 5 queries, data revision data1"
    assert (story.wins, story.ties, story.losses) == (1, 2, 2)
    assert story.chart.largest == 1
    first, second = story.lost
    assert (first.id, first.text, first.dense, first.value) == ("q4", "why?", "1.0000", "0.0000")
    assert (first.difference, second.id, second.difference) == ("−1.0000", "q2", "−0.5000")
    assert first.dense_found == [
        Ranked("r", "", True),
        Ranked("d1", "", False),
        Ranked("d2", "", False),
    ]
    assert first.found == [Ranked(name, "", False) for name in ("d1", "d2", "d3")]
    assert second.found[1] == Ranked("r", "because", True)
    assert [(query.id, query.difference) for query in story.won] == [("q3", "+0.5000")]
    assert (story.lowest, story.note) == ([], "")


def test_few_queries_of_each_list(tmp_path, dense):
    story = task_story("toy", write_stored(tmp_path, places=PLACES), dense, most=1)
    assert [query.id for query in story.lost] == ["q4"]
    assert [len(query.found) for query in (*story.lost, *story.won)] == [1, 1]


def test_the_lowest_values_without_dense(tmp_path):
    story = task_story("toy", write_stored(tmp_path, places=PLACES), None)
    assert [(query.id, query.value) for query in story.lowest] == [
        *(("q4", "0.0000"), ("q5", "0.0000"), ("q2", "0.5000")),
    ]
    assert (story.dense, story.share, story.wins, story.chart) == ("-", "-", None, None)
    assert {(query.dense, query.difference) for query in story.lowest} == {("", "")}


def test_several_places_are_named(tmp_path):
    places = {("test", "a"): (FIRST, QRELS), ("test", "b"): (SECOND, QRELS)}
    other = {("test", "a"): (FIRST, QRELS), ("test", "b"): (run_of([1] * 5), QRELS)}
    dense = write_stored(tmp_path / "dense", places=other)
    story = task_story("toy", write_stored(tmp_path, places=places), dense)
    assert story.value == "0.6000"  # the mean of .7 and .5
    assert story.facts == "2 splits and subsets, data revision data1"
    assert [query.id for query in story.lost] == ["test/b q4", "test/b q5", "test/b q2"]
    assert (story.wins, story.ties, story.losses) == (0, 7, 3)


@pytest.mark.parametrize(
    ("given", "note"),
    [
        ({}, "No values of single queries are kept of this task."),
        (
            {"places": {PLACE: ({"x": {"r": 1.0}}, {"x": {"r": 1}})}},
            "Dense has no query in common with this run.",
        ),
    ],
)
def test_nothing_to_tell_of_single_queries(tmp_path, dense, given, note):
    story = task_story("toy", write_stored(tmp_path, **given), dense)
    assert (story.note, story.lost, story.wins) == (note, [], None)


def test_a_main_metric_that_is_not_of_single_queries(tmp_path, dense):
    stored = write_stored(tmp_path, places=PLACES)
    stored.experiment["main_metric"] = "p-MRR"
    assert task_story("toy", stored, dense).note == (
        "The main metric is not one of single queries."
    )


def test_an_undefined_value(tmp_path):
    stored = write_stored(tmp_path)
    stored.result["scores"]["test"][0]["main_score"] = None
    story = task_story("a task\n", stored, stored)
    assert story == TaskStory(
        **{"task": "a task\\n", "anchor": "a%20task%0A", "metric": "MRR@10", "value": "-"},
        **{"dense": "-", "share": "-", "facts": "data revision data1"},
        note="No values of single queries are kept of this task.",
    )
    assert task_anchor("STS17") == "STS17"
