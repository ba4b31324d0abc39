"""A result that makes way for one of other data is kept whole, whatever its task is called."""

import json

from harness.evaluation.results import _keep_superseded


def test_superseded_results_of_names_with_dots_stay_apart(tmp_path):
    for name in ("my.first", "my.second"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"dataset_revision": "old"}))
        (tmp_path / name).mkdir()
        (tmp_path / name / "cost.json").write_text(name)
        _keep_superseded(tmp_path / f"{name}.json", "new")
    kept = tmp_path / "superseded"
    for name in ("my.first", "my.second"):
        assert json.loads((kept / f"{name}-old.json").read_text()) == {"dataset_revision": "old"}
        assert (kept / f"{name}-old" / "cost.json").read_text() == name
        assert not (tmp_path / f"{name}.json").exists()


def test_a_result_of_the_same_data_stays(tmp_path):
    path = tmp_path / "task.json"
    path.write_text(json.dumps({"dataset_revision": "same"}))
    _keep_superseded(path, "same")
    assert path.exists()
    assert not (tmp_path / "superseded").exists()
