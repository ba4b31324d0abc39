"""`harness regress` as a user runs it: baselines written, compared, refused; real regressions."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from harness.cli import _main
from harness.embedding.store import EmbeddingStore
from tests.evaluation.conftest import DOCUMENTS, QUERIES, write_folder

WORDS = (
    "cat dog mat fox sat quick brown lazy small animal word yes again what is over jumps he said"
)


@pytest.fixture
def command(tmp_path, capfd, monkeypatch):
    """A command in this process and a folder of its own: status, standard output and error."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capfd.readouterr()
        status = _main([str(argument) for argument in arguments])
        return status, *capfd.readouterr()

    return run


@pytest.fixture
def toy(command, tmp_path):
    """`harness regress` with BM25 on the toy collection, whose nDCG@10 is 0.9033."""
    folder = write_folder(tmp_path / "toy")

    def toy(*overrides):
        return command(
            *("regress", "tasks=folder", f"tasks.path={folder}", "cost=off", "retrieval=[bm25]"),
            *("baselines_dir=kept", *overrides),
        )

    return toy


BASELINE = Path("kept/toy/baseline__bm25s/bm25.json")


def said(error):
    return [" ".join(line.split()) for line in error.splitlines()]


def objects(output):
    return [json.loads(line) for line in output.splitlines()]


def edited(path, change):
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


# Written, compared, written anew.


def test_a_run_equals_the_baseline_that_it_wrote(toy):
    status, out, err = toy("update=true")
    assert (status, out.splitlines()) == (
        0,
        [str(BASELINE), "  new: ndcg_at_10 test/default 0.9033"],
    )
    assert said(err)[-1] == "1 baseline written, 0 unchanged: kept"
    record = json.loads(BASELINE.read_text())
    queries = record["places"]["test/default"]["scores"]["ndcg_at_10"]["queries"]
    assert list(queries) == ["q1", "q2", "q3", "q4"]
    assert sum(queries.values()) / 4 == pytest.approx(0.9033, abs=5e-5)

    status, out, err = toy()
    assert status == 0
    assert "nDCG@10" in out
    assert said(err)[-1] == "5 checks of 1 baseline: 0 regressions"


def test_an_unchanged_baseline_is_not_written(toy):
    toy("update=true")
    before = BASELINE.stat().st_mtime_ns
    status, out, err = toy("update=true")
    assert (status, out.splitlines()) == (0, [str(BASELINE), "  unchanged"])
    assert said(err)[-1] == "0 baselines written, 1 unchanged: kept"
    assert BASELINE.stat().st_mtime_ns == before


