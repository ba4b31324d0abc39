"""`harness regress` as a user runs it: baselines are written, compared, written anew; latencies."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.commands.regressing import BASELINE, command, edited, objects, refused, said, toy

__all__ = ["command", "toy"]


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


@pytest.mark.parametrize("update", ["update=true", "update=false"])
def test_a_task_that_does_not_finish_fails_and_the_others_are_compared(toy, update):
    toy("update=true")
    status, _, err = toy("tasks.names=[SCIDOCS]", update)
    assert status == 1
    last = {
        "update=true": "0 baselines written, 1 unchanged: kept",
        "update=false": "5 checks of 1 baseline: 0 regressions",
    }
    assert said(err)[-1] == last[update]
    assert any(line.startswith("not finished: no data for SCIDOCS") for line in said(err))


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
    told = said(toy("update=true", *timing)[2])
    assert any(line.startswith("toy, bm25: test/default median ms/query 1e-06 → ") for line in told)
    assert any(line.startswith("latencies on this hardware written, of 1 mode: ") for line in told)
    note = "latencies not compared: cost.latency_queries=0 times no query"
    assert note in said(toy("cost=off")[2])


def test_other_hardware_is_said_and_skipped(toy):
    toy("update=true")
    Path("kept/times-other-cpu-00000000.json").write_text('{"benchmarks": []}')
    status, _, err = toy()
    assert status == 0
    assert "latencies not compared: the time baselines are of other hardware" in said(err)
