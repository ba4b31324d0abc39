"""One result's files: against official ones key by key, and beside what was there before."""

import json

import mteb
import pytest
from mteb.models import ModelMeta
from mteb.results import TaskResult

from harness.reporting.mteb_files import result_folder, write_meta, write_official
from tests.reporting.mteb_repository import BGE, COMMIT, SOFTWARE, write


@pytest.fixture
def metric_names(shared):
    """The names in an official score of a retrieval task, by the newest mteb that is there."""
    path = shared / "data/published/mteb__baseline-bm25s/0_1_10/XQuADRetrieval.json"
    return json.loads(path.read_text())["scores"]["validation"][0]


def test_keys_are_those_of_official_files(shared, metric_names, tmp_path):
    numbers = {
        name: value for name, value in metric_names.items() if isinstance(value, int | float)
    }
    stored = write(tmp_path / "r", scores={"test": {"default": numbers}})
    path = write_official(tmp_path / "out", TaskResult.from_disk(stored.path), stored)
    ours = json.loads(path.read_text())
    official = json.loads(
        (shared / "data/published/mteb__baseline-bm25s/0_1_10/XQuADRetrieval.json").read_text()
    )
    # What newer versions of mteb have added.
    assert ours.keys() - official.keys() == {"evaluation_phases"}
    assert official.keys() - ours.keys() == set()
    for name, value in official.items():
        if ours[name] is not None and name != "date":
            assert type(ours[name]) is type(value), name
    (score,) = ours["scores"]["test"]
    assert score.keys() - metric_names.keys() == {"mteb_version"}
    assert metric_names.keys() - score.keys() == set()
    assert all(isinstance(language, str) for language in score["languages"])
    assert {name: score[name] for name in numbers} == {
        name: None if value != value else pytest.approx(value, abs=5e-7)
        for name, value in numbers.items()
    }


def test_metadata_have_the_keys_of_official_ones(shared, tmp_path):
    folder = "minishlab__potion-base-8M/bf8b056651a2c21b8d2565580b8569da283cab23"
    official = json.loads(
        (shared / "data/published" / folder / "model_meta.json").read_text(),
    )
    write_meta(tmp_path, mteb.get_model_meta("minishlab/potion-base-8M"))
    ours = json.loads((tmp_path / "model_meta.json").read_text(), parse_constant=pytest.fail)
    assert ours.keys() == official.keys()
    assert ours["max_tokens"] is None  # Infinity there, which is no JSON
    assert ours["training_datasets"] == sorted(official["training_datasets"])
    # mteb has since mended others.
    for name in (
        *("name", "revision", "release_date", "languages", "embed_dim", "license", "open_weights"),
        *("modalities", "model_type", "similarity_fn_name", "experiment_kwargs", "reference"),
    ):
        assert ours[name] == official[name], name


@pytest.mark.parametrize("kwargs", [None, {"harness": "dense-cosine-mean-0123456789ab"}])
def test_mteb_reads_the_metadata_that_were_written(tmp_path, kwargs):
    meta = mteb.get_model_meta(BGE).model_copy(update={"experiment_kwargs": kwargs})
    write_meta(tmp_path, meta)
    text = (tmp_path / "model_meta.json").read_text()
    read = ModelMeta.model_validate_json_resolved(text)
    assert (read.name, read.revision, read.experiment_kwargs) == (BGE, COMMIT, kwargs)
    assert read.experiment_name == meta.experiment_name
    assert read.loader is meta.loader
    assert read.training_datasets == meta.training_datasets


def test_an_experiment_lies_below_its_revision(tmp_path):
    meta = mteb.get_model_meta(BGE)
    plain = tmp_path / "BAAI__bge-small-en-v1.5" / COMMIT
    assert result_folder(tmp_path, meta) == plain
    own = meta.model_copy(update={"experiment_kwargs": {"harness": "a-1"}})
    assert result_folder(tmp_path, own) == plain / "experiments" / "harness_a-1"
    cache = mteb.ResultCache(tmp_path.parent)
    for one in (meta, own):
        path = cache.get_task_result_path("STS17", one).relative_to(tmp_path.parent / "results")
        assert tmp_path / path == result_folder(tmp_path, one) / "STS17.json"


def test_run_settings_cover_every_place(tmp_path):
    scores = {
        "test": {"ko-ko": {"main_score": 0.5}, "ar-ar": {"main_score": 0.5}},
        "dev": {"ar-ar": {"main_score": 0.5}, "ko-ko": {"main_score": 0.5}},
        "train": {"en-ar": {"main_score": 0.5}},
    }
    stored = write(tmp_path / "r", task="STS17", scores=scores)
    for _ in range(2):  # written again, they stand once
        write_official(tmp_path / "out", TaskResult.from_disk(stored.path), stored)
    rows = rows_of(tmp_path / "out")
    versions = {**SOFTWARE, "sentence-transformers": None, "flash-attn": None}
    assert rows == [
        {
            "task": "STS17",
            "splits": splits,
            "version": versions,
            "encode_kwargs": {},
            "settings": stored.experiment["settings"],
            "subsets": subsets,
        }
        for splits, subsets in ((["dev", "test"], ["ar-ar", "ko-ko"]), (["train"], ["en-ar"]))
    ]


def test_other_tasks_keep_their_run_settings(tmp_path):
    path = tmp_path / "out" / "run_settings.jsonl"
    path.parent.mkdir()
    theirs = {"task": "ArguAna", "split": "test", "subset": "default"}
    path.write_text(f'{json.dumps(theirs)}\n{{broken\n\n["no row"]\n{{"task": "SCIDOCS"}}\n')
    stored = write(tmp_path / "r")
    write_official(path.parent, TaskResult.from_disk(stored.path), stored)
    found = rows_of(path.parent)
    assert found[0] == theirs
    assert [(row["task"], row.get("splits")) for row in found[1:]] == [("SCIDOCS", ["test"])]


def rows_of(folder):
    return [json.loads(line) for line in (folder / "run_settings.jsonl").read_text().splitlines()]
