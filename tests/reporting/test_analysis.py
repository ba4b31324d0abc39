"""What an analysis writes and prints, from literal tables."""

import json

import pandas as pd
import pytest

from harness.analysis.analyser import Analysis, SpectrumTables
from harness.analysis.study_run import Study
from harness.reporting.analysis import print_analysis, write_analysis
from tests.reporting.test_analysis_page import Page

NAN = float("nan")
HOSTILE = '<script>alert("1")</script>\n/../&'


def rates_of(task="tales"):
    rows = [("hit", 1.0, 0.9, 1.0), ("lar", 0.5, 0.4, 0.6), ("gar", NAN, NAN, NAN)]
    table = pd.DataFrame(rows, columns=["metric", "value", "low", "high"])
    table.insert(0, "task", task)
    return table.assign(side="query", texts=4, k=10)


def tokens_of(*rows):
    """Rows of (task, side, id, text, token)."""
    names = ["task", "side", "id", "text", "token"]
    table = pd.DataFrame(rows, columns=names)
    rank = table.groupby(["task", "side", "id"]).cumcount() + 1
    return table.assign(rank=rank, term=3, weight=2.0, literal=True)


def spectrum_of(name="tales", *, examples=("d1", "d2"), known=True):
    spectrum = pd.DataFrame(
        {
            "component": [1, 2],
            "singular_value": [3.0, 1.0],
            "share": [0.9, 0.1],
            "mean_projection": [2.0, 0.0],
            "variation": [-1.0, 0.5] if known else [NAN, NAN],
            "tokens": ["the and", "x"],
        }
    )
    contributions = pd.DataFrame(
        [(i, f"text {i}", 1, 5, "cat", 3.0, 1.0, 2.0, True) for i in examples],
        columns=["id", "text", "rank", "term", "token", "logit", "first", "rest", "literal"],
    )
    adjusted = pd.DataFrame(
        [
            (state, i, f"text {i}", 1, 5, "cat", 3.0, True)
            for state in ("backbone", "adjusted")
            for i in examples
        ],
        columns=["state", "id", "text", "rank", "term", "token", "weight", "literal"],
    )
    sweep = pd.DataFrame(
        {"weight": [-1.0, 0.0], "task": name, "hit": [0.5, 0.25], "ndcg": NAN, "v_1": -1.0}
    )
    return SpectrumTables(name, "org/backbone", spectrum, contributions, adjusted, sweep)


def study_of(task="tales"):
    settings = {
        "head": "ridge",
        "transform": "none",
        "doc_weight": "log1p",
        "doc_norm": "l2",
        "literal_share": 0.2,
        "query_weight": "idf",
    }
    points = pd.DataFrame(
        {
            "task": task,
            **settings,
            "row": [0, 1],
            "doc_top_k": [8, 64],
            "query_expansion": [0, 2],
            "ndcg": [0.25, 0.5],
            "ratio": [0.5, 1.0],
            "flops_share": [0.01, 0.02],
            "scoring_flops": [10.0, 20.0],
            "index_bytes": [700, 1400],
            "documents": 7,
            "runs_model": [False, True],
            "front": True,
            "default": [True, False],
        }
    )
    references = pd.DataFrame(
        {
            "task": task,
            "name": ["dense", "bm25"],
            "ndcg": [0.5, 0.4],
            "ratio": [1.0, 0.8],
            "flops_share": [1.0, NAN],
            "index_bytes": [2800, 350],
        }
    )
    transfer = points[["task", *settings, "doc_top_k", "query_expansion"]].head(1)
    transfer.insert(0, "chosen_on", "default")
    transfer = transfer.assign(ndcg=0.25, ratio=0.5, low=0.123456, high=0.7, flops_share=0.01)
    differences = pd.DataFrame(
        [(task, "bm25", "dense", 0.4, -0.1, 0.03, 0.06)],
        columns=["task", "mode", "against", "ndcg", "difference", "p", "p_holm"],
    )
    return Study(points, references, transfer, differences)


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def figure(name):
    return {f"{name}.parquet", *(f"figures/{name}.{kind}" for kind in ("png", "svg", "csv"))}


