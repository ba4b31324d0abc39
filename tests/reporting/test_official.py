"""Official results of other models as lines beside ours."""

import json

import pytest

from harness.evaluation.published import PublishedScores
from harness.reporting.collect import collect
from harness.reporting.official import official_entries, official_files
from harness.reporting.published import with_published
from tests.reporting.written import place, write


def official(root, model, revision, task, value):
    folder = root / model.replace("/", "__") / revision
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{task}.json"
    scores = place(ndcg_at_10=value, main_score=value)
    path.write_text(json.dumps({"scores": scores, "mteb_version": "2.0.0", "task_name": task}))
    return path


@pytest.fixture
def published(tmp_path):
    official(tmp_path / "theirs", "org/model", "m1", "T", 0.51)
    official(tmp_path / "theirs", "org/other", "r2", "T", 0.7)
    official(tmp_path / "theirs", "org/other", "r2", "V", 0.1)
    return PublishedScores(tmp_path / "theirs")


def test_a_model_has_a_line_at_every_place_of_ours(tmp_path, published):
    write(tmp_path / "ours")
    write(tmp_path / "ours", task="U")
    ours = collect(tmp_path / "ours").entries
    (line,) = official_entries(ours, published, ["org/other"])
    row = line.row
    assert (row.model, row.mode, row.kind, row.task, row.value) == (
        *("org/other", "published", "published", "T", 0.7),
    )
    assert (row.dataset_revision, row.cost, row.ratio) == (ours[0].row.dataset_revision, {}, None)
    assert line.settings == "official result, revision r2"
    assert line.path is None


def test_each_file_that_is_used_is_named_once(tmp_path, published):
    write(tmp_path / "ours")
    write(tmp_path / "ours", name="again", mode={"kind": "dense", "similarity": "dot"})
    entries = with_published(collect(tmp_path / "ours").entries, published)
    others = official_entries(entries, published, ["org/other"])
    assert [
        (file.model, file.revision, file.path.name) for file in official_files(entries, others)
    ] == [
        ("org/model", "m1", "T.json"),
        ("org/other", "r2", "T.json"),
    ]
    assert published.models == ["org/model", "org/other"]
