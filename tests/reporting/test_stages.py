"""What an ablation of training stages writes and prints, from literal tables."""

import json
from dataclasses import replace

import pandas as pd

from harness.analysis.analyser import Analysis
from harness.reporting.analysis import print_analysis, write_analysis
from tests.reporting.stages_tables import stages_of
from tests.reporting.test_analysis import HOSTILE, figure, files, rates_of
from tests.reporting.test_analysis_page import Page

DRAWN = ("stages-dense", "stages-modes", "stages-rates", "stages-variation")


def analysis():
    return Analysis("causal → mntp", "lm_head")


def test_every_table_and_figure_is_a_file(tmp_path):
    stages = stages_of()
    write_analysis(tmp_path, analysis(), None, stages)
    expected = {"index.html", "stages.parquet", *figure("stages-tokens-1")}
    for name in DRAWN:
        expected |= figure(name)
    assert files(tmp_path) == expected
    for name, table in (
        ("stages", stages.summary),
        ("stages-dense", stages.dense),
        ("stages-modes", stages.modes),
        ("stages-rates", stages.rates),
        ("stages-variation", stages.variations),
        ("stages-tokens-1", stages.tokens),
    ):
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / f"{name}.parquet"), table)
    drawn = pd.read_csv(tmp_path / "figures" / "stages-dense.csv")
    assert drawn["ndcg"].tolist() == stages.dense["ndcg"].tolist()


def test_the_page_shows_each_table_whole(tmp_path):
    stages = stages_of("tales", "more", "third")
    page = Page(write_analysis(tmp_path, analysis(), None, stages).read_text("utf-8"))
    for heading in (
        *("Stages of training", "Dense retrieval by stage, attention and pooling"),
        *("Modes by stage", "Alignment by stage", "tales: aligned tokens by stage, q1"),
        "Movement along the first component, by stage",
    ):
        assert heading in page.text, heading
    assert "causal → mntp, lm_head head" in page.text
    rows = [[cell.strip() for cell in row] for row in page.cells]
    assert ["task", "stage", "attention", "eos", "mean"] in rows
    assert rows.count(["tales", "mntp", "bidirectional", "0.1", "0.2"]) == 1
    assert sum(row[4:5] == ["hybrid"] for row in rows) == 6
    assert "more row" not in page.text


def test_no_examples_are_no_figures(tmp_path):
    write_analysis(tmp_path, analysis(), None, replace(stages_of(), tokens=pd.DataFrame()))
    assert not [name for name in files(tmp_path) if "tokens" in name]


def test_stages_stand_beside_other_parts(tmp_path):
    write_analysis(tmp_path, Analysis("m", "tied", rates=rates_of()), None, stages_of())
    assert figure("rates") | figure("stages-rates") <= files(tmp_path)


def test_names_from_outside_are_harmless(tmp_path):
    stages = stages_of(HOSTILE, first=HOSTILE, text=HOSTILE)
    text = write_analysis(tmp_path / "in", Analysis(HOSTILE, "h"), None, stages).read_text("utf-8")
    assert "<script" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert len(files(tmp_path / "in")) == 2 + 5 * 4


def test_the_same_stages_give_the_same_files(tmp_path):
    contents = []
    for name in ("a", "b"):
        write_analysis(tmp_path / name, analysis(), None, stages_of("x", "y"))
        contents.append({f: (tmp_path / name / f).read_bytes() for f in files(tmp_path / name)})
    assert contents[0] == contents[1]


def test_json_has_every_row_of_the_long_tables(capsys):
    stages = stages_of()
    print_analysis(analysis(), None, stages, as_json=True)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    counts = pd.Series([row["table"] for row in rows]).value_counts(sort=False).to_dict()
    assert counts == {
        "stages": 2,
        "stages dense": 8,
        "stages modes": 8,
        "stages rates": 12,
        "stages variation": 2,
    }
    hybrid = next(row for row in rows if row.get("mode") == "hybrid")
    assert (hybrid["share"], hybrid["verdict"], hybrid["p_holm"]) == (1.5, "reached", 0.5)
    assert next(row for row in rows if row.get("mode") == "dense")["p"] is None


def test_tables_are_printed_with_a_column_each_pooling(capsys):
    print_analysis(analysis(), None, stages_of(), as_json=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["task", "stage", "attention", "eos", "mean"] in lines
    assert ["tales", "mntp", "bidirectional", "0.1", "0.2"] in lines
    shares = ["task", "stage", "sparse_m0", "hybrid", "hybrid_sparse", "bm25"]
    assert shares in lines
    assert ["tales", "causal", "1.25", "1.5", "1.6", "1.75"] in lines
    assert [
        "tales",
        "causal",
        "causal",
        "mean",
        "0.4",
        "0.9",
        "0.5",
        "0.3",
        "-2.5",
        "0.625",
    ] in lines
