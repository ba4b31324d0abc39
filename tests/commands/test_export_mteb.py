"""`harness export format=mteb` as a user runs it, from a run to mteb's own submission."""

import json
import shutil
import subprocess
import sys

import datasets
import mteb
import pytest
from mteb.results import TaskResult

from harness.cli import _main
from harness.config import ModelConfig
from harness.embedding.locate import locate
from harness.embedding.model import EmbeddingModel
from tests.evaluation.conftest import DOCUMENTS, QUERIES, write_folder
from tests.reporting.mteb_repository import BGE, COMMIT, faults, files, write

PLAIN = f"mteb/results/BAAI__bge-small-en-v1.5/{COMMIT}"
REPOSITORY = "https://github.com/embeddings-benchmark/results"


@pytest.fixture
def command(tmp_path, capfd, monkeypatch):
    """Run `harness` in this process: status, lines of standard output and of standard error."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capfd.readouterr()
        status = _main(list(arguments))
        out, err = capfd.readouterr()
        return status, out.splitlines(), err.splitlines()

    return run


@pytest.fixture
def bge(hub, tiny_bert, tmp_path):
    """A random model with BGE's name in the hub cache, at the commit that mteb implements."""
    from transformers import BertConfig, BertForMaskedLM

    folder = tmp_path / "bge"
    shutil.copytree(tiny_bert, folder)
    config = BertConfig.from_pretrained(tiny_bert, max_position_embeddings=512)
    BertForMaskedLM(config).save_pretrained(folder)
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    return hub(BGE, content, commit=COMMIT)


def loads(places):
    """A `load_data` of mteb's that gives collections by subset and split."""

    def load(task, **_):
        task.dataset = {
            subset: {
                split: {
                    "corpus": datasets.Dataset.from_list(corpus),
                    "queries": datasets.Dataset.from_list(queries),
                    "relevant_docs": qrels,
                    "top_ranked": None,
                }
                for split, (corpus, queries, qrels) in splits.items()
            }
            for subset, splits in places.items()
        }
        task.data_loaded = True

    return load


