import subprocess
import sys

import pytest

from harness.errors import BadInputError
from harness.reporting.collect import collect
from tests.reporting.written import BM25, place, write


def test_a_result_becomes_a_row_with_its_settings_in_words(tmp_path):
    write(tmp_path)
    collection = collect(tmp_path)
    (entry,) = collection.entries
    row = entry.row
    assert collection.unreadable == []
    assert (row.model, row.mode, row.task, row.metric) == ("org/model", "dense", "T", "ndcg_at_10")
    assert (row.value, row.ratio, row.main) == (0.5, 1.0, True)
    assert (row.hardware, row.commit) == ("Some CPU, 2 cores", "0123456789ab+")
    assert row.cost == {"documents": 10, "query_flops": 1e6}
    assert entry.settings == "cosine, mean pooling, ≤256 tokens"
    assert (entry.revision, entry.comparison) == ("m1", None)


def test_a_lexical_result_has_a_model_of_its_own_and_no_ratio(tmp_path):
    write(tmp_path)
    write(tmp_path, mode=BM25, model="baseline/bm25s")
    rows = {entry.row.mode: entry.row for entry in collect(tmp_path).entries}
    assert (rows["bm25"].encoder, rows["bm25"].ratio) == ("", None)
    assert (len(rows["dense"].encoder), rows["dense"].ratio) == (12, 1.0)


@pytest.mark.parametrize(
    ("scores", "metric"),
    [
        (place(map_at_10=0.4, ndcg_at_10=0.5, main_score=0.5), "ndcg_at_10"),
        (place(map_at_10=0.5, ndcg_at_10=0.5, main_score=0.5), "ndcg_at_10"),
        (place(recall_at_5=0.5, map_at_10=0.5, ndcg_at_10=0.4, main_score=0.5), "recall_at_5"),
        (place(map_at_10=0.5, ndcg_at_10=0.4, languages=["eng"], main_score=0.5), "map_at_10"),
        (place(map_at_10=0.1, ndcg_at_10=float("nan"), main_score=float("nan")), "ndcg_at_10"),
    ],
)
def test_the_metric_is_the_one_that_equals_the_main_score(tmp_path, scores, metric):
    write(tmp_path, scores=scores)
    (entry,) = collect(tmp_path).entries
    assert entry.row.metric == metric
    main = scores["test"][0]["main_score"]
    assert entry.row.value == (main if main == main else None)


def test_a_metric_that_equals_the_main_score_by_chance_is_not_it(tmp_path):
    write(tmp_path, scores=place(recall_at_5=1.0, map_at_10=1.0, ndcg_at_10=0.9, main_score=1.0))
    write(
        tmp_path,
        mode=BM25,
        model="baseline/bm25s",
        scores=place(recall_at_5=0.6, map_at_10=0.5, ndcg_at_10=0.4, main_score=0.5),
    )
    assert [entry.row.metric for entry in collect(tmp_path).entries] == ["map_at_10"] * 2


def test_every_split_and_subset_is_a_row(tmp_path):
    subsets = [
        {"hf_subset": "en", "map_at_10": 0.3, "ndcg_at_10": 0.3, "main_score": 0.3},
        {"hf_subset": "de", "map_at_10": 0.1, "ndcg_at_10": 0.2, "main_score": 0.2},
    ]
    write(tmp_path, scores={"dev": subsets})
    rows = [entry.row for entry in collect(tmp_path).entries]
    assert [(r.split, r.subset, r.metric, r.value) for r in rows] == [
        ("dev", "en", "ndcg_at_10", 0.3),
        ("dev", "de", "ndcg_at_10", 0.2),
    ]


def test_ratios_do_not_cross_data_revisions(tmp_path):
    sparse = {"kind": "aligned_sparse", "doc_top_k": 64, "query_expansion": 0}
    write(tmp_path, revision="r1")
    write(tmp_path, revision="r2", mode=sparse, scores=place(ndcg_at_10=0.4, main_score=0.4))
    ratios = {entry.row.mode: entry.row.ratio for entry in collect(tmp_path).entries}
    assert ratios == {"dense": 1.0, "aligned_sparse": None}


@pytest.mark.parametrize(
    "broken",
    [
        {"scores": {}},
        {"scores": place(ndcg_at_10=0.5, main_score=0.4)},
        {"scores": place(ndcg_at_10="0.5", main_score="0.5")},
        {"experiment": {}},
        {"experiment": {"mode": "dense", "model": "a/b", "settings": [], "folder": "f"}},
        {"environment": {"hardware": None}},
        {"cost": {"test/default": {"query_flops": "many"}}},
        {"cost": {"test/default": {"query_flops": True}}},
        {"cost": {"test/default": []}},
        {"cost": []},
        {"experiment_mode": "\ud800"},
    ],
)
def test_a_malformed_result_is_named_and_left_out(tmp_path, broken):
    write(tmp_path)
    path = write(tmp_path, name="other", task="U", **broken)
    collection = collect(tmp_path)
    assert [entry.row.task for entry in collection.entries] == ["T"]
    (line,) = collection.unreadable
    assert str(path.with_suffix("")) in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"scores": 1}', '"\\ud800"'])
def test_a_file_that_is_no_result_is_named_and_left_out(tmp_path, content):
    write(tmp_path)
    path = write(tmp_path, task="U", name="other")
    path.write_text(content)
    collection = collect(tmp_path)
    assert [entry.row.task for entry in collection.entries] == ["T"]
    assert [str(path) in line for line in collection.unreadable] == [True]


def test_a_missing_detail_is_named(tmp_path):
    write(tmp_path)
    path = write(tmp_path, task="U", name="other")
    (path.with_suffix("") / "cost.json").unlink()
    (line,) = collect(tmp_path).unreadable
    assert "cost.json" in line


def test_what_lies_deeper_or_is_a_folder_is_no_result(tmp_path):
    path = write(tmp_path)
    (path.parent / "superseded").mkdir()
    (path.parent / "superseded" / "T-r0.json").write_text("no JSON")
    (path.parent / "U.json").mkdir()
    collection = collect(tmp_path)
    assert (len(collection.entries), collection.unreadable) == (1, [])


@pytest.mark.parametrize("folder", [".", "absent"])
def test_no_results_at_all_say_what_to_do(tmp_path, folder):
    with pytest.raises(BadInputError, match="run `harness run` first"):
        collect(tmp_path / folder)


def test_nothing_readable_is_an_error(tmp_path):
    path = write(tmp_path)
    path.write_text("{")
    with pytest.raises(BadInputError, match="none of the 1 results") as caught:
        collect(tmp_path)
    assert str(path) in str(caught.value)


def test_reporting_needs_neither_torch_nor_mteb():
    script = (
        "import sys, harness.commands.report, harness.reporting.leaderboard;"
        "print(sorted({'torch', 'mteb', 'transformers', 'pandas'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert shown.stdout.decode().strip() == "[]"
