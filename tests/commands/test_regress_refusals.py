"""What `harness regress` refuses: one line that says why, exit status 2, nothing written."""

from pathlib import Path

import pytest

from tests.commands.regressing import BASELINE, command, edited, refused, toy
from tests.evaluation.conftest import DOCUMENTS, QUERIES, write_folder

__all__ = ["command", "toy"]


def test_without_a_baseline_nothing_is_run(toy):
    refused(toy(), "baselines_dir=kept holds no baseline", "update=true")
    assert not Path("results").exists()


def test_a_mode_without_a_baseline(toy, tiny_bert):
    toy("update=true")
    tiny = ("model=local", f"model.path={tiny_bert}", "pooling=mean", "retrieval=[bm25,dense]")
    refused(toy(*tiny, "junit=r.xml"), "toy (dense): no baseline", "update=true")
    assert not Path("r.xml").exists()


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("data_revision", "data2", "data revision data2 in the baseline, "),
        ("model_hash", "aa11", "model hash aa11 in the baseline, (none) in the run"),
        ("main_metric", "map_at_10", "metric map_at_10 in the baseline, ndcg_at_10 in the run"),
    ],
)
def test_unlike_things(toy, field, value, says):
    toy("update=true")
    edited(BASELINE, lambda record: record.update({field: value}))
    refused(toy(), "toy (bm25): ", says, "update=true")


def test_another_collection_of_the_same_name_is_unlike(toy, command, tmp_path):
    toy("update=true")
    other = write_folder(tmp_path / "other" / "toy", DOCUMENTS[:5], QUERIES[:3])
    arguments = ("tasks=folder", f"tasks.path={other}", "retrieval=[bm25]", "baselines_dir=kept")
    refused(command("regress", "cost=off", *arguments), "data revision ")


def test_a_metric_that_the_baseline_has_not(toy):
    toy("update=true")
    refused(toy("metrics=[recall_at_100]"), "no metric recall_at_100 in the baseline")


@pytest.mark.parametrize("text", ["", "{oops", "[]", '{"format": 1}'])
def test_an_unreadable_baseline(toy, text):
    toy("update=true")
    BASELINE.write_text(text)
    refused(toy(), str(BASELINE), "update=true")
    status, out, _ = toy("update=true")
    assert status == 0
    assert out.splitlines()[1].startswith("  replaced: ")
    assert toy()[0] == 0


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("tolerance=-1", "tolerance"),
        ("tolerance=nan", "tolerance"),
        ("tolerances={ndcg_at_10:much}", "tolerances.ndcg_at_10"),
        ("noise_floor=-1", "noise_floor"),
        ("significance=1", "significance"),
        ("times=always", "auto, measure, skip"),
        ("times=measure", "cost.latency_queries=0"),
        ("junit=", "junit is empty"),
        ("update=perhaps", "update"),
    ],
)
def test_bad_settings(toy, override, says):
    refused(toy(override), says)
    assert not Path("results").exists()


def test_a_comparison_s_files_are_not_for_an_update(toy):
    refused(toy("update=true", "junit=r.xml"), "junit= and markdown=")


def test_a_file_that_cannot_be_written(toy):
    toy("update=true")
    status, _, err = toy("junit=toy/corpus.jsonl/r.xml")
    assert status == 2
    assert "junit=toy/corpus.jsonl/r.xml cannot be written" in err
