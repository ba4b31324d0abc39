import json

from harness.evaluation.published import Comparison, PublishedScore
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


def titles(lines):
    return [line for line in lines if line.startswith("org/model on")]


def test_parts_are_left_out_where_their_whole_is_shown(capsys):
    rows = [row(task="A", part_of="W"), row(task="B", part_of="W"), row(task="W"), row(task="X")]
    assert titles(printed(capsys, rows)) == [
        "org/model on W (test, default)",
        "org/model on X (test, default)",
    ]


def test_parts_are_shown_where_their_whole_has_no_row(capsys):
    rows = [row(task="A", part_of="W"), row(task="B", part_of="W")]
    assert titles(printed(capsys, rows)) == [
        "org/model on A (test, default)",
        "org/model on B (test, default)",
    ]


def test_columns_that_no_mode_has_are_left_out_of_that_table_alone(capsys):
    sts = row(task="S", metric="cosine_spearman", cost={"index_bytes": 2048})
    lines = printed(capsys, [row(cost=COST), sts])
    headers = [line for line in lines if line.startswith("mode")]
    assert headers == [
        "mode cosine_spearman of dense index",
        "mode nDCG@10 of dense FLOPs/query ms/query index FLOPs/document",
    ]
    assert "dense 0.5000 100.0 % 2.00 KiB" in lines


def test_a_note_stands_under_its_task_s_titles(capsys):
    print_comparison([row(), row(task="U")], {"U": "mean pooling\n[x]"})
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    at = lines.index("org/model on U (test, default)")
    assert lines[at + 1] == "mean pooling\\n[x]"
    assert lines.count("mean pooling\\n[x]") == 1


def test_json_lines_tell_the_published_score_of_their_row(capsys):
    ours, other = row(value=0.5), row(task="U")
    score = PublishedScore(
        **{name: getattr(ours, name) for name in ("model", "task", "split", "subset", "metric")},
        revision="r1",
        value=0.25,
        deviation=None,
    )
    json_lines([ours, other], [Comparison(ours, score, 0.001)])
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["published"] == 0.25
    assert first["difference"] == 0.25
    assert first["published_revision"] == "r1"
    assert not {"published", "difference", "published_revision"} & set(second)


def test_json_lines_hold_every_field_of_a_row(capsys):
    json_lines([row(task_type="STS", part_of="W", cost={"documents": 3})])
    (line,) = capsys.readouterr().out.splitlines()
    fields = json.loads(line)
    own = set(ResultRow.__dataclass_fields__) - {"cost"}
    assert set(fields) == own | {"documents"}
    assert (fields["task_type"], fields["part_of"]) == ("STS", "W")