def test_every_table_and_figure_is_a_file(tmp_path):
    tokens = tokens_of(("tales", "query", "q1", "a cat", "cat"))
    found = Analysis("org/model", "ridge", False, rates_of(), tokens, [spectrum_of()])
    study = study_of()
    page = write_analysis(tmp_path / "new" / "analysis", found, study)
    folder = tmp_path / "new" / "analysis"
    assert page == folder / "index.html"
    expected = {"index.html", "aligned_tokens.parquet", "study-modes.parquet"}
    expected |= {"study-transfer.parquet", "study-differences.parquet"}
    for name in ("rates", "spectrum-tales", "sweep-tales", "study", "study-bytes"):
        expected |= figure(name)
    for name in ("contributions", "adjusted"):
        expected |= figure(f"{name}-tales-1") | figure(f"{name}-tales-2")
    assert files(folder) == expected
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "rates.parquet"), found.rates)
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "aligned_tokens.parquet"), tokens)
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "study.parquet"), study.points)
    pd.testing.assert_frame_equal(
        pd.read_parquet(folder / "study-transfer.parquet"), study.transfer
    )
    kept = pd.read_csv(folder / "figures" / "study-bytes.csv")
    assert kept["index_bytes"].tolist() == [100.0, 200.0]  # a document's
    part = pd.read_parquet(folder / "contributions-tales-2.parquet")
    assert part["id"].tolist() == ["d2"]


def headings(page):
    return [text.strip() for text in Page(page.read_text("utf-8")).text.split("\n") if text.strip()]


def test_the_page_has_a_section_each(tmp_path):
    tokens = tokens_of(("tales", "document", "d1", "A cat sat.", "cat"))
    found = Analysis("org/model", "ridge", False, rates_of(), tokens, [spectrum_of()])
    page = write_analysis(tmp_path, found, study_of())
    shown = headings(page)
    for heading in (
        *("Alignment rates", "Spectrum of tales: org/backbone", "Aligned tokens: tales, document"),
        *("Adjustment of tales: org/backbone", "Settings of aligned sparse retrieval"),
        *("Settings by index size", "Whole modes", "Chosen settings, on all collections"),
        *("Differences between modes", "Model:"),
    ):
        assert any(line.startswith(heading) for line in shown), heading
    parsed = Page(page.read_text("utf-8"))
    assert "org/model, ridge head" in parsed.text
    cells = [cell.strip() for row in parsed.cells for cell in row]
    assert {"hit", "lar", "gar", "0.03", "0.06", "bm25"} <= set(cells)


def test_that_a_head_was_fitted_is_said_where_its_rates_stand(tmp_path):
    said = "The head was fitted on the documents themselves"
    for fitted in (False, True):
        page = write_analysis(tmp_path, Analysis("m", "ridge", fitted, rates_of()), None)
        assert (said in page.read_text("utf-8")) == fitted


def test_only_what_was_found_is_written(tmp_path):
    write_analysis(tmp_path, Analysis("m", "tied", rates=rates_of()), None)
    assert files(tmp_path) == {"index.html", *figure("rates")}


def test_no_examples_are_no_figures(tmp_path):
    found = Analysis("m", "tied", spectra=[spectrum_of(examples=(), known=False)])
    write_analysis(tmp_path, found, None)
    assert files(tmp_path) == {
        "index.html", *figure("spectrum-tales"), *figure("sweep-tales")
    }  # fmt: skip


def test_a_query_and_a_document_of_one_id_are_two_texts(tmp_path):
    """As are those of two tasks; each has its own tokens on the page."""
    tokens = tokens_of(
        ("one", "document", "7", "a document", "alpha"),
        ("one", "query", "7", "a query", "beta"),
        ("two", "query", "7", "another query", "gamma"),
    )
    page = Page(write_analysis(tmp_path, Analysis("m", "h", tokens=tokens), None).read_text())
    assert page.chips == ["alpha", "beta", "gamma"]
    for text in ("a document", "a query", "another query"):
        assert text in page.text
    assert [a["id"] for a in page.all("section")] == ["section-1", "section-2", "section-3"]


