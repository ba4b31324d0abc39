"""`harness compare` as a user runs it."""

import json
import sys

import pytest

from harness.cli import _main
from tests.evaluation.conftest import write_folder
from tests.reporting.stored import FIRST, PLACE, QRELS, SECOND, SETTINGS, write_stored


@pytest.fixture
def compare(tmp_path, capfd, monkeypatch):
    """Run `harness compare` in this process: status, standard output, lines of standard error."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capfd.readouterr()
        status = _main(["compare", *arguments])
        out, err = capfd.readouterr()
        return status, out, err.splitlines()

    return run


@pytest.fixture
def pair(tmp_path):
    """Writes five queries of a task by dense and by aligned_sparse."""

    def write(task="toy", *, second=SECOND, sparse=None, **given):
        settings = {**SETTINGS, "mode": {"kind": "aligned_sparse", "doc_top_k": 64}}
        shared = {"task": task, **given}
        results = tmp_path / "results"
        write_stored(results, places={PLACE: (FIRST, QRELS)}, **shared)
        write_stored(
            results,
            **{
                **shared,
                **{"folder": "aligned_sparse-k64-aaaaaaaaaaaa", "mode": "aligned_sparse"},
                **{"settings": settings, "places": {PLACE: (second, QRELS)}},
                **(sparse or {}),
            },
        )

    return write


RUNS = ("run_a=dense", "run_b=aligned_sparse")


def objects(output):
    return [json.loads(line) for line in output.splitlines()]


def words(line):
    return line.split()


def test_a_task_and_what_moved(compare, pair):
    pair(texts={("query", "q4"): "why?", ("document", "r"): "because"})
    status, out, err = compare(*RUNS, "top=1")
    lines = out.splitlines()
    assert (status, err) == (0, [])
    assert lines[0] == "run_a: dense, org/model, cosine"
    assert lines[1] == "run_b: aligned_sparse, org/model, K = 64"
    header, _, first, second = [line for line in lines[2:] if line.strip()][:4]
    assert words(header)[:4] == ["task", "metric", "run_a", "run_b"]
    assert words(first)[:6] == ["toy", "MRR@10", "0.7000", "0.5000", "-0.2000", "71.4"]
    assert words(first)[-1] == "1/2/2"
    assert words(second)[0].startswith("[-0.")
    moved = lines[lines.index("toy: the query that moves, by MRR@10") + 4 :]
    assert words(moved[0]) == ["1.0000", "0.0000", "-1.0000", "q4:", "why?"]
    assert moved[1].strip() == "run_a: ✓ r: because"
    assert moved[2].strip() == "run_b: ✗ d1"


def test_json_lines(compare, pair):
    for task in ("one", "two"):
        pair(task, texts={("query", "q4"): "why?"})
    status, out, _ = compare(*RUNS, "top=1", "format=json")
    one, query, two, _, mean = objects(out)
    assert status == 0
    assert (one["kind"], one["task"], two["task"]) == ("task", "one", "two")
    assert (one["run_a"], one["run_b"]) == (
        *("dense-cosine-0123456789ab", "aligned_sparse-k64-aaaaaaaaaaaa"),
    )
    assert (one["metric"], one["queries"], one["wins"]) == ("mrr_at_10", 5, 1)
    assert (one["a"], one["b"]) == (pytest.approx(0.7), pytest.approx(0.5))
    assert one["p_holm"] == pytest.approx(min(2 * one["p"], 1))
    assert query == {
        **{"kind": "query", "task": "one", "split": "test", "subset": "default"},
        **{"metric": "mrr_at_10", "query_id": "q4", "text": "why?"},
        **{"a": 1.0, "b": 0.0, "difference": -1.0},
        "documents_a": [
            {"id": "r", "relevant": True, "text": None},
            *({"id": name, "relevant": False, "text": None} for name in ("d1", "d2")),
        ],
        "documents_b": [
            {"id": name, "relevant": False, "text": None} for name in ("d1", "d2", "d3")
        ],
    }
    assert (mean["kind"], mean["tasks"], mean["queries"]) == ("mean", 2, 10)
    assert mean["ratio"] == pytest.approx(5 / 7)


def test_the_mean_over_tasks_comes_last(compare, pair):
    for task in ("one", "two"):
        pair(task)
    _, out, _ = compare(*RUNS, "top=0")
    last = [line for line in out.splitlines() if line.strip()][-2]
    assert words(last)[:6] == ["of", "2", "tasks", "0.7000", "0.5000", "-0.2000"]
    assert compare(*RUNS, "task=two", "top=0")[1].count("tasks") == 0


def test_what_is_not_alike_is_refused(compare, pair):
    pair(sparse={"revision": "data2"})
    assert compare(*RUNS) == (
        2,
        "",
        [
            "harness: toy: the data differ, so the runs cannot be compared: run_a has revision "
            "data1, run_b data2; run the older one again"
        ],
    )
    assert compare("run_a=dense", "run_b=dense")[0] == 2
    assert compare("run_a=dense", "run_b=nothing")[2][0].startswith(
        "harness: run_b=nothing names no run under results; there are: "
    )
    assert compare("run_a=dense") == (
        *(2, "", ["harness: run_b is not set: give run_b=... on the command line"]),
    )


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("run_a=", "run_a is empty; name a run"),
        ("results_dir=''", "results_dir is empty; give a folder"),
        ("task=[1]", "task=[1] must be task names, for instance task=SciFact"),
        ("top=-1", "top=-1"),
        ("format=xml", "format='xml'"),
    ],
)
def test_bad_settings(compare, pair, setting, says):
    pair()
    status, out, (line,) = compare(*RUNS, setting)
    assert (status, out) == (2, "")
    assert line.startswith(f"harness: {says}")


def test_names_are_taken_as_they_are(compare, pair):
    pair(sparse={"folder": "sparse-w=1, 2-000000000012"})
    for name in ("000000000012", "sparse-w=1, 2-000000000012"):
        assert compare("run_a=dense", f"run_b={name}")[0] == 0


def test_hostile_texts_are_printable(compare, pair):
    evil = "\x1b[31mred\x07 [bold]x[/bold]\nnext\u202e"
    pair(texts={("query", "q4"): evil, ("document", "r"): evil, ("document", "d1"): evil})
    status, out, _ = compare(*RUNS)
    assert status == 0
    assert "\\x1b[31mred\\x07 [bold]x[/bold]\\nnext\\u202e" in " ".join(out.split())
    assert not {"\x1b", "\x07", "\u202e"} & set(out)
    status, out, _ = compare(*RUNS, "format=json", "top=1")
    assert objects(out)[1]["text"] == evil


def test_the_same_as_a_page(compare, pair, tmp_path):
    pair()
    status, out, err = compare(*RUNS, "html=pages/both.html")
    assert (status, err) == (0, ["comparison: pages/both.html"])
    assert out == compare(*RUNS)[1]
    page = (tmp_path / "pages" / "both.html").read_text()
    assert "<dd>aligned_sparse, org/model, K = 64</dd>" in page
    (tmp_path / "file").write_text("")
    assert compare(*RUNS, "html=file/x.html") == (
        2,
        "",
        [
            "harness: html=file/x.html cannot be written (File exists); name another file "
            "with html=FILE"
        ],
    )


def test_what_is_left_out_is_said(compare, pair, tmp_path):
    short = {query: found for query, found in SECOND.items() if query != "q1"}
    pair(second=short)
    for folder in ("dense-cosine-0123456789ab", "aligned_sparse-k64-aaaaaaaaaaaa"):
        write_stored(tmp_path / "results", task="sts", folder=folder)
    status, _, err = compare(*RUNS)
    assert status == 0
    assert err[0] == "toy: left out, queries of only one of the runs: 1"
    assert err[1].startswith("left out: sts: results/org__model/r1/experiments/dense-cosine-")


def test_two_modes_of_a_run(compare, tmp_path, tiny_bert):
    folder = write_folder(tmp_path / "toy")
    settings = ["tasks=folder", f"tasks.path={folder}", "store_dir=store", "cost=off"]
    model = ["model=local", f"model.path={tiny_bert}", "pooling=mean", "head=ridge"]
    assert _main(["run", *settings, *model, "retrieval=[dense,aligned_sparse,bm25]"]) == 0
    status, out, _ = compare("run_a=bm25", "run_b=aligned_sparse", "format=json")
    task, *queries = objects(out)
    stored = {
        path.parent.name.partition("-")[0]: json.loads(path.read_text())["scores"]["test"][0]
        for path in (tmp_path / "results").glob("*/*/experiments/*/toy.json")
    }
    assert status == 0
    assert task["a"] == pytest.approx(stored["bm25"]["main_score"], abs=1e-5)
    assert task["b"] == pytest.approx(stored["aligned_sparse"]["main_score"], abs=1e-5)
    assert len(queries) == task["wins"] + task["losses"] > 0
    assert all(query["text"] and query["documents_a"][0]["text"] for query in queries)
