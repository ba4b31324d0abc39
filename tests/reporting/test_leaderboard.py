import csv
import io
import re
from dataclasses import replace
from datetime import date

import pytest
from omegaconf import OmegaConf

from harness.commands.report import report
from harness.errors import BadInputError
from harness.evaluation.published import PublishedScore
from harness.reporting.collect import Collection
from harness.reporting.leaderboard import leaderboard, write_figures, write_leaderboard
from tests.reporting.literal import BM25, DENSE, entry
from tests.reporting.written import write

TODAY = date(2024, 2, 29)
BEST = entry("minmax", mode="hybrid", kind="hybrid", value=0.5595, ratio=1.0273, cost={})
FILES = ["index.html", "leaderboard.csv", "leaderboard.md", "leaderboard.tex", "overall.csv"]


def written(folder, *entries, title="A title", unreadable=()):
    """Texts of the page, the CSV, the Markdown and the LaTeX."""
    collection = Collection(list(entries), list(unreadable))
    found = leaderboard(collection, title=title, today=TODAY, resamples=100)
    page = write_leaderboard(found, folder)
    assert page == folder / "index.html"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    return [(folder / name).read_text() for name in FILES[:4]]


def test_how_much_there_is_and_when_it_was_made(tmp_path):
    page, _, markdown, _ = written(tmp_path, DENSE, BM25, entry(task="U"))
    for text in (page, markdown):
        assert "3 results: 2 tasks, 1 model, 2 retrieval modes." in text
        assert "2024-02-29" in text
        assert "could not be read" not in text
    assert "Measured on Some CPU, 2 cores; commit 43df4342b425+." in markdown
    assert "1,500 documents, 500 queries, data revision d34ecf1b9ba8." in markdown


def test_official_results_are_counted_apart(tmp_path):
    score = PublishedScore(
        **{"model": "org/other", "revision": "r", "task": "T", "split": "test"},
        **{"subset": "default", "metric": "ndcg_at_10", "value": 0.7, "deviation": None},
    )
    other = replace(entry(model="org/other", mode="published", kind="published"), official=score)
    _, _, markdown, _ = written(tmp_path, DENSE, other)
    expected = "1 result: 1 task, 1 model, 1 retrieval mode. 1 official result beside them."
    assert expected in markdown


def test_results_that_could_not_be_read_are_counted(tmp_path):
    page, _, markdown, _ = written(tmp_path, DENSE, unreadable=["x", "y"])
    assert "2 more results could not be read." in page
    assert "2 more results could not be read." in markdown


def test_splits_subsets_and_data_revisions_have_tables_of_their_own(tmp_path):
    *_, markdown, latex = written(
        tmp_path,
        entry(task="b"),
        entry(task="A", split="dev"),
        entry(task="A", subset="en"),
        entry(task="c", dataset_revision="r1"),
        entry(task="c", dataset_revision="r2"),
    )
    headings = ["A (split dev)", "A (subset en)", "b", "c (data r1)", "c (data r2)"]
    costs = [f"{heading}: cost" for heading in headings]
    found = re.findall(r"^## (.*)", markdown, re.M)
    assert found == ["All tasks", "By task", *headings, *costs]
    captions = re.findall(r"\\caption\{(.*?)\.", latex)
    assert captions == ["All tasks", "By task", *headings, *costs]


def test_a_missing_cell_is_shown_as_missing(tmp_path):
    """A mode that one task lacks has no mean, and each table says what it lacks."""
    *_, markdown, _ = written(tmp_path, DENSE, BM25, entry(task="U"))
    overall, by_task, _, other, *_ = markdown.split("\n## ")[1:]
    (line,) = (line for line in overall.splitlines() if "| bm25 |" in line)
    cells = line.strip("| ").split(" | ")
    assert cells[3:9] == ["–", "2", "–", "–", "–", "1 of 2"]
    assert "A system that lacks a task has no mean and no rank by it." in overall
    assert by_task.splitlines()[4].endswith("| 0.4700 | – |")
    assert "Missing here: baseline/bm25s bm25." in other


def test_lines_that_differ_only_in_hidden_settings_are_told_apart(tmp_path):
    twin = entry("cosine, mean pooling", experiment="dense-cosine-4567", value=0.5)
    _, _, markdown, _ = written(tmp_path, DENSE, twin)
    assert "cosine, mean pooling, experiment 0123" in markdown
    assert "cosine, mean pooling, experiment 4567" in markdown


def test_every_line_names_its_own_hardware_and_commit(tmp_path):
    other = entry(mode="other", hardware="Some GPU", commit="")
    _, _, markdown, _ = written(tmp_path, DENSE, BM25, other)
    assert "| dense (a) |" in markdown
    assert "| other (b) |" in markdown
    assert "(b) Measured on Some GPU; commit unknown." in markdown