def test_a_regression_is_told_everywhere(toy):
    """The baseline has a query more right, and an index of a byte less."""
    toy("update=true")

    def better(record):
        place = record["places"]["test/default"]
        place["scores"]["ndcg_at_10"] |= {"value": 0.95}
        place["scores"]["ndcg_at_10"]["queries"]["q4"] = 0.8
        place["cost"]["index_bytes"] -= 1

    edited(BASELINE, better)
    status, out, err = toy("junit=out/r.xml", "markdown=out/r.md")
    assert status == 1
    assert "regression" in out
    alarms = [line for line in said(err) if line.startswith("regression: ")]
    assert [line.split(": ", 2)[2].split(" (")[0] for line in alarms] == [
        "nDCG@10 0.9500 → 0.9033",
        alarms[1].split(": ", 2)[2].split(" (")[0],
    ]
    assert "index bytes" in alarms[1]
    assert said(err)[-1] == "5 checks of 1 baseline: 2 regressions"
    (suite,) = ElementTree.parse("out/r.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("5", "2")
    markdown = Path("out/r.md").read_text()
    assert markdown.startswith("### harness regress: 5 checks of 1 baseline: 2 regressions\n")
    assert "| **bm25** | **nDCG@10** | **0.9500** | **0.9033** |" in markdown

    status, out, _ = toy("format=json")
    assert status == 1
    verdicts = {row["metric"]: row["verdict"] for row in objects(out)}
    assert verdicts == {
        "ndcg_at_10": "regression",
        "query_flops": "equal",
        "scoring_flops_per_query": "equal",
        "corpus_flops": "equal",
        "index_bytes": "regression",
    }

    status, out, _ = toy("update=true")
    assert status == 0
    assert any("nDCG@10 0.9500 → 0.9033 (-0.0467, worse" in line for line in out.splitlines())
    assert toy()[0] == 0


def test_a_tolerance_of_one_s_own(toy):
    toy("update=true")
    edited(
        BASELINE,
        lambda record: record["places"]["test/default"]["scores"]["ndcg_at_10"].update(value=0.92),
    )
    assert toy()[0] == 1
    assert toy("tolerance=0.02")[0] == 0
    assert toy("tolerances={ndcg_at_10:0.02}")[0] == 0
    assert toy("tolerances={map_at_10:0.02}")[0] == 1


def test_more_metrics(toy):
    toy("update=true", "metrics=[recall_at_100,map_at_10]")
    status, out, _ = toy("format=json")
    assert status == 0
    assert [row["metric"] for row in objects(out)][:3] == [
        "map_at_10",
        "ndcg_at_10",
        "recall_at_100",
    ]


def test_baselines_that_no_run_has_are_named(toy):
    toy("update=true")
    other = Path("kept/toy/org__model/gone.json")
    other.parent.mkdir()
    other.write_text(BASELINE.read_text())
    edited(other, lambda record: record.update(model="org/model", mode="gone"))
    status, _, err = toy("junit=r.xml")
    assert status == 0
    assert "baselines not in this run, or not finished by it: toy, org/model, gone" in said(err)
    (suite,) = ElementTree.parse("r.xml").getroot()
    assert suite.get("skipped") == "1"
    assert f"left as it is, this run has nothing for it: {other}" in said(toy("update=true")[2])


def test_fewer_queries_are_said(toy):
    toy("update=true")

    def more(record):
        record["places"]["test/default"]["scores"]["ndcg_at_10"]["queries"]["q9"] = 1.0

    edited(BASELINE, more)
    status, out, _ = toy("update=true")
    assert status == 0
    assert "  fewer: the baseline no longer has queries of test/default: q9" in out.splitlines()


def test_changes_as_json(toy):
    status, out, _ = toy("update=true", "format=json")
    assert status == 0
    assert objects(out) == [
        {"baseline": str(BASELINE), "changes": ["new: ndcg_at_10 test/default 0.9033"]}
    ]


# Refused: one line, exit status 2, nothing written.


def refused(outcome, *says):
    status, out, err = outcome
    assert (status, out) == (2, "")
    lines = [line for line in err.splitlines() if line.startswith("harness: ")]
    assert len(lines) == 1, err
    for part in says:
        assert part in lines[0]


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


# Latencies.


def test_latencies_have_a_baseline_of_this_hardware(toy):
    timing = ("cost=light", "cost.latency_repetitions=5", "cost.matmul_peak=false")
    refused(toy(*timing, "times=measure"), "holds no baseline")
    toy("update=true", *timing)
    assert list(Path("kept").glob("times-*")) == []
    refused(toy(*timing, "times=measure"), "no time baseline", "update=true times=measure")
    toy("update=true", "times=measure", *timing)
    (path,) = Path("kept").glob("times-*.json")
    (benchmark,) = json.loads(path.read_text())["benchmarks"]
    assert (benchmark["name"], benchmark["stats"]["rounds"]) == ("toy[bm25]", 20)

    lenient = ("format=json", "time_threshold=100")
    status, out, _ = toy(*timing, *lenient, "times_json=now.json")
    assert status == 0
    (check,) = (row for row in objects(out) if row["kind"] == "time")
    assert check["baseline"] == benchmark["stats"]["median"]
    (now,) = json.loads(Path("now.json").read_text())["benchmarks"]
    assert check["value"] == now["stats"]["median"]

    edited(path, lambda record: record["benchmarks"][0]["stats"].update(median=1e-9, iqr=0.0))
    status, _, err = toy(*timing)
    assert status == 1
    assert any("regression: toy (test/default), bm25: median ms" in line for line in said(err))
    assert toy(*timing, "times=skip")[0] == 0
    note = "latencies not compared: cost.latency_queries=0 times no query"
    assert note in said(toy("cost=off")[2])


def test_other_hardware_is_said_and_skipped(toy):
    toy("update=true")
    Path("kept/times-other-cpu-00000000.json").write_text('{"benchmarks": []}')
    status, _, err = toy()
    assert status == 0
    assert "latencies not compared: the time baselines are of other hardware" in said(err)


# A planted regression, and reruns that are none.


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
    keys = sorted(key.as_py() for key in wrong._keys)[::every]
    vectors, tokens = wrong.read(wrong.find(keys))
    space, label, _ = spaces["mean"]
    EmbeddingStore(Path(target, "embeddings"), space, label=label).add(keys, vectors, tokens)
    return len(keys)


def test_a_wrong_pooling_of_one_document_in_twenty_alarms(tiny):
    modes = "retrieval=[dense]"
    assert tiny("update=true", modes, run="right")[0] == 0
    tiny("update=true", modes, "pooling=cls", "baselines_dir=other", run="right")
    assert plant("store-right", "store-wrong", every=20) == 2
    status, _, err = tiny(modes, run="wrong")
    assert status == 1
    (alarm,) = (line for line in said(err) if line.startswith("regression: "))
    assert "dense: nDCG@10 1.0000 → 0.9" in alarm
    assert "of 40 queries fell, 0 rose" in alarm
    assert any("computed them: 2 embeddings;" in line for line in said(err))


RERUNS = [(7, 1), (64, 2), (100000, 1)]  # tokens in a batch, threads


@pytest.mark.parametrize(("budget", "threads"), RERUNS)
def test_other_batches_and_threads_are_no_regression(tiny, budget, threads):
    assert tiny("update=true", run="first")[0] == 0
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        status, out, err = tiny(f"backend.token_budget={budget}", "format=json", run="again")
    finally:
        torch.set_num_threads(before)
    assert status == 0, err
    assert len(objects(out)) == 4 * 5 + 1  # SPLADE's figure is aligned_sparse's alone
    assert "4 results computed, 0 kept; 80 texts encoded" in err
