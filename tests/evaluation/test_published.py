"""Scores that others have published, reproduced."""

import json
import os
from pathlib import Path

import mteb
import pytest

from harness.evaluation.runner import Runner
from harness.evaluation.tasks.folder import folder_task

SHARED = Path(os.environ.get("HARNESS_SHARED", Path(__file__).parents[3] / "shared"))
PUBLISHED = SHARED / "data" / "published"
MINILM = "sentence-transformers__all-MiniLM-L6-v2/8b3219a92973c328a8e22fadcfa821b5dc75636a"
BM25 = "mteb__baseline-bm25s/0_1_10"

pytestmark = pytest.mark.skipif(not SHARED.exists(), reason=f"{SHARED} is absent")


def published(model, task, subset, split):
    scores = json.loads((PUBLISHED / model / f"{task}.json").read_text())["scores"][split]
    (found,) = [score for score in scores if score["hf_subset"] == subset]
    return found["ndcg_at_10"]


def ndcg(outcome):
    return {row.mode: row.value for row in outcome.rows}


def mteb_bm25(folder):
    model = mteb.get_model("mteb/baseline-bm25s")
    result = mteb.evaluate(
        model, folder_task(folder), cache=None, co2_tracker=False, show_progress_bar=False
    )
    return result.task_results[0].scores["test"][0]["ndcg_at_10"]


def check_modes(scores, *, dense, bm25, own_bm25):
    assert scores["dense"] == pytest.approx(dense, abs=2e-4)
    assert scores["bm25"] == pytest.approx(bm25, abs=2e-3)
    assert scores["bm25"] == pytest.approx(own_bm25, abs=2e-3)
    assert scores["hybrid"] > max(scores["dense"], scores["bm25"])


def test_xquad_en(run_config):
    folder = SHARED / "data" / "beir" / "xquad-en"
    outcome = Runner(run_config(f"tasks.path={folder}")).run()
    assert outcome.texts_encoded == 240 + 1185
    check_modes(
        ndcg(outcome),
        dense=published(MINILM, "XQuADRetrieval", "en", "validation"),
        bm25=published(BM25, "XQuADRetrieval", "en", "validation"),
        own_bm25=mteb_bm25(folder),
    )


@pytest.mark.slow
def test_scifact(run_config):
    folder = SHARED / "data" / "beir" / "scifact"
    overrides = [f"tasks.path={folder}", "retrieval.aligned_sparse.query_weight=idf"]
    outcome = Runner(run_config(*overrides)).run()
    assert outcome.texts_encoded == 5183 + 300
    scores = ndcg(outcome)
    check_modes(
        scores,
        dense=published(MINILM, "SciFact", "default", "test"),
        bm25=published(BM25, "SciFact", "default", "test"),
        own_bm25=mteb_bm25(folder),
    )
    assert scores["aligned_sparse"] >= 0.61
    normalised = Runner(run_config(*overrides, "experiment=ridge_normalised")).run()
    assert normalised.texts_encoded == 0
    assert ndcg(normalised)["aligned_sparse"] >= 0.98 * scores["dense"]
    assert Runner(run_config(*overrides)).run().texts_encoded == 0
