import csv
import io

import pytest

from harness.reporting.boards import boards
from harness.reporting.plain import csv_text, escape_markdown, markdown_text
from harness.reporting.standings import standings
from harness.reporting.tables import leaderboard_tables
from tests.reporting.literal import BM25, DENSE, compared, entry

UNCERTAIN = (
    *("low", "high", "group", "ratio_low", "ratio_high", "verdict", "p"),
    *("wins", "ties", "losses"),
)


def tables_of(*entries):
    found = standings(entries, resamples=100)
    lines = boards(found)
    return lines, leaderboard_tables(found, lines)


def table(*entries):
    return csv_text(tables_of(*entries)[0])


def markdown(*entries, **given):
    return markdown_text(tables_of(*entries)[1], **given)


def test_csv_holds_the_figures_in_full():
    dense, bm25 = csv.DictReader(io.StringIO(table(BM25, DENSE)))
    assert dense == {
        "model": "org/model",
        "mode": "dense",
        "kind": "dense",
        "settings": "cosine, mean pooling",
        "task": "T",
        "split": "test",
        "subset": "default",
        "metric": "ndcg_at_10",
        "value": "0.54462",
        "ratio": "1.0",
        "query_flops": "311926929.4",
        "document_flops": "1683235227.648",
        "latency_p50_ms": "7.2689945",
        "latency_p95_ms": "9.2249644",
        "index_bytes": "2304000",
        "documents_per_second": "105.355",
        "hardware": "Some CPU, 2 cores",
        "commit": "43df4342b425+",
        "dataset_revision": "d34ecf1b9ba8c7b8",
        "experiment": "dense-cosine-0123",
        "published": "",
        "difference": "",
        **dict.fromkeys(UNCERTAIN, ""),  # without scores of queries
        "total_flops": "314451782241472.0",
        "scoring_flops_per_query": "",
        "latency_p99_ms": "",
    }
    assert (bm25["ratio"], bm25["document_flops"], bm25["index_bytes"]) == ("", "0.0", "")


def test_published_scores_are_in_full():
    entries = BM25, compared(DENSE, 0.54502)
    dense, bm25 = csv.DictReader(io.StringIO(table(*entries)))
    assert (dense["published"], dense["difference"]) == ("0.54502", str(0.54462 - 0.54502))
    assert (bm25["published"], bm25["difference"]) == ("", "")
    lines = markdown(*entries, title="A title", summary="").splitlines()
    header, rule, dense, bm25, *_ = (line for line in lines if line.startswith("|"))
    assert header.endswith("| documents per s | published | ours − published |")
    assert len({line.count("|") for line in (header, rule, dense, bm25)}) == 1
    assert dense.endswith("| 0.5450 | -0.0004 |")
    assert bm25.endswith("| – | – |")


def test_markdown_has_the_same_rows():
    text = markdown(BM25, DENSE, title="A title", summary="One. Two.")
    lines = text.splitlines()
    assert lines[0] == "# A title"
    assert lines[2] == "One. Two."
    assert lines[4] == "## T"
    assert lines[6] == "1,500 documents, 500 queries, data revision d34ecf1b9ba8."
    assert lines[10:12] == [
        "| 1 | org/model | dense | cosine, mean pooling | 0.5446 | – | – | 100.0 % | – | – | – "
        "| 312 M | 1.68 G | 7.27 | 9.22 | 2.20 MiB | 105 |",
        "| 2 | baseline/bm25s | bm25 | k1 = 1.5 | 0.4700 | – | – | – | – | – | – "
        "| 1.30 k | 0 | – | – | – | – |",
    ]
    assert lines[13] == "Measured on Some CPU, 2 cores; commit 43df4342b425+."


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", " =1", "\t=1", "\tx"])
def test_csv_cells_are_no_formulas(text):
    assert next(csv.DictReader(io.StringIO(table(entry(model=text)))))["model"] == f"'{text}"


def test_negative_figures_stay_numbers_in_csv():
    assert next(csv.DictReader(io.StringIO(table(entry(value=-0.25)))))["value"] == "-0.25"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("aligned_sparse", "aligned_sparse"),
        ("_x_ __init__", "\\_x\\_ \\_\\_init\\_\\_"),
        ("a|b\\c", "a\\|b\\\\c"),
        ("two\nlines", "two lines"),
        ("[x](y) *z* `c` ~s~ # h", "\\[x\\](y) \\*z\\* \\`c\\` \\~s\\~ \\# h"),
        ("a < b & c", "a &lt; b &amp; c"),
    ],
)
def test_markdown_shows_text_as_it_is(text, escaped):
    assert escape_markdown(text) == escaped
