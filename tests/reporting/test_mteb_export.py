"""Results in the official repository's layout: where each goes, and what mteb reads there."""

import json
import math

import mteb
import pytest
from mteb.results import TaskResult

from harness.evaluation.aggregates import combine
from harness.evaluation.digests import settle
from harness.evaluation.results import read_result
from harness.reporting.mteb_export import export_official
from tests.reporting.mteb_repository import (
    BGE,
    COMMIT,
    SPARSE,
    faults,
    files,
    shipped,
    write,
)

PLAIN = f"results/BAAI__bge-small-en-v1.5/{COMMIT}"
BM25 = "results/mteb__baseline-bm25s"


@pytest.fixture
def export(tmp_path, monkeypatch):
    """Exports results into `out`; no hub cache is there."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    configurations = shipped("bge_small", "e5_small")

    def run(*stored):
        return export_official(stored, tmp_path / "out", shipped=configurations)

    return run


def loaded(folder, **options):
    """Model, experiment, task to main score, as mteb's own loader has them."""
    results = mteb.ResultCache(folder).load_results(include_remote=False, **options)
    return {
        (model.model_name, model.experiment_name, result.task_name): result.get_score()
        for model in results.model_results
        for result in model.task_results
    }


def score(value, **more):
    return {"test": {"default": {"main_score": value, "ndcg_at_10": value, **more}}}


def test_dense_as_published_and_the_rest_as_experiments(export, tmp_path):
    dense = write(tmp_path / "r", scores=score(0.25))
    sparse = write(tmp_path / "r", mode=SPARSE, label="sparse-k256-cls-ridge", scores=score(0.5))
    bm25 = write(
        tmp_path / "r",
        *("model=bge_small",),
        mode={"kind": "bm25", "k1": 1.5},
        model="baseline/bm25s",
        revision="0.3.16",
        label="bm25-en",
        scores=score(0.125),
        bm25s="0.3.16",
    )
    done = export(dense, sparse, bm25)
    baseline = mteb.get_model_meta("mteb/baseline-bm25s").revision
    (own,) = (tmp_path / "out" / PLAIN / "experiments").iterdir()
    (lexical,) = (tmp_path / "out" / BM25 / baseline / "experiments").iterdir()
    assert own.name.startswith("harness_sparse-k256-cls-ridge-")
    assert lexical.name.startswith("harness_bm25-en-")
    trio = ("SCIDOCS.json", "model_meta.json", "run_settings.jsonl")
    assert files(tmp_path / "out") == sorted(
        [
            *(f"{PLAIN}/{name}" for name in trio),
            *(f"{PLAIN}/experiments/{own.name}/{name}" for name in trio),
            *(f"{BM25}/{baseline}/experiments/{lexical.name}/{name}" for name in trio),
            f"{BM25}/{baseline}/model_meta.json",
        ]
    )
    assert faults(tmp_path / "out" / "results") == []
    assert (len(done.paths), done.experiments) == (3, 2)
    assert (done.skipped, done.unreadable) == ([], [])
    assert done.notes == [
        "bm25 is an experiment on mteb/baseline-bm25s: other versions of bm25s rank otherwise"
    ]
    assert loaded(tmp_path / "out") == {(BGE, None, "SCIDOCS"): 0.25}
    assert loaded(tmp_path / "out", load_experiments="match_name") == {
        (BGE, None, "SCIDOCS"): 0.25,
        (BGE, own.name, "SCIDOCS"): 0.5,
        ("mteb/baseline-bm25s", lexical.name, "SCIDOCS"): 0.125,
    }
    kwargs = {"harness": own.name.removeprefix("harness_")}
    assert loaded(tmp_path / "out", experiment_kwargs=kwargs) == {(BGE, own.name, "SCIDOCS"): 0.5}
    meta = mteb.get_model_meta(BGE, experiment_kwargs=kwargs)
    assert loaded(tmp_path / "out", models=[meta]) == {(BGE, own.name, "SCIDOCS"): 0.5}
    cache = mteb.ResultCache(tmp_path / "out")
    assert cache.load_task_result("SCIDOCS", meta).get_score() == 0.5
    assert cache.load_task_result("SCIDOCS", BGE, COMMIT).get_score() == 0.25
    assert cache.get_models() == [("BAAI__bge-small-en-v1.5", COMMIT)]


