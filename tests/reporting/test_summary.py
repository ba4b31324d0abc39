"""Means over tasks: by hand, and as mteb averages the same results."""

import mteb
import numpy as np
import pytest
from mteb.benchmarks import Benchmark
from mteb.benchmarks.benchmark import BenchmarkAggregation
from mteb.results import BenchmarkResults, ModelResult, TaskResult

from harness.evaluation.rows import ResultRow
from harness.reporting.summary import Mean, means, print_means


def row(task, value, kind="Retrieval", **given):
    usual = {
        "model": "org/model",
        "task": task,
        "task_type": kind,
        "subset": "default",
        "split": "test",
        "mode": "dense",
        "kind": "dense",
        "metric": "main",
        "value": value,
    }
    return ResultRow(**{**usual, **given})


def only(rows):
    (found,) = means(rows)
    return found


def test_means_by_hand():
    """Two types; the mean of types weighs each alike."""
    found = only(
        [
            row("A", 0.25),
            row("B", 0.75),
            row("C", 0.5),
            row("S", 0.875, "STS"),
            row("T", 0.625, "STS"),
        ]
    )
    assert found.mode == "dense"
    assert found.by_type == {"Retrieval": Mean(0.5, 3, 3), "STS": Mean(0.75, 2, 2)}
    assert found.over_tasks == Mean(0.6, 5, 5)
    assert found.over_types == Mean(0.625, 2, 2)


def test_a_task_is_the_mean_of_its_places():
    rows = [
        *(row("A", 0.25, subset="en"), row("A", 0.5, subset="de"), row("A", 0.75, subset="fr")),
        row("B", 1.0),
    ]
    assert only(rows).over_tasks == Mean(0.75, 2, 2)


def test_splits_of_unequal_size_weigh_by_their_subsets():
    """mteb's score of a task is the mean over all that it has scored, whatever the split."""
    rows = [
        *(row("A", 1.0, split="dev", subset="en"), row("A", 0.0, subset="en")),
        row("A", 0.5, subset="de"),
    ]
    assert only(rows).over_tasks == Mean(0.5, 1, 1)


def test_other_metrics_count_for_nothing():
    rows = [row("A", 0.25), row("A", 0.99, metric="other", main=False)]
    assert only(rows).over_tasks == Mean(0.25, 1, 1)


def test_parts_count_for_nothing_beside_their_whole():
    rows = [
        *(row("P", 0.0, part_of="W"), row("Q", 0.5, part_of="W")),
        *(row("W", 0.25), row("A", 0.75)),
    ]
    assert only(rows).over_tasks == Mean(0.5, 2, 2)
    assert only(rows).by_type == {"Retrieval": Mean(0.5, 2, 2)}


def test_a_missing_task_is_never_averaged_over():
    rows = [
        *(row("A", 0.25), row("B", 0.75), row("S", 0.5, "STS")),
        *(row("A", 0.5, mode="bm25"), row("B", 1.0, mode="bm25")),
        row("A", 0.5, mode="late"),
    ]
    dense, bm25, late = means(rows)
    assert dense.over_types == Mean(0.5, 2, 2)
    assert bm25.by_type == {"Retrieval": Mean(0.75, 2, 2), "STS": Mean(None, 0, 1)}
    assert bm25.over_tasks == Mean(None, 2, 3)
    assert bm25.over_types == Mean(None, 1, 2)
    assert late.by_type["Retrieval"] == Mean(None, 1, 2)
    assert late.over_tasks == Mean(None, 1, 3)
    assert late.over_types == Mean(None, 0, 2)


def test_a_place_without_a_value_takes_the_task_s_mean_away():
    rows = [row("A", 0.25, subset="en"), row("A", None, subset="de"), row("B", 0.5)]
    assert only(rows).over_tasks == Mean(None, 1, 2)


def test_no_rows_have_no_means():
    assert means([]) == []


def test_a_whole_that_is_not_finished_is_a_task_without_a_score():
    """Parts alone, of one mode or of all, do not stand for their whole."""
    rows = [row("P", 0.5, part_of="W"), row("A", 0.75)]
    assert only(rows).over_tasks == Mean(None, 1, 2)
    assert only(rows).by_type == {"Retrieval": Mean(None, 1, 2)}
    whole = [*rows, row("W", 0.25), row("P", 1.0, mode="bm25", part_of="W")]
    dense, bm25 = means(whole)
    assert dense.over_tasks == Mean(0.5, 2, 2)
    assert (bm25.mode, bm25.over_tasks) == ("bm25", Mean(None, 0, 2))


def test_a_mean_as_text():
    assert Mean(0.12345, 3, 3).text == "0.1235"
    assert Mean(None, 2, 3).text == "2 of 3"
    assert Mean(None, 0, 3).text == Mean(None, 0, 0).text == "–"


TASKS = ("SCIDOCS", "NFCorpus", "STS17", "SICK-R", "STS12", "Banking77Classification", "SummEval")


