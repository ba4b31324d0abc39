"""What a run would do, before and after it has been done."""

import shutil
import tempfile

import pytest

from harness.evaluation import plan as planning
from harness.evaluation.plan import plan
from harness.evaluation.runner import Runner


@pytest.fixture
def tiny(run_config, tiny_bert, monkeypatch):
    """A quick run of a random model of 16 dimensions; nothing is remembered of other tests."""
    monkeypatch.setattr(planning, "_FORECASTS", {})
    own = ("model=local", f"model.path={tiny_bert}", "pooling=mean", "head=ridge")
    return lambda *overrides: run_config(*own, *overrides)


def files(tmp_path):
    return sorted(path for path in tmp_path.rglob("*") if path.is_file())


def test_nothing_is_stored_and_nothing_is_written(tiny, tmp_path):
    before = files(tmp_path)
    (entry,) = plan(tiny("retrieval=[dense,bm25]"))
    assert files(tmp_path) == before
    assert (entry.task, entry.stored, list(entry.missing)) == ("toy", [], ["dense", "bm25"])
    assert entry.texts == 10  # six documents, four queries
    assert entry.flops > 0
    assert entry.seconds > 0
    assert "GFLOP/s" in entry.note


def test_the_embedded_task_is_built_elsewhere(run_config, tmp_path, monkeypatch):
    """The store keeps the collection that a run builds; a plan leaves it as it is."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    planning._copied.cache_clear()
    config = run_config("retrieval=[bm25]", "tasks=embedded", "tasks.path=null")
    (entry,) = plan(config)
    assert (entry.task, list(entry.missing)) == ("PyDocRetrieval", ["bm25"])
    assert not (tmp_path / "store").exists()
    (built,) = temporary.rglob("*.json")
    kept = tmp_path / "store" / "tasks" / built.name
    kept.parent.mkdir(parents=True)
    shutil.copy(built, kept)
    planning._copied.cache_clear()
    assert not list(temporary.iterdir())
    monkeypatch.setattr("harness.evaluation.tasks.pydoc.build_collection", lambda: 1 / 0)
    assert plan(config) == [entry]
    planning._copied.cache_clear()


def test_flops_are_about_those_of_the_run(tiny):
    config = tiny("retrieval=[dense]")
    (entry,) = plan(config)
    (row,) = Runner(config).run().rows
    counted = 6 * row.cost["encode_flops_per_document"] + 4 * row.cost["encode_flops_per_query"]
    # The tokenizer of the random model splits words into letters, 4.5 times the tokens assumed.
    assert 1 < counted / entry.flops < 6


def test_what_is_stored_is_told_and_not_encoded_again(tiny, tmp_path):
    Runner(tiny("retrieval=[dense]")).run()
    before = files(tmp_path)
    (entry,) = plan(tiny("retrieval=[dense,aligned_sparse]"))
    assert (entry.stored, list(entry.missing)) == (["dense"], ["aligned_sparse"])
    assert (entry.texts, entry.flops, entry.seconds, entry.note) == (0, 0.0, 0.0, "")
    (other,) = plan(tiny("retrieval=[dense]", "pooling=cls"))
    assert (other.stored, other.texts) == ([], 10)
    assert other.space != entry.space
    assert files(tmp_path) == before


def test_new_texts_alone_count(tiny, toy_folder):
    Runner(tiny("retrieval=[dense]")).run()
    with (toy_folder / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "new", "title": "", "text": "Ice melts in the sun."}\n')
    (entry,) = plan(tiny("retrieval=[dense]"))
    assert (entry.stored, entry.texts) == ([], 1)


def test_a_run_without_a_model_encodes_nothing(tiny):
    (entry,) = plan(tiny("retrieval=[bm25]"))
    assert (list(entry.missing), entry.texts, entry.note) == (["bm25"], 0, "")


def test_jobs_with_the_same_result_can_be_told(tiny):
    (one,) = plan(tiny("retrieval=[dense,aligned_sparse]", "retrieval.aligned_sparse.doc_top_k=8"))
    (two,) = plan(tiny("retrieval=[dense,aligned_sparse]", "retrieval.aligned_sparse.doc_top_k=9"))
    assert one.space == two.space
    assert one.missing["dense"] == two.missing["dense"]
    assert one.missing["aligned_sparse"] != two.missing["aligned_sparse"]


def test_a_task_whose_data_are_not_at_hand(tiny):
    """NFCorpus as mteb describes it: 3,633 documents and 323 queries; nothing is downloaded."""
    planned = plan(tiny("retrieval=[dense]", "tasks.names=[NFCorpus]"))
    entry = next(one for one in planned if one.task == "NFCorpus")
    assert (entry.stored, list(entry.missing)) == ([], ["dense"])
    assert 3_900 < entry.texts <= 3_956  # equal texts count once
    assert entry.flops > 0