def test_a_file_is_as_mteb_writes_it(export, tmp_path):
    """Six decimals, null for what is not a number, `date` in seconds."""
    stored = write(
        tmp_path / "r",
        scores=score(0.123456789, nauc_ndcg_at_10_max=math.nan, map_at_1=0.1),
    )
    (path,) = export(stored).paths
    written = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert written == {
        "dataset_revision": "f8c2fcf00f625baaa80f62ec5bd9e1fff3b8ae88",
        "task_name": "SCIDOCS",
        "mteb_version": "2.26.24",
        "scores": {
            "test": [
                {
                    "main_score": 0.123457,
                    "ndcg_at_10": 0.123457,
                    "nauc_ndcg_at_10_max": None,
                    "map_at_1": 0.1,
                    "hf_subset": "default",
                    "languages": ["eng-Latn"],
                    "mteb_version": "2.26.24",
                }
            ]
        },
        "evaluation_time": 1.5,
        "kg_co2_emissions": None,
        "date": None,
        "evaluation_phases": None,
    }
    read = TaskResult.from_disk(path, load_historic_data=False)
    assert read.validate_and_filter_scores().get_score() == 0.123457


def test_only_mtebs_own_tasks_at_their_revision(export, tmp_path):
    kept = write(tmp_path / "r")
    other = write(tmp_path / "r", task="SciFact", data="ab" * 16)
    own = write(tmp_path / "r", task="NFCorpus")
    own.result["task_name"] = "PyDocRetrieval"
    done = export(other, own, kept)
    assert [path.name for path in done.paths] == ["SCIDOCS.json"]
    assert done.skipped == [
        "no tasks of mteb's: PyDocRetrieval",
        "data that are not at the revision that mteb pins: SciFact (abababababab); run "
        "tasks.names=[NAME] for mteb's",
    ]


def test_weights_that_no_commit_is_known_of(export, tmp_path):
    results = [
        write(tmp_path / "r", revision="0" * 16, mode=mode, label=mode["kind"])
        for mode in ({"kind": "dense", "similarity": "cosine"}, SPARSE)
    ]
    done = export(*results)
    assert (done.paths, done.unreadable) == ([], [])
    assert done.skipped == [
        f"2 results: {BGE} is known by the content of its weights, 0000000000000000, and the "
        f"official repository wants a commit of the hub; run with model=hf model.name={BGE} "
        f"model.revision={COMMIT}, or fetch that commit into the hub cache"
    ]
    assert not (tmp_path / "out").exists()


def test_dense_of_other_settings_is_an_experiment(export, tmp_path):
    done = export(
        write(tmp_path / "r", "model=bge_small", "pooling=mean", label="dense-cosine-mean"),
        write(tmp_path / "r", task="NFCorpus"),
    )
    (own,) = (tmp_path / "out" / PLAIN / "experiments").iterdir()
    assert [path.stem for path in done.paths] == ["SCIDOCS", "NFCorpus"]
    assert files(own)[0] == "SCIDOCS.json"
    assert (tmp_path / "out" / PLAIN / "NFCorpus.json").exists()
    assert done.notes == [
        f"1 dense results of {BGE} are experiments: nothing tells that their settings are those "
        "that it is published with"
    ]
    assert faults(tmp_path / "out" / "results") == []


def test_tasks_of_one_configuration_share_an_experiment(export, tmp_path):
    """Although the instruction, part of a result's identity here, is the task's."""
    instructed = ("model=bge_small", "instruction=e5_mistral", "task_instructions=e5_mistral")
    export(
        *(
            write(tmp_path / "r", *instructed, mode=SPARSE, task=task)
            for task in ("SCIDOCS", "NFCorpus")
        ),
        write(tmp_path / "r", *instructed, "++task_instructions.SCIDOCS=Other", mode=SPARSE),
    )
    experiments = [files(path) for path in (tmp_path / "out" / PLAIN / "experiments").iterdir()]
    assert sorted(experiments, key=len) == [
        ["SCIDOCS.json", "model_meta.json", "run_settings.jsonl"],
        ["NFCorpus.json", "SCIDOCS.json", "model_meta.json", "run_settings.jsonl"],
    ]
    # A revision with experiments alone has metadata all the same.
    assert faults(tmp_path / "out" / "results") == []
    assert files(tmp_path / "out" / PLAIN)[-1] == "model_meta.json"