def read_collection(folder):
    """Corpus, queries that are judged and judgements of a BEIR folder."""
    corpus, queries = (
        [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        for name in ("corpus", "queries")
    )
    qrels = {}
    for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        qrels.setdefault(query, {})[document] = int(grade)
    return (
        [{"id": d["_id"], "title": d.get("title", ""), "text": d["text"]} for d in corpus],
        [{"id": q["_id"], "text": q["text"]} for q in queries if q["_id"] in qrels],
        qrels,
    )


@pytest.fixture
def scidocs(monkeypatch):
    """mteb's SCIDOCS with the toy collection in the place of its data."""
    collection = (
        [{"id": name, "title": title, "text": text} for name, title, text in DOCUMENTS],
        [{"id": name, "text": text} for name, text, _ in QUERIES],
        {name: dict(grades) for name, _, grades in QUERIES},
    )
    task = type(mteb.get_task("SCIDOCS"))
    monkeypatch.setattr(task, "load_data", loads({"default": {"test": collection}}))
    monkeypatch.setattr(task, "unload_data", lambda task: None)


def run_all(command, tmp_path):
    """Two configurations on SCIDOCS and on a folder."""
    toy = write_folder(tmp_path / "toy")
    settings = ("tasks=folder", f"tasks.path=[{toy}]", "tasks.names=[SCIDOCS]", "store_dir=store")
    plain = ("run", *settings, "cost=off", "model=bge_small", "backend.device=cpu")
    assert command(*plain)[0] == 0
    assert command(*plain, "pooling=mean", "retrieval=[dense]")[0] == 0


def test_a_run_is_exported_and_read_by_mteb(command, bge, scidocs, tmp_path):
    run_all(command, tmp_path)
    status, out, err = command("export", "format=mteb")
    assert status == 0
    experiments = {path.name.partition("-")[0] for path in (tmp_path / PLAIN).glob("*/*")}
    assert experiments == {"harness_dense", "harness_aligned_sparse", "harness_hybrid"}
    assert f"{PLAIN}/SCIDOCS.json" in out
    assert len(out) == 5
    assert sorted(tmp_path / path for path in out) == sorted(tmp_path.rglob("mteb/**/SCIDOCS.json"))
    assert err == [
        "skipped: no tasks of mteb's: toy",
        *sorted(
            [
                f"note: 1 dense results of {BGE} are experiments: nothing tells that their "
                "settings are those that it is published with",
                "note: bm25 is an experiment on mteb/baseline-bm25s: other versions of bm25s rank "
                "otherwise",
            ]
        ),
        "5 results, 4 of them of experiments: mteb/results",
        "to read them: mteb.ResultCache('mteb').load_results(load_experiments='match_name')",
    ]
    assert faults(tmp_path / "mteb" / "results") == []

    cache = mteb.ResultCache(tmp_path / "mteb")
    read = cache.load_results(load_experiments="match_name", include_remote=False)
    exported = {
        (model.model_name, model.experiment_name or ""): result
        for model in read.model_results
        for result in model.task_results
    }
    assert len(exported) == 5
    ours = {}
    for path in (tmp_path / "results").glob("*/*/experiments/*/SCIDOCS.json"):
        name = path.parent.name.rpartition("-")[0]
        key = "" if name == "dense-cosine-cls" else f"harness_{name}"
        ours[key] = TaskResult.from_disk(path)
    assert len(ours) == 5
    for (model, experiment), result in exported.items():
        stored = ours[experiment.rpartition("-")[0]]
        (written,), (kept,) = result.scores["test"], stored.scores["test"]
        assert written.keys() == kept.keys()
        for metric, value in kept.items():
            expected = pytest.approx(value, abs=5e-7) if isinstance(value, float) else value
            assert written[metric] == expected, (model, metric)
        assert result.validate_and_filter_scores().get_score() == written["main_score"]
    (plain,) = cache.load_results(include_remote=False).model_results
    assert (plain.model_name, plain.model_revision, plain.experiment_name) == (BGE, COMMIT, None)
    assert 0 < plain.task_results[0].get_score() < 1


def test_the_same_again_changes_nothing(command, bge, scidocs, tmp_path):
    run_all(command, tmp_path)
    command("export", "format=mteb")
    before = {name: (tmp_path / "mteb" / name).read_text() for name in files(tmp_path / "mteb")}
    assert command("export", "format=mteb", "task=SCIDOCS")[0] == 0
    after = {name: (tmp_path / "mteb" / name).read_text() for name in files(tmp_path / "mteb")}
    assert after == before


def test_mteb_submits_what_was_exported(command, tmp_path, monkeypatch):
    """mteb clones the official repository, here one of this machine, and commits to a branch."""
    official = tmp_path / "official"
    official.mkdir()
    (official / "README.md").write_text("Results.\n")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "3")
    for number, (key, value) in enumerate(
        {
            f"url.file://{official}.insteadOf": REPOSITORY,
            "user.name": "A",
            "user.email": "a@example.org",
        }.items()
    ):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)
    for arguments in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-qm", "first")):
        subprocess.run(["git", *arguments], cwd=official, check=True)
    dense = write(tmp_path / "results")
    write(tmp_path / "results", mode={"kind": "aligned_sparse"}, label="aligned_sparse-k8-cls")
    assert command("export", "format=mteb", "export_dir=out")[0] == 0
    cache = mteb.ResultCache(tmp_path / "out")
    (experiment,) = (tmp_path / "out").glob("results/*/*/experiments/*")
    meta = mteb.get_model_meta(
        BGE, experiment_kwargs={"harness": experiment.name.removeprefix("harness_")}
    )
    submitted = cache.submit_results([BGE, meta])
    assert submitted["status"] == "ready_for_submission"
    assert submitted["models_submitted"] == [(BGE, COMMIT)] * 2
    assert submitted["result_count"] == 2
    clone = tmp_path / "out" / "remote" / "results"
    assert files(clone / "BAAI__bge-small-en-v1.5") == files(
        tmp_path / "out" / "results" / "BAAI__bge-small-en-v1.5"
    )
    assert faults(clone) == []
    (path,) = clone.glob("BAAI*/*/SCIDOCS.json")
    assert TaskResult.from_disk(path).get_score() == dense.result["scores"]["test"][0]["main_score"]


