"""What a run finds of its results, and what it takes for finished."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from mteb.results import TaskResult

from harness.errors import TaskFailedError
from harness.evaluation.digests import settle
from harness.evaluation.evaluators import Evaluated
from harness.evaluation.experiment import encoder_settings, settings_hash
from harness.evaluation.ledger import Ledger
from harness.evaluation.runner import Runner
from harness.evaluation.tasks.folder import local_task
from tests.evaluation.every_type import FOLDERS, write_folder

PLACE = "test/default"


@pytest.fixture
def ledger_of(run_config, tiny_bert, tmp_path):
    """A runner's ledger of a folder of a type, after a run or before any."""

    def make(name, *overrides, run=False):
        folder = tmp_path / name
        if not folder.exists():
            write_folder(folder, FOLDERS[name])
        tiny = ("model=local", f"model.path={tiny_bert}", "pooling=mean", "head=ridge")
        config = run_config(*tiny, f"tasks.path={folder}", *overrides)
        runner = Runner(config)
        if run:
            runner.run()
            return runner._ledgers[name]
        return Ledger(local_task(folder), runner.config, runner._encoder, runner._head)

    return make


def test_modes_are_those_that_apply_in_the_order_of_the_run(ledger_of):
    order = "retrieval=[bm25,dense,hybrid]"
    assert list(ledger_of("search", order).experiments) == ["bm25", "dense", "hybrid"]
    assert list(ledger_of("sts", order).experiments) == ["dense"]
    assert list(ledger_of("sts", "retrieval=[bm25]").experiments) == []


def test_a_model_is_used_where_a_mode_has_one(ledger_of):
    assert not ledger_of("search", "retrieval=[bm25]").uses_model
    assert ledger_of("search", "retrieval=[bm25,dense]").uses_model
    assert not ledger_of("sts", "retrieval=[bm25]").uses_model


def test_nothing_is_stored_before_a_run(ledger_of):
    ledger = ledger_of("search", "retrieval=[bm25]")
    assert ledger.stored("bm25") is None
    assert not ledger.is_finished(None)


def test_a_result_is_found_again(ledger_of):
    written = ledger_of("search", "retrieval=[bm25]", run=True)
    again = ledger_of("search", "retrieval=[bm25]")
    stored = again.stored("bm25")
    assert stored.path == written.stored("bm25").path
    assert again.is_finished(stored)
    assert stored.experiment["task_type"] == "Retrieval"
    assert stored.experiment["main_metric"] == "ndcg_at_10"
    meta = json.loads((stored.path.parent / "model_meta.json").read_text())
    assert meta["name"] == "baseline/bm25s"
    assert meta["experiment_kwargs"] == again.experiments["bm25"].settings


def rewrite(path, result):
    """Another content of a result, as if it had been written so."""
    text = json.dumps(result)
    path.write_text(text)
    settle(path.with_suffix(""), {"result": text})


def test_a_result_of_other_data_is_none(ledger_of):
    ledger = ledger_of("search", "retrieval=[bm25]", run=True)
    path = ledger.stored("bm25").path
    result = json.loads(path.read_text())
    rewrite(path, result | {"dataset_revision": "other"})
    assert ledger.stored("bm25") is None


def test_cost_that_is_asked_for_and_not_there_is_missing(ledger_of):
    stored = ledger_of("search", "retrieval=[bm25]", run=True).stored("bm25")
    assert stored.cost[PLACE]["latency_p50_ms"] is None
    timed = ledger_of("search", "retrieval=[bm25]", "cost.latency_queries=1")
    assert not timed.is_finished(stored)
    cost = {PLACE: stored.cost[PLACE] | {"latency_p50_ms": 1.5}}
    assert timed.is_finished(replace(stored, cost=cost))
    partly = cost | {"test/other": stored.cost[PLACE]}
    assert not timed.is_finished(replace(stored, cost=partly))