def results_of_mteb(seed):
    """Random results of public tasks with all their subsets, and our rows of the same."""
    random = np.random.default_rng(seed)
    results, rows = [], []
    for task in mteb.get_tasks(tasks=list(TASKS)):
        scores = {}
        for split in task.metadata.eval_splits:
            for subset, languages in task.metadata.hf_subsets_to_langscripts.items():
                value = float(random.random())
                place = {"hf_subset": subset, "languages": list(languages), "main_score": value}
                scores.setdefault(split, []).append(place)
                name, kind = task.metadata.name, task.metadata.type
                rows.append(row(name, value, kind, split=split, subset=subset))
        results.append(
            TaskResult(
                dataset_revision=task.metadata.revision,
                task_name=task.metadata.name,
                mteb_version="2.26.24",
                scores=scores,
                evaluation_time=1.0,
            )
        )
    return results, rows


@pytest.mark.parametrize("seed", range(3))
def test_means_are_mteb_s(seed):
    results, rows = results_of_mteb(seed)
    benchmark = Benchmark(
        name="ours",
        tasks=mteb.get_tasks(tasks=list(TASKS)),
        aggregations=(
            BenchmarkAggregation.MEAN_TASK,
            BenchmarkAggregation.MEAN_TASK_TYPE,
            BenchmarkAggregation.TASK_TYPES,
        ),
    )
    model = ModelResult(model_name="org/model", model_revision="r", task_results=results)
    theirs = benchmark.get_score(BenchmarkResults(model_results=[model]))["org/model"]
    ours = only(rows)
    assert ours.over_tasks.of == len(TASKS)
    assert ours.over_tasks.value == pytest.approx(theirs.pop("Mean(Task)"), abs=1e-12)
    assert ours.over_types.value == pytest.approx(theirs.pop("Mean(TaskType)"), abs=1e-12)
    del theirs["Rank"]
    assert {kind: mean.value for kind, mean in ours.by_type.items()} == pytest.approx(theirs)


def test_a_task_of_unequal_splits_is_mteb_s():
    scores = {"dev": [0.125, 0.25], "test": [0.5, 0.75, 1.0]}
    result = TaskResult(
        dataset_revision="r",
        task_name="STS17",
        mteb_version="2.26.24",
        scores={
            split: [
                {"hf_subset": str(place), "languages": ["eng-Latn"], "main_score": value}
                for place, value in enumerate(values)
            ]
            for split, values in scores.items()
        },
        evaluation_time=1.0,
    )
    rows = [
        row("STS17", value, "STS", split=split, subset=str(place))
        for split, values in scores.items()
        for place, value in enumerate(values)
    ]
    assert only(rows).over_tasks.value == pytest.approx(result.get_score(), abs=1e-12)


def printed(capsys, rows):
    print_means(rows)
    captured = capsys.readouterr()
    assert captured.err == ""
    return [" ".join(line.split()) for line in captured.out.splitlines() if line.strip()]


def test_the_table(capsys):
    rows = [
        *(row("A", 0.25), row("B", 0.75), row("S", 0.75, "STS")),
        *(row("A", 0.5, mode="bm25"), row("B", 1.0, mode="bm25")),
        row("A", 0.5, mode="late"),
    ]
    title, header, _, *lines = printed(capsys, rows)
    assert title == "Means of the main scores"
    assert header == "type (tasks) dense bm25 late"
    assert lines == [
        "Retrieval (2) 0.5000 0.7500 1 of 2",
        "STS (1) 0.7500 – –",
        "mean of 3 tasks 0.5833 2 of 3 1 of 3",
        "mean of 2 types 0.6250 1 of 2 –",
    ]


def test_one_type_has_no_line_of_its_own(capsys):
    _, header, _, line = printed(capsys, [row("A", 0.25), row("B", 0.75)])
    assert header == "type (tasks) dense"
    assert line == "mean of 2 tasks 0.5000"


def test_a_type_that_is_not_told(capsys):
    _, _, _, *lines = printed(capsys, [row("A", 0.25, ""), row("B", 0.75, "STS")])
    assert lines[:2] == ["unknown (1) 0.2500", "STS (1) 0.7500"]


@pytest.mark.parametrize(
    "rows",
    [[], [row("A", 0.5)], [row("A", 0.5, subset="en"), row("A", 0.5, subset="de")]],
    ids=["none", "one task", "one task of two subsets"],
)
def test_fewer_than_two_tasks_have_no_table(capsys, rows):
    assert printed(capsys, rows) == []


def test_text_from_outside_is_no_console_markup(capsys):
    rows = [row("A", 0.5, "[red]x\x1b[31m", mode="[bold]m"), row("B", 0.5, "STS", mode="[bold]m")]
    _, header, _, first, *_ = printed(capsys, rows)
    assert header == "type (tasks) [bold]m"
    assert first == "[red]x\\x1b[31m (1) 0.5000"