def test_content_of_a_commit_in_the_cache(command, bge, tmp_path):
    """A model that was run from its folder is exported at the commit with that content."""
    content = EmbeddingModel(ModelConfig(path=str(bge))).weights_hash
    known = {"revision": content[:16], "weights": content}
    write(tmp_path / "results", "model=bge_small", f"model.path={bge}", **known)
    write(tmp_path / "results", model="local/unknown", revision="0" * 16)
    status, out, err = command("export", "format=mteb")
    assert (status, out) == (0, [f"{PLAIN}/SCIDOCS.json"])
    assert err[0].startswith(
        "skipped: 1 results: local/unknown is known by the content of its weights, 0000000000000000"
    )
    assert err[1] == "1 results, 0 of them of experiments: mteb/results"


def test_tasks_that_rank_nothing_are_exported(command, tmp_path):
    scores = {"test": {"ko-ko": {"main_score": 0.5}}}
    write(tmp_path / "results", task="STS17", scores=scores)
    write(tmp_path / "results")
    assert command("export", "format=mteb", "task=STS17")[:2] == (0, [f"{PLAIN}/STS17.json"])
    assert command("export", "task=STS17")[2] == [
        "harness: task=STS17 ranks nothing, so there is no run to export"
    ]


def test_what_cannot_be_read_is_left_out(command, tmp_path):
    stored = write(tmp_path / "results")
    write(tmp_path / "results", task="NFCorpus")
    stored.path.write_text("{")
    status, out, err = command("export", "format=mteb")
    assert (status, out) == (1, [f"{PLAIN}/NFCorpus.json"])
    assert err[0].startswith(
        f"left out: {stored.path.relative_to(tmp_path)} cannot be read as JSON"
    )


def test_refusals(command, tmp_path):
    assert command("export", "format=mteb", "export_dir=.") == (
        2,
        [],
        [
            "harness: format=mteb would write into results_dir=results itself; name another folder "
            "with export_dir=DIR"
        ],
    )
    assert command("export", "format=csv")[2] == [
        "harness: format='csv' is unknown; choose one of: trec, mteb"
    ]
    write(tmp_path / "results")
    (tmp_path / "file").write_text("")
    assert command("export", "format=mteb", "export_dir=file/x") == (
        2,
        [],
        [
            "harness: export_dir=file/x cannot be written (Not a directory); name another folder "
            "with export_dir=DIR"
        ],
    )
    assert command("export", "format=mteb", "task=SciFact")[2] == [
        "harness: task=SciFact has no results; those that have: SCIDOCS"
    ]


MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_COMMIT = "8b3219a92973c328a8e22fadcfa821b5dc75636a"


@pytest.mark.slow
def test_the_official_file_of_the_real_model(command, hub, minilm, shared, tmp_path, monkeypatch):
    """MiniLM on XQuAD in English: the official file, made by mteb 1, key by key and score by score.

    Its weights stand in the hub cache at the commit that mteb implements; of the subsets only that
    one is asked for.
    """
    folder = locate(minilm.path, setting="model.path")
    content = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    hub(MINILM, content, commit=MINILM_COMMIT)
    task = type(mteb.get_task("XQuADRetrieval"))
    collection = read_collection(shared / "data" / "beir" / "xquad-en")
    monkeypatch.setattr(task, "load_data", loads({"en": {"validation": collection}}))
    monkeypatch.setattr(task, "unload_data", lambda task: None)
    model = ("model=hf", f"model.name={MINILM}", f"model.revision={MINILM_COMMIT}")
    settings = ("tasks.names=[XQuADRetrieval/en]", "tasks.path=null", "store_dir=store")
    run = ("run", *model, *settings, "cost=off", "backend.device=cpu", "retrieval=[dense]")
    assert command(*run)[0] == 0
    place = f"results/sentence-transformers__all-MiniLM-L6-v2/{MINILM_COMMIT}/XQuADRetrieval.json"
    assert command("export", "format=mteb")[1] == [f"mteb/{place}"]
    published = shared / "data" / "published" / place.removeprefix("results/")
    ours, theirs = (TaskResult.from_disk(path) for path in (tmp_path / "mteb" / place, published))
    assert ours.task_name == theirs.task_name  # mteb has since moved the data set
    (score,) = ours.scores["validation"]
    (official,) = (one for one in theirs.scores["validation"] if one["hf_subset"] == "en")
    assert official.keys() <= score.keys()
    differing = [
        metric
        for metric, value in official.items()
        if isinstance(value, float) and not metric.startswith("nauc")
        if score[metric] != pytest.approx(value, abs=0.002)
    ]
    assert differing == []
    assert official["languages"] == score["languages"]
