"""Which results the name of a run means."""

import json

import pytest

from harness.reporting.find_run import find_run
from tests.reporting.stored import write_stored

DENSE = "dense-cosine-0123456789ab"
HYBRID = "hybrid-minmax-dense+bm25-aaaaaaaaaaaa"
WIDE = "aligned_sparse-k256-bbbbbbbbbbbb"
NARROW = "aligned_sparse-k64-cccccccccccc"


@pytest.fixture
def results(tmp_path):
    for folder in (DENSE, HYBRID, WIDE, NARROW):
        write_stored(tmp_path / "results", folder=folder)
    write_stored(tmp_path / "results", folder=DENSE, task="other")
    write_stored(tmp_path / "results", folder="bm25-dddddddddddd", model="baseline/bm25s")
    return tmp_path / "results"


def named(results, name, **options):
    found = find_run(name, results, setting="run_a", **options)
    return {task: one.path.parent.name for task, one in found.items()}


BOTH = {"toy": DENSE, "other": DENSE}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (DENSE, BOTH),
        ("0123456789ab", BOTH),
        ("dense", BOTH),  # and not the fusion that has it as a part
        (f"org__model/r1/experiments/{DENSE}", BOTH),
        ("hybrid", {"toy": HYBRID}),
        ("k64", {"toy": NARROW}),
        ("BM25S/", {"toy": "bm25-dddddddddddd"}),
        (f"org__model/r1/experiments/{DENSE}/toy.json", {"toy": DENSE}),
        (f"org__model/r1/experiments/{DENSE}/toy", {"toy": DENSE}),
    ],
)
def test_names_of_a_run(results, name, expected):
    assert named(results, name) == expected


def test_paths_from_where_one_is(results, monkeypatch):
    monkeypatch.chdir(results / "org__model")
    assert named(results, f"r1/experiments/{WIDE}") == {"toy": WIDE}
    assert named(results, f"r1/experiments/{WIDE}/toy.json") == {"toy": WIDE}


def test_a_folder_of_the_same_name_that_holds_no_results(results, monkeypatch):
    monkeypatch.chdir(results.parent)
    (results.parent / "dense").mkdir()
    assert named(results, "dense") == BOTH


def test_an_ambiguous_name_lists_what_it_may_mean(results, refusal):
    folder = "org__model/r1/experiments"
    assert refusal(lambda: named(results, "aligned_sparse")) == (
        f"run_a=aligned_sparse may be 2 runs; name one of: {folder}/{WIDE}, {folder}/{NARROW}"
    )


def test_a_mode_that_several_models_have(results, refusal):
    write_stored(results, folder="dense-cosine-999999999999", model="org/other")
    assert "may be 2 runs" in refusal(lambda: named(results, "dense"))
    assert named(results, "org/other/dense") == {"toy": "dense-cosine-999999999999"}
    assert named(results, "other/dense") == {"toy": "dense-cosine-999999999999"}
    assert named(results, "Model/dense") == BOTH
    assert "may be 2 runs" in refusal(lambda: named(results, "org/dense"))
    assert "names no run" in refusal(lambda: named(results, "other/hybrid"))


def test_a_name_of_nothing_lists_all(results, refusal):
    message = refusal(lambda: named(results, "colbert"))
    assert message.startswith(f"run_a=colbert names no run under {results}; there are: ")
    assert message.count("experiments/") == 5


def test_collections_of_ones_own_are_one_run(results, refusal):
    write_stored(results, folder="sparse-eeeeeeeeeeee", task="first")
    write_stored(results, folder="sparse-ffffffffffff", task="second")
    assert named(results, "sparse") == {
        "first": "sparse-eeeeeeeeeeee",
        "second": "sparse-ffffffffffff",
    }
    assert named(results, "ffffffffffff") == {"second": "sparse-ffffffffffff"}
    write_stored(results, folder="sparse-999999999999", task="second")
    assert "may be 3 runs" in refusal(lambda: named(results, "sparse"))


def test_only_runs_with_the_task_are_meant(results, refusal):
    assert named(results, "org", tasks=["other"]) == BOTH
    assert refusal(lambda: named(results, "dense", tasks=["third"])) == (
        f"task=third has no results under {results}; those that have: other, toy"
    )


def test_no_results_at_all(tmp_path, refusal):
    assert "holds no results; run `harness run` first" in refusal(lambda: named(tmp_path, "dense"))


def test_a_result_that_says_nothing_of_itself(results, refusal):
    for beside in results.glob(f"*/*/*/{DENSE}/toy/experiment.json"):
        beside.write_text("{}")
    message = refusal(lambda: named(results, "dense"))
    assert message.endswith(
        f"{DENSE}/toy.json does not say what was evaluated; delete it and it will be computed again"
    )


@pytest.mark.parametrize("settings", ["[]", '{"mode": "dense"}', '{"mode": {}}'])
def test_settings_that_are_not_as_they_should_be(results, refusal, settings):
    for beside in results.glob(f"*/*/*/{DENSE}/toy/experiment.json"):
        record = json.loads(beside.read_text()) | {"settings": json.loads(settings)}
        beside.write_text(json.dumps(record))
    message = refusal(lambda: named(results, "dense"))
    assert "is not as `harness run` writes it" in message
    assert "delete it and it will be computed again" in message
