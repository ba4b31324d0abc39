import json

from harness.evaluation.rows import ResultRow
from harness.reporting.table import json_lines, print_comparison

COST = {
    "documents": 100,
    "query_flops": 2_500_000.0,
    "corpus_flops": 3e9,
    "latency_p50_ms": 7.269,
    "index_bytes": 1024,
}


def row(**given):
    usual = {
        "model": "org/model",
        "task": "T",
        "subset": "default",
        "split": "test",
        "mode": "dense",
        "kind": "dense",
        "metric": "ndcg_at_10",
        "value": 0.5,
        "ratio": 1.0,
        "hardware": "CPU, 2 cores",
        "commit": "abc",
    }
    return ResultRow(**{**usual, **given})


def printed(capsys, rows):
    print_comparison(rows)
    captured = capsys.readouterr()
    assert captured.err == ""
    return [" ".join(line.split()) for line in captured.out.splitlines() if line.strip()]


def test_a_row_shows_its_figures_and_absent_ones_as_dashes(capsys):
    sparse = row(mode="bm25", kind="bm25", value=None, ratio=None)
    title, header, _, dense, bm25, where = printed(capsys, [row(cost=COST), sparse])
    assert title == "org/model on T (test, default)"
    assert header == "mode nDCG@10 of dense FLOPs/query ms/query index FLOPs/document"
    assert dense == "dense 0.5000 100.0 % 2.50 M 7.27 1.00 KiB 30.0 M"
    assert bm25 == "bm25 - - - - - -"
    assert where == "measured on CPU, 2 cores, commit abc"


def test_there_is_one_table_a_task_and_metric_the_main_one_first(capsys):
    rows = [row(metric="map_at_10", main=False), row(task="U"), row()]
    lines = printed(capsys, rows)
    tables = [line.split()[2] for line in lines if line.startswith("org/model on")]
    metrics = [line.split()[1] for line in lines if line.startswith("mode")]
    assert tables == ["T", "U", "T"]
    assert metrics == ["nDCG@10", "nDCG@10", "MAP@10"]


def test_text_from_outside_is_no_console_markup(capsys):
    title, *_, where = printed(capsys, [row(task="[bold]x[/bold]", hardware="[red]", commit="")])
    assert "[bold]x[/bold]" in title
    assert where == "measured on [red], commit unknown"


def test_no_rows_print_nothing(capsys):
    assert printed(capsys, []) == []


def test_json_lines_hold_all_figures_and_no_nan(capsys):
    json_lines([row(cost=COST, value=float("nan")), row(task="Ü")])
    out = capsys.readouterr().out
    first, second = map(json.loads, out.splitlines())
    assert first["value"] is None
    assert {name: first[name] for name in COST} == COST
    assert (first["model"], first["ratio"], first["main"]) == ("org/model", 1.0, True)
    assert second["task"] == "Ü"
    assert "Ü" in out
    assert "NaN" not in out
