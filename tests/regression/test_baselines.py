"""Files that a person reviews: what they say, line by line, and what is refused."""

import json
from dataclasses import replace

import pytest

from harness.regression.baselines import (
    baseline_path,
    baseline_paths,
    baseline_text,
    read_baseline,
    write_baseline,
)
from harness.regression.snapshot import PlaceFigures, Score, System
from tests.regression.conftest import figures, score, snapshot

TEXT = """\
{
 "data_revision": "data1",
 "format": 1,
 "main_metric": "ndcg_at_10",
 "mode": "bm25",
 "model": "baseline/bm25s",
 "model_hash": null,
 "places": {
  "test/default": {
   "cost": {
    "corpus_flops": 0.0,
    "index_bytes": 317944,
    "query_flops": 1298.792,
    "scoring_flops_per_query": 1298.792,
    "splade_flops": null
   },
   "scores": {
    "ndcg_at_10": {
     "queries": {
      "q1": 1.0,
      "q2": 0.5,
      "q3": 0.0
     },
     "value": 0.5
    }
   }
  }
 },
 "settings": {
  "version": 1
 },
 "task": "toy"
}
"""


@pytest.fixture
def bm25():
    return snapshot(model="baseline/bm25s", mode="bm25", model_hash=None, settings={"version": 1})


def test_the_file_is_plain_sorted_and_has_a_query_a_line(bm25):
    assert baseline_text(bm25) == TEXT


def test_queries_in_any_order_give_the_same_file(bm25):
    other = Score(0.5, {"q3": 0.0, "q1": 1.0, "q2": 0.5})
    again = replace(bm25, places={"test/default": figures({"ndcg_at_10": other})})
    assert baseline_text(again) == TEXT


def test_one_moved_query_is_one_line_of_a_diff(bm25):
    moved = score(q1=1.0, q2=0.25, q3=0.0)
    after = baseline_text(replace(bm25, places={"test/default": figures({"ndcg_at_10": moved})}))
    lines = zip(TEXT.splitlines(), after.splitlines(), strict=True)
    assert [pair for pair in lines if pair[0] != pair[1]] == [
        ('      "q2": 0.5,', '      "q2": 0.25,'),
        ('     "value": 0.5', '     "value": 0.41667'),
    ]


@pytest.mark.parametrize(
    "made",
    [
        snapshot(),
        snapshot(task="ta/sk ü", model="a/b", mode="x"),
        snapshot(
            places={"test/de-en": PlaceFigures({"ndcg_at_10": Score(None, {})}, figures().cost)}
        ),
    ],
)
def test_round_trip(tmp_path, made):
    path = baseline_path(tmp_path, made.system)
    assert write_baseline(path, made)
    assert read_baseline(path) == made
    assert baseline_paths(tmp_path) == [path]


def test_names_are_stable_and_stay_in_the_folder(tmp_path):
    def place(*names):
        return baseline_path(tmp_path, System(*names)).relative_to(tmp_path).as_posix()

    assert place("toy", "org/model", "dense") == "toy/org__model/dense.json"
    assert place("../up", "local/my model", "a/b") == "%2E.%2Fup/local__my_model/a%2Fb.json"


def test_what_says_the_same_is_left_alone(tmp_path, bm25):
    path = baseline_path(tmp_path, bm25.system)
    write_baseline(path, bm25)
    before = path.stat().st_mtime_ns, path.stat().st_ino
    assert not write_baseline(path, bm25)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before


def changed(**changes):
    return json.dumps(json.loads(TEXT) | changes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{oops",
        "[]",
        "{}",
        changed(format=2),
        changed(task=7),
        changed(model_hash=7),
        changed(settings=3),
        changed(places={"test/default": {"scores": {}}}),
        changed(places={"test/default": {"scores": {"ndcg_at_10": 0.5}, "cost": {}}}),
        TEXT.replace("0.5,", "NaN,"),
        TEXT.replace("0.5,", '"0.5",'),
        TEXT.replace("0.5,", "true,"),
        TEXT.replace('"value": 0.5', '"value": Infinity'),
    ],
)
def test_what_is_no_baseline_is_refused(tmp_path, refusal, text):
    path = tmp_path / "toy.json"
    path.write_text(text)
    message = refusal(lambda: read_baseline(path))
    assert str(path) in message
    assert "update=true" in message


def test_bytes_that_are_no_text_are_refused(tmp_path, refusal):
    path = tmp_path / "toy.json"
    path.write_bytes(b"\xff\xfe{")
    assert str(path) in refusal(lambda: read_baseline(path))


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, refusal, bm25):
    (tmp_path / "toy").write_text("a file")
    message = refusal(lambda: write_baseline(baseline_path(tmp_path, bm25.system), bm25))
    assert "baselines_dir" in message