def test_text_from_outside_is_inert_everywhere(tmp_path):
    script = "<script>alert(1)</script>"
    hostile = entry(
        f"{script} | `x`",
        task=script,
        model="\"quoted\" 'org'/|model|",
        mode="=1+1",
        kind=f'"{script}',
        split='"><b>',
        hardware=f"</li>{script}",
        dataset_revision="</p><i>",
        experiment="@SUM(A1)",
    )
    page, table, markdown, latex = written(tmp_path, hostile, title=script)
    assert "<script>alert" not in page
    (row,) = csv.DictReader(io.StringIO(table))
    assert (row["task"], row["mode"], row["experiment"]) == (script, "'=1+1", "'@SUM(A1)")
    assert row["model"] == "\"quoted\" 'org'/|model|"
    assert "<" not in markdown
    line, _ = (line for line in markdown.splitlines() if line.startswith("| 1 |"))
    assert "\"quoted\" 'org'/\\|model\\| | =1+1 | &lt;script&gt;alert(1)" in line
    header = next(line for line in markdown.splitlines() if line.startswith("|  | model"))
    assert len(re.findall(r"(?<!\\)\|", line)) == header.count("|")
    assert r"\textless{}script\textgreater{}alert(1)" in latex
    assert "<script>" not in latex.partition("\n")[2]


def test_the_same_results_give_the_same_files(tmp_path):
    one = written(tmp_path / "one", DENSE, BM25, BEST)
    other = written(tmp_path / "other", BEST, BM25, DENSE)
    assert one == other


def test_a_task_without_queries_shows_no_figures_of_theirs(tmp_path):
    labels = entry(task="Labels", metric="accuracy", cost={"documents": 9116, "queries": 0})
    _, _, markdown, _ = written(tmp_path, labels)
    assert "9,116 texts" in markdown
    headers = [line for line in markdown.splitlines() if line.startswith("|  | model")]
    assert len(headers) == 2
    for header in headers:
        assert not any(word in header for word in ("query", "queries", "latency", "p50", "wins"))
        assert "document" in header
    assert "interval" not in headers[0]


def test_figures_are_files_with_their_data(tmp_path):
    found = leaderboard(Collection([DENSE, BM25, BEST], []), title="", today=TODAY, resamples=100)
    paths = write_figures(found, tmp_path)
    names = [f"{name}.{kind}" for name in ("pareto", "shares") for kind in ("png", "svg", "csv")]
    assert [path.name for path in paths] == names
    assert (tmp_path / "pareto.png").read_bytes().startswith(b"\x89PNG")
    svg = (tmp_path / "pareto.svg").read_text()
    assert all(text in svg for text in ("dense", "bm25", "FLOPs per query", "Pareto front"))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "shares.csv").read_text())))
    assert {row["name"]: row["ratio"] for row in rows} == {
        **{"hybrid": "1.0273", "dense": "1.0", "bm25": ""}
    }


def test_the_command_refuses_a_folder_without_results_and_writes_nothing(tmp_path):
    settings = OmegaConf.create(
        {"results_dir": str(tmp_path / "no"), "leaderboards_dir": str(tmp_path / "out")}
    )
    with pytest.raises(BadInputError, match="run `harness run` first"):
        report(settings)
    assert list(tmp_path.iterdir()) == []


def test_figures_of_many_tasks_show_the_means_over_them(tmp_path):
    entries = [
        entry(task=f"T{task}", mode=mode, kind=kind, value=value, ratio=value / 0.5, cost=cost)
        for task in range(7)
        for mode, kind, value, cost in (
            ("dense", "dense", 0.5, {"query_flops": 100.0}),
            ("sparse", "aligned_sparse", 0.4, {"query_flops": 10.0}),
        )
    ]
    found = leaderboard(Collection(entries, []), title="", today=TODAY, resamples=100)
    write_figures(found, tmp_path)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "pareto.csv").read_text())))
    assert [
        (row["task"], row["name"], f"{float(row['value']):.6g}", row["query_flops"]) for row in rows
    ] == [
        ("mean of 7 tasks", "1 dense", "0.5", "100.0"),
        ("mean of 7 tasks", "2 sparse", "0.4", "10.0"),
    ]
    assert [row["front"] for row in rows] == ["True", "True"]


def test_broken_files_beside_a_result_are_named_and_the_rest_is_shown(tmp_path, capsys):
    write(tmp_path / "results", name="whole")
    broken = write(tmp_path / "results", mode={"kind": "dense", "similarity": "dot"}, name="broken")
    (broken.with_suffix("") / "per_query.parquet").write_bytes(b"PAR1")
    settings = {
        "results_dir": str(tmp_path / "results"),
        "leaderboards_dir": str(tmp_path / "out"),
        "resamples": 100,
        "figures": False,
    }
    assert report(OmegaConf.create(settings)) == 1
    err = " ".join(capsys.readouterr().err.split())
    lost = err.split("left out: ")[1:]
    assert lost
    assert all("broken-r1-abc/T/per_query.parquet" in line for line in lost)
    lines = csv.DictReader(io.StringIO((tmp_path / "out" / "leaderboard.csv").read_text()))
    assert [line["mode"] for line in lines] == ["broken", "whole"]
    pages = [path.name for path in (tmp_path / "out" / "runs").iterdir()]
    assert [name.split("-")[1] for name in pages] == ["whole"]
