import csv
import io
import re
from datetime import date
from html.parser import HTMLParser

import pytest
from omegaconf import OmegaConf

from harness.commands.report import report
from harness.errors import BadInputError
from harness.reporting.collect import Collection
from harness.reporting.leaderboard import write_leaderboard
from tests.reporting.literal import BM25, DENSE, compared, entry

TODAY = date(2024, 2, 29)
BEST = entry("minmax", mode="hybrid", kind="hybrid", value=0.5595, ratio=1.0273, cost={})
ABSENT = entry("K = 8", mode="sparse", kind="aligned_sparse", value=None, ratio=None, cost={})


class Page(HTMLParser):
    """Tables as lists of cell texts, and every tag with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.tags, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_data(self, data):
        self.text += data
        if self.tables and self.tables[-1] and self.tables[-1][-1]:
            cells = self.tables[-1][-1]
            cells[-1] = " ".join(f"{cells[-1]} {data}".split())

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def written(folder, *entries, title="A title", unreadable=()):
    collection = Collection(list(entries), list(unreadable))
    page = write_leaderboard(collection, folder, title=title, today=TODAY)
    assert page == folder / "index.html"
    texts = [(folder / name).read_text() for name in ("leaderboard.csv", "leaderboard.md")]
    assert sorted(path.name for path in folder.iterdir()) == [
        "index.html",
        "leaderboard.csv",
        "leaderboard.md",
    ]
    return Page(page.read_text()), page.read_text(), *texts


def test_the_table_ranks_by_value_and_an_absent_figure_is_not_a_zero(tmp_path):
    page, *_ = written(tmp_path, BM25, ABSENT, DENSE, BEST)
    (header, *lines), *others = page.tables
    assert others == []
    assert header == [
        "mode, model, settings",
        "nDCG@10",
        "of dense",
        "FLOPs per query",
        "FLOPs per document",
        "latency p50, ms",
        "latency p95, ms",
        "index",
        "documents per s",
    ]
    assert lines[:3] == [
        ["1 hybrid org/model minmax", "0.5595", "102.7 %", *["–"] * 6],
        [
            *("2 dense org/model cosine, mean pooling", "0.5446", "100.0 %", "312 M", "1.68 G"),
            *("7.27", "9.22", "2.20 MiB", "105"),
        ],
        ["3 bm25 baseline/bm25s k1 = 1.5", "0.4700", "–", "1.30 k", "0", *["–"] * 4],
    ]
    # What follows the last table, such as where it was measured, is read into its last cell.
    assert lines[3][:-1] == ["4 sparse org/model K = 8", *["–"] * 7]


def test_published_scores_have_columns_where_there_are_any(tmp_path):
    odd = {"model": "<b>org", "revision": "</td>"}
    dense, absent = compared(DENSE, 0.54472, **odd), compared(ABSENT, 0.54472, **odd)
    page, _, table, markdown = written(tmp_path, dense, BM25, absent, entry(task="U"))
    (header, dense, bm25, sparse), (other, _) = page.tables
    assert header[-3:] == ["documents per s", "published", "ours − published"]
    assert dense[-3:] == ["105", "0.5447", "-0.0001"]
    assert bm25[-2:] == ["–", "–"]
    assert sparse[-2] == "0.5447"
    assert other == header[:-2]
    cells = [td["data-sort"] for td in page.all("td")]
    assert cells[8:10] == ["0.54472", str(0.54462 - 0.54472)]
    assert page.text.count("The official score of the same model") == 1
    assert [row["published"] for row in csv.DictReader(io.StringIO(table))] == [
        *("0.54472", "", "0.54472", "")
    ]
    assert markdown.count("| published | ours − published |") == 1


def test_the_page_says_what_it_shows_where_and_when(tmp_path):
    page, text, *_ = written(tmp_path, DENSE, BM25, entry(task="U"))
    assert '<time datetime="2024-02-29">2024-02-29</time>' in text
    assert "3 results: 2 tasks, 1 model, 2 retrieval modes." in page.text
    assert "Measured on Some CPU, 2 cores; commit 43df4342b425+." in page.text
    assert "1,500 documents, 500 queries, data revision d34ecf1b9ba8" in page.text
    assert "could not be read" not in page.text


def test_results_that_could_not_be_read_are_counted(tmp_path):
    page, _, _, markdown = written(tmp_path, DENSE, unreadable=["x", "y"])
    assert "2 more results could not be read." in page.text
    assert "2 more results could not be read." in markdown


def test_splits_subsets_and_data_revisions_have_tables_of_their_own(tmp_path):
    *_, text = written(
        tmp_path,
        entry(task="b"),
        entry(task="A", split="dev"),
        entry(task="A", subset="en"),
        entry(task="c", dataset_revision="r1"),
        entry(task="c", dataset_revision="r2"),
    )
    assert re.findall(r"^## (.*)", text, re.M) == [
        "A (split dev)",
        "A (subset en)",
        "b",
        "c (data r1)",
        "c (data r2)",
    ]


def test_lines_that_differ_only_in_hidden_settings_are_told_apart(tmp_path):
    twin = entry("cosine, mean pooling", experiment="dense-cosine-4567", value=0.5)
    *_, text = written(tmp_path, DENSE, twin)
    assert "cosine, mean pooling, experiment 0123" in text
    assert "cosine, mean pooling, experiment 4567" in text


def test_every_line_names_its_own_hardware_and_commit(tmp_path):
    other = entry(mode="other", hardware="Some GPU", commit="")
    page, text, _, markdown = written(tmp_path, DENSE, BM25, other)
    assert [a["href"] for a in page.all("a") if a.get("class") == "mark"] == [
        "#board-1-a",
        "#board-1-b",
        "#board-1-a",
    ]
    assert '<li id="board-1-b"><span class="mark">b</span> Measured on Some GPU; ' in text
    assert "(b) Measured on Some GPU; commit unknown." in markdown


def test_the_plot_leaves_out_what_has_no_place_and_says_so(tmp_path):
    free = entry(mode="free", cost={"query_flops": 0.0})
    page, text, *_ = written(tmp_path, DENSE, BM25, ABSENT, free)
    assert text.count("<circle") == 2
    assert "Not drawn, for want of a value or of FLOPs above 0: free, sparse." in page.text


def test_without_a_point_there_is_no_plot(tmp_path):
    page, text, *_ = written(tmp_path, ABSENT)
    assert 'class="scatter"' not in text
    assert "No plot: no result has both a value and FLOPs per query above 0." in page.text


def test_bars_are_shares_of_one_and_never_negative(tmp_path):
    _, text, *_ = written(tmp_path, DENSE, entry(mode="n", value=-0.2), entry(mode="z", value=0.0))
    assert re.findall(r'<rect width="([^"]+)" height="1"/></svg>', text) == [
        "54.46",
        "0.00",
        "0.00",
    ]


def test_tables_are_semantic_and_the_first_order_is_declared(tmp_path):
    page, text, *_ = written(tmp_path, DENSE, BM25)
    assert text.count("<caption>nDCG@10 and cost by mode, best first</caption>") == 1
    scopes = [th["scope"] for th in page.all("th")]
    assert scopes == ["col"] * 9 + ["row"] * 2
    assert [th["aria-sort"] for th in page.all("th") if "aria-sort" in th] == ["descending"]
    assert [td["data-sort"] for td in page.all("td")][:2] == ["0.54462", "1.0"]
    assert ("html", {"lang": "en"}) in page.tags


def test_the_page_loads_nothing(tmp_path):
    page, text, *_ = written(tmp_path, DENSE, BM25, entry(task="U"))
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert not re.search(r"""https?:|["'(]//""", text)
    assert "url(" not in text
    assert "@import" not in text
    assert [tag for tag, attrs in page.tags if "src" in attrs or "style" in attrs] == []
    assert [link["href"] for link in page.all("link")] == ["data:,"]
    links = {a["href"] for a in page.all("a")}
    assert links == {"leaderboard.csv", "leaderboard.md", "#board-1", "#board-2"}
    assert {f"#{s['id']}" for s in page.all("section")} == {"#board-1", "#board-2"}


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
    page, text, table, markdown = written(tmp_path, hostile, title=script)
    assert "<script>alert" not in text
    assert text.count("<script>") == 1
    assert {"b", "i"} & {tag for tag, _ in page.tags} == {"b"}  # our own, in the definitions
    assert len(page.all("b")) == 1
    assert page.tables[0][1][0] == (f"1 =1+1 \"quoted\" 'org'/|model| {script} | `x`")
    assert f'{script} (split "><b>)' in page.text
    (row,) = csv.DictReader(io.StringIO(table))
    assert (row["task"], row["mode"], row["experiment"]) == (script, "'=1+1", "'@SUM(A1)")
    assert row["model"] == "\"quoted\" 'org'/|model|"
    assert "<" not in markdown
    (line,) = [line for line in markdown.splitlines() if line.startswith("| 1 |")]
    assert "\"quoted\" 'org'/\\|model\\| | =1+1 | &lt;script&gt;alert(1)" in line
    assert len(re.findall(r"(?<!\\)\|", line)) == 13


def test_the_same_results_give_the_same_files(tmp_path):
    one = written(tmp_path / "one", DENSE, BM25, BEST)[1:]
    other = written(tmp_path / "other", BEST, BM25, DENSE)[1:]
    assert one == other


def test_the_command_refuses_a_folder_without_results_and_writes_nothing(tmp_path):
    settings = OmegaConf.create(
        {"results_dir": str(tmp_path / "no"), "leaderboards_dir": str(tmp_path / "out")}
    )
    with pytest.raises(BadInputError, match="run `harness run` first"):
        report(settings)
    assert list(tmp_path.iterdir()) == []


def test_a_task_without_queries_shows_no_figures_of_theirs(tmp_path):
    labels = entry(task="Labels", metric="accuracy", cost={"documents": 9116, "queries": 0})
    page = Page(
        write_leaderboard(Collection([labels], []), tmp_path, title="T", today=TODAY).read_text()
    )
    assert "9,116 texts" in page.text
    assert "No plot" not in page.text
    [[header, *_]] = page.tables
    assert not any("query" in cell or "latency" in cell for cell in header)
    assert any("document" in cell for cell in header)