def test_a_task_without_queries_needs_no_latency(ledger_of):
    stored = ledger_of("sts", "retrieval=[dense]", run=True).stored("dense")
    assert ledger_of("sts", "retrieval=[dense]", "cost.latency_queries=9").is_finished(stored)


def test_rows_are_of_what_was_asked_for(ledger_of):
    ledger = ledger_of("search", "retrieval=[bm25]", "metrics=[map_at_10]", run=True)
    stored = ledger.stored("bm25")
    place = stored.result["scores"]["test"][0]
    more = {
        "test": [place, place | {"hf_subset": "other"}],
        "dev": [place],
    }
    wider = replace(stored, result=stored.result | {"scores": more})
    for kept in (set(), {"bm25"}):
        rows = ledger.rows({"bm25": wider}, kept=kept)
        assert [(row.split, row.subset, row.metric, row.kept) for row in rows] == [
            ("test", "default", "ndcg_at_10", bool(kept)),
            ("test", "default", "map_at_10", bool(kept)),
        ]
    assert ledger.rows({}, kept=set()) == []


def test_rows_tell_the_space_of_their_embeddings(ledger_of):
    ledger = ledger_of("search", "retrieval=[dense,bm25]", run=True)
    space = settings_hash(encoder_settings(ledger.encoder))
    rows = ledger.rows({mode: ledger.stored(mode) for mode in ("dense", "bm25")}, kept=())
    assert [(row.model, row.encoder) for row in rows] == [("local/tiny-bert", space)] * 2
    alone = ledger_of("search", "retrieval=[bm25]")
    (row,) = alone.rows({"bm25": alone.stored("bm25")}, kept=())
    assert (row.model, row.encoder) == ("local/tiny-bert", "")


def test_model_settings_are_the_encoder_s_and_the_head_s(ledger_of):
    ledger = ledger_of("search")
    settings = ledger.model_settings()
    assert set(settings["encoder"]) == {"query", "document", "symmetric"}
    assert settings["encoder"]["query"]["pooling"]["kind"] == "mean"
    assert settings["head"]["kind"] == "ridge"


def test_places_of_another_process_are_not_lost(ledger_of):
    """It has written more while this one evaluated: neither result is thrown away in silence."""
    ledger = ledger_of("search", "retrieval=[bm25]", run=True)
    stored = ledger.stored("bm25")
    evaluated = Evaluated(TaskResult.from_disk(stored.path), stored.cost)
    assert ledger.write("bm25", evaluated).result == stored.result
    place = stored.result["scores"]["test"][0]
    more = {"test": [place, place | {"hf_subset": "other"}]}
    rewrite(stored.path, stored.result | {"scores": more})
    with pytest.raises(TaskFailedError) as caught:
        ledger.write("bm25", evaluated)
    assert str(caught.value) == (
        f"another process has written 1 more places of {stored.path} meanwhile; run the same "
        "command again"
    )
    assert len(ledger.stored("bm25").result["scores"]["test"]) == 2


def test_an_aggregate_is_known_by_its_parts(ledger_of):
    one, two = (ledger_of(name, "retrieval=[dense,bm25]") for name in ("search", "lists"))
    task = SimpleNamespace(
        is_aggregate=True,
        metadata=SimpleNamespace(name="Both", dataset={"path": "none", "revision": "1"}),
    )
    both = Ledger(task, one._config, one.encoder, one._head, parts=[one, two])
    assert both.experiments["bm25"].settings["of"] == {
        "search": settings_hash(one.experiments["bm25"].settings),
        "lists": settings_hash(two.experiments["bm25"].settings),
    }
    sts = ledger_of("sts", "retrieval=[dense,bm25]")
    mixed = Ledger(task, one._config, one.encoder, one._head, parts=[one, sts])
    assert list(mixed.experiments) == ["dense"]
    assert mixed.experiments["dense"].folder != both.experiments["dense"].folder
