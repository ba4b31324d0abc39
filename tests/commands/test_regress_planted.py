"""Planted regressions that `harness regress` must find, and reruns that are none."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.embedding.store import EmbeddingStore
from harness.evaluation.tasks.pydoc_corpus import build_collection
from tests.commands.regressing import command, objects, said
from tests.evaluation.conftest import write_folder

__all__ = ["command"]

WORDS = (
    "cat dog mat fox sat quick brown lazy small animal word yes again what is over jumps he said"
)


@pytest.fixture
def tiny(command, tiny_bert, tmp_path):
    """`harness regress` of a random model on 40 texts, each of which is its own query.

    With the right pooling each query's own text is the nearest of all.
    """
    rng = np.random.default_rng(0)
    words = WORDS.split()
    texts = [" ".join(rng.choice(words, 8)) for _ in range(40)]
    documents = [(f"d{n:02}", "", text) for n, text in enumerate(texts)]
    queries = [(f"q{n:02}", text, {f"d{n:02}": 1}) for n, text in enumerate(texts)]
    folder = write_folder(tmp_path / "texts", documents, queries)

    def tiny(*overrides, run):
        return command(
            *("regress", "tasks=folder", f"tasks.path={folder}", "cost=off", "head=ridge"),
            *("model=local", f"model.path={tiny_bert}", "pooling=mean", "baselines_dir=kept"),
            *(f"results_dir=results-{run}", f"store_dir=store-{run}", *overrides),
        )

    return tiny


def plant(source, target, *, every):
    """Put embeddings of another pooling into a new store, as those of mean pooling.

    Args:
        source: A store with the documents' embeddings of both poolings.
        target: The new store.
        every: One in so many documents is wrong.
    """
    spaces = {}
    for file in Path(source, "embeddings").glob("*/space.json"):
        space = json.loads(file.read_text())
        label = space.pop("label")
        if space["side"] == "document":
            spaces[space["pooling"]["kind"]] = (
                space,
                label,
                EmbeddingStore(Path(source, "embeddings"), space, label=label),
            )
    wrong = next(store for kind, (*_, store) in spaces.items() if kind != "mean")
    stored = (shard.keys for shard in wrong._shards.values())
    keys = sorted(key.as_py() for part in stored for key in part)[::every]
    vectors, tokens = wrong.read(wrong.find(keys))
    space, label, _ = spaces["mean"]
    EmbeddingStore(Path(target, "embeddings"), space, label=label).add(keys, vectors, tokens)
    return len(keys)


def test_a_wrong_pooling_of_one_document_in_four_alarms(tiny):
    """So many that some lose their rank, whatever the random model's weights."""
    modes = "retrieval=[dense]"
    assert tiny("update=true", modes, run="right")[0] == 0
    tiny("update=true", modes, "pooling=cls", "baselines_dir=other", run="right")
    assert plant("store-right", "store-wrong", every=4) == 10
    status, _, err = tiny(modes, run="wrong")
    assert status == 1
    (alarm,) = (line for line in said(err) if line.startswith("regression: "))
    assert "dense: nDCG@10 1.0000 → 0." in alarm
    assert "of 40 queries fell, 0 rose" in alarm
    assert any("computed them: 10 embeddings;" in line for line in said(err))


@pytest.fixture
def threads():
    """Sets PyTorch's threads, until the test is over."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


RERUNS = [(7, 1), (64, 2), (100000, 1)]  # tokens in a batch, threads


@pytest.mark.parametrize(("budget", "count"), RERUNS)
def test_other_batches_and_threads_are_no_regression(tiny, threads, budget, count):
    assert tiny("update=true", run="first")[0] == 0
    threads(count)
    status, out, err = tiny(f"backend.token_budget={budget}", "format=json", run="again")
    assert status == 0, err
    assert len(objects(out)) == 4 * 5 + 1  # SPLADE's figure is aligned_sparse's alone
    assert "4 results computed, 0 kept; 80 texts encoded" in err


@pytest.mark.slow
def test_a_wrong_pooling_costs_the_embedded_default_a_hundredth(command):
    """75 of 1,500 documents have the first token's state; the default settings alarm."""
    kept = ("cost=off", "baselines_dir=kept")
    assert command("regress", *kept, "update=true", "results_dir=right", "store_dir=right")[0] == 0
    command("run", "cost=off", "pooling=cls", "retrieval=[dense]", "store_dir=right")
    wrong = plant("right", "wrong", every=20)
    status, out, _ = command(
        "regress", *kept, "results_dir=wrong", "store_dir=wrong", "format=json"
    )
    assert status == 1
    checks = {(row["mode"], row["metric"]): row for row in objects(out)}
    assert wrong == 75
    for mode in ("dense", "hybrid"):
        assert checks[mode, "ndcg_at_10"]["verdict"] == "regression"
        assert checks[mode, "ndcg_at_10"]["difference"] < -0.005
    assert checks["bm25", "ndcg_at_10"]["verdict"] == "equal"


@pytest.mark.slow
def test_fifty_reruns_are_no_regression(command, threads, tmp_path):
    """MiniLM in all four modes on 120 documents and 40 queries of the standard library's."""
    collection = build_collection()
    queries = [(i, text, collection.qrels[i]) for i, text in collection.queries[:40]]
    judged = {document for *_, grades in queries for document in grades}
    ordered = sorted(collection.documents, key=lambda document: document[0] not in judged)
    folder = write_folder(tmp_path / "sample", ordered[:120], queries)

    def regress(run, *overrides):
        return command(
            *("regress", "tasks=folder", f"tasks.path={folder}", "cost=off", "baselines_dir=kept"),
            *(f"results_dir=results-{run}", f"store_dir=store-{run}", *overrides),
        )

    assert regress("first", "update=true")[0] == 0
    budgets = np.unique(np.geomspace(64, 100_000, 25).astype(int)).tolist()
    for budget, count in product(budgets, (1, 2)):
        threads(count)
        status, _, err = regress(f"{budget}-{count}", f"backend.token_budget={budget}")
        assert status == 0, err
        assert "4 results computed, 0 kept; 160 texts encoded" in err
        assert said(err)[-1] == "21 checks of 4 baselines: 0 regressions"