@pytest.mark.parametrize("whole_first", [True, False])
def test_of_one_configuration_the_most_places_win(export, tmp_path, whole_first):
    languages = ("ko-ko", "ar-ar")
    whole = {"test": {name: {"main_score": 0.5} for name in languages}}
    part = {"test": {"ko-ko": {"main_score": 0.75}}}
    stored = [
        write(tmp_path / "r", task="STS17", scores=whole),
        write(tmp_path / "r", task="STS17", scores=part, places=[["test", "ko-ko"]]),
    ]
    done = export(*(stored if whole_first else stored[::-1]))
    (path,) = done.paths
    assert path == tmp_path / "out" / PLAIN / "STS17.json"
    assert TaskResult.from_disk(path).get_score() == 0.5
    assert done.skipped == [
        "1 results whose task and configuration another result has with as many splits and "
        "subsets or more: STS17"
    ]


def test_an_aggregate_is_as_mteb_combines_it(export, tmp_path):
    task = mteb.get_task("CQADupstackRetrieval")
    parts = [
        write(tmp_path / "r", task=part.metadata.name, scores=score(0.0625 * (number + 1)))
        for number, part in enumerate(task.tasks)
    ]
    combined = combine(task, parts).result
    whole = write(tmp_path / "r", task="CQADupstackRetrieval", of={"a": "b"}, scores=score(0.0))
    whole.path.write_text(text := combined.model_dump_json().replace("NaN", "null"))
    settle(whole.path.with_suffix(""), {"result": text})
    done = export(*parts, read_result(whole.path))
    assert len(done.paths) == 13
    expected = tmp_path / "expected.json"
    task.combine_task_results([TaskResult.from_disk(part.path) for part in parts]).to_disk(expected)
    ours, theirs = (json.loads(path.read_text()) for path in (done.paths[-1], expected))
    assert ours["scores"]["test"][0]["main_score"] == 0.40625  # (1 + ... + 12) / 16 / 12
    assert ours["scores"] == theirs["scores"]
    assert ours["dataset_revision"] == theirs["dataset_revision"] == "1"
    assert faults(tmp_path / "out" / "results") == []


def test_what_cannot_be_read(export, tmp_path):
    broken = write(tmp_path / "r")
    (broken.path.with_suffix("") / "config.yaml").write_text("{")
    bare = write(tmp_path / "r", task="NFCorpus")
    (bare.path.with_suffix("") / "config.yaml").write_text("model: {}")
    untold = write(tmp_path / "r", task="ArguAna")
    del untold.experiment["settings"]["encoder"]["query"]["dtype"]
    undefined = write(tmp_path / "r", task="SciFact", scores=score(math.nan))
    done = export(broken, bare, untold, undefined)
    assert done.paths == []
    first, *others, last = done.unreadable
    assert first.startswith(f"{broken.path} cannot be read (while parsing")
    assert first.endswith(f"); delete {broken.path} and it will be computed again")
    assert others == [
        f"{one.path} does not tell its settings; delete {one.path} and it will be computed again"
        for one in (bare, untold)
    ]
    assert last == f"{undefined.path} has no main score, which every official result has"


def test_a_model_that_mteb_does_not_implement(export, tmp_path):
    done = export(write(tmp_path / "r", model="org/own-model", revision="c" * 40))
    assert done.experiments == 1
    assert done.notes == [
        "1 dense results of org/own-model are experiments: nothing tells that their settings are "
        "those that it is published with",
        "mteb does not implement org/own-model, which the repository asks for; mteb's loaders "
        "read its results all the same",
    ]
    assert faults(tmp_path / "out" / "results") == ["org__own-model is not implemented"]
    (key,) = loaded(tmp_path / "out", load_experiments="match_name")
    assert key[0] == "org/own-model"


def test_another_revision_than_mtebs(export, tmp_path):
    done = export(write(tmp_path / "r", revision="d" * 40))
    assert done.notes == [f"{BGE} is exported at revision {'d' * 40}, mteb implements {COMMIT}"]
    assert faults(tmp_path / "out" / "results") == []