def test_names_from_outside_are_harmless(tmp_path):
    tokens = tokens_of((HOSTILE, "query", HOSTILE, HOSTILE, HOSTILE))
    spectrum = spectrum_of(HOSTILE, examples=(HOSTILE,))
    found = Analysis(HOSTILE, "lm_head", False, rates_of(HOSTILE), tokens, [spectrum])
    folder = tmp_path / "inside"
    text = write_analysis(folder, found, study_of(HOSTILE)).read_text("utf-8")
    assert "<script" not in text
    assert not Page(text).all("script")
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"figures"}
    for name in files(folder):
        assert "\n" not in name
        assert "<" not in name
    assert len(files(folder)) == 1 + 4 + 4 * 4 + 1 + 2 * 4 + 3


def test_the_same_analysis_gives_the_same_files(tmp_path):
    found = Analysis("m", "h", False, rates_of(), pd.DataFrame(), [spectrum_of()])
    contents = []
    for name in ("a", "b"):
        write_analysis(tmp_path / name, found, study_of())
        contents.append(
            {file: (tmp_path / name / file).read_bytes() for file in files(tmp_path / name)}
        )
    assert contents[0] == contents[1]


# Standard output.


@pytest.fixture
def printed(capsys):
    def run(found, study, *, as_json):
        print_analysis(found, study, as_json=as_json)
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return run


def everything():
    tokens = tokens_of(("tales", "query", "q1", "a cat", "cat"))
    return Analysis("m", "h", False, rates_of(), tokens, [spectrum_of(), spectrum_of("two")])


def test_json_is_one_object_a_figure_and_nothing_else(printed):
    out = printed(everything(), study_of(), as_json=True)
    assert out.endswith("\n")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["table"] for row in rows] == [
        *(["rates"] * 3 + ["spectrum tales"] * 2 + ["spectrum two"] * 2),
        *(["sweep tales"] * 2 + ["sweep two"] * 2),
        *("modes", "modes", "transfer", "differences"),
    ]
    assert rows[0]["value"] == 1.0
    assert rows[2]["value"] is None
    assert rows[-1]["p"] == 0.03
    assert rows[-2]["low"] == 0.123456
    assert rows[-2]["doc_top_k"] == 8


def test_json_of_hostile_names_stays_one_line_each(printed):
    found = Analysis("m", "h", False, rates_of(HOSTILE + "\u2028"), pd.DataFrame(), [])
    rows = [json.loads(line) for line in printed(found, None, as_json=True).split("\n")[:-1]]
    assert [row["task"] for row in rows] == [HOSTILE + "\u2028"] * 3


def test_tables_show_every_number_whole_in_a_pipe(printed):
    out = printed(everything(), study_of(), as_json=False)
    assert "…" not in out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "tales gar query 4 10" in [line.replace("  ", " ") for line in lines]
    assert "tales bm25 dense 0.4 -0.1 0.03 0.06" in lines
    assert any(line.startswith("default tales ridge, none, 8, 0,") for line in lines)
    assert any("0.25 0.5 0.1235 0.7 0.01" in line for line in lines)
    for title in ("rates", "spectrum tales", "sweep two", "modes", "transfer", "differences"):
        assert title in lines


def test_tables_of_hostile_names_stay_on_their_lines(printed):
    found = Analysis("m", "h", False, rates_of("a\nb\x1b[31m[red]"), pd.DataFrame(), [])
    out = printed(found, None, as_json=False)
    assert "\x1b" not in out
    assert "a\\nb\\x1b[31m[red]" in out


def test_nothing_found_prints_nothing(printed):
    assert printed(Analysis("m", "h"), None, as_json=False) == ""
    assert printed(Analysis("m", "h"), None, as_json=True) == ""
