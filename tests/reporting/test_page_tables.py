import pytest

from harness.reporting.page_tables import (
    Cell,
    Row,
    four,
    overall_table,
    page,
    ratio_cell,
    task_table,
)

RATIO = {"value": 0.957, "low": 0.931, "high": 0.982, "verdict": "reached", "p": 0.0004}
COSTS = {
    "query_flops": 311926929.4,
    "document_flops": None,
    "latency_p50_ms": 7.26,
    "latency_p95_ms": 0,
    "index_bytes": 2304000,
}


def system(name, *, mean=None, missing=0, rank=None, borda=None, **given):
    everything = {
        "model": name,
        "mean": {"all": mean},
        "missing": {"all": missing},
        "rank": {"all": rank},
        "rank_borda": {"all": rank},
        "borda": {"all": borda},
        "group": {"all": "ab" if rank else None},
        "ratio": {"all": None},
        "costs": {},
        "front": {"all": []},
        "page": None,
    }
    return everything | given


def keys(table):
    return [column.key for column in table.columns]


def test_systems_stand_by_rank_and_those_without_one_last():
    table = overall_table(
        [
            system("partial", missing=2, borda=9),
            system("second", mean=0.5, rank=2, borda=1),
            system("first", mean=0.61237, rank=1, borda=4),
        ],
        "all",
        tasks=5,
    )
    assert keys(table) == ["system", "rank", "rank_borda", "group", "value"]
    assert table.rows == (
        Row(2, (Cell("1"), Cell("1", "4 points"), Cell("ab"), Cell("0.6124"))),
        Row(1, (Cell("2"), Cell("2", "1 point"), Cell("ab"), Cell("0.5000"))),
        Row(0, (Cell(), Cell("", "9 points"), Cell(), Cell("", "3 of 5 tasks"))),
    )


def test_a_system_that_has_no_task_of_a_tab_is_left_out():
    systems = [system("a", mean=0.5, rank=1), system("b", missing=5)]
    assert [row.system for row in overall_table(systems, "all", tasks=5).rows] == [0]
    assert overall_table(systems, "STS", tasks=1).rows == ()


def test_costs_have_their_units_and_fronts_and_empty_columns_go():
    given = system("a", mean=0.5, rank=1, costs={"all": COSTS}, front={"all": ["index_bytes"]})
    given["ratio"] = {"all": RATIO}
    table = overall_table([given], "all", tasks=1)
    assert keys(table)[5:] == [
        *("ratio", "query_flops", "latency_p50_ms", "latency_p95_ms", "index_bytes")
    ]
    assert table.rows[0].cells[4:] == (
        Cell("95.7 %", "93.1–98.2 %", "reached"),
        Cell("312 M"),
        Cell("7.26"),
        Cell("0"),
        Cell("2.20 MiB", "", "front"),
    )


def test_a_task_shows_what_was_measured_and_how_it_compares():
    cell = {
        **{"system": "s7", "value": 0.64512, "low": 0.6, "high": 0.69, "place": 1, "group": "b"},
        "ratio": RATIO | {"wins": 80, "ties": 1200, "losses": 120},
        **{"costs": COSTS, "front": ["query_flops"], "published": 0.645, "difference": 0.00012},
        **{"mark": "a", "page": "runs/x.html#SciFact"},
    }
    last = cell | {
        **{"system": "s8", "value": None, "low": None, "high": None, "place": None, "group": None},
        **{"ratio": None, "costs": {}, "front": [], "published": None, "difference": None},
        **{"mark": "", "page": None},
    }
    table = task_table([last, cell], {"s7": 7, "s8": 8}, metric="nDCG@10")
    assert [column.header for column in table.columns if column.key in ("value", "queries")] == [
        "nDCG@10",
        "wins / ties / losses",
    ]
    first = dict(zip(keys(table)[1:], table.rows[0].cells, strict=True))
    assert first == {
        "place": Cell("1"),
        "group": Cell("b"),
        "value": Cell("0.6451", "0.6000–0.6900"),
        "ratio": Cell("95.7 %", "93.1–98.2 %", "reached"),
        "p": Cell("0.0004"),
        "queries": Cell("80 / 1,200 / 120"),
        "query_flops": Cell("312 M", "", "front"),
        "latency_p50_ms": Cell("7.26"),
        "latency_p95_ms": Cell("0"),
        "index_bytes": Cell("2.20 MiB"),
        "published": Cell("0.6450"),
        "difference": Cell("+0.0001"),
    }
    assert (table.rows[0].mark, table.rows[0].link) == ("a", "runs/x.html#SciFact")
    assert table.rows[1] == Row(8, (Cell(),) * 12)


def test_absent_figures_are_empty():
    assert four(None) == ""
    assert ratio_cell(None) == Cell()
    assert ratio_cell({"value": None, "low": 0.1, "high": 0.2, "verdict": None}) == Cell()
    bare = {"value": 1.0, "low": None, "high": None, "verdict": None}
    assert ratio_cell(bare) == Cell("100.0 %")


@pytest.mark.parametrize(
    "address",
    ["runs/a.html", "runs/dense-k=256%2B.html#SciFact", "runs/x.html#a/b", "runs/%E4%BD%A0.html"],
)
def test_drill_down_pages_are_linked(address):
    assert page(address) == address


@pytest.mark.parametrize(
    "address",
    [
        *(None, "", "javascript:alert(1)", "https://runs/a.html", "//runs/a.html", "/runs/a.html"),
        *(
            "runs/../../etc.html",
            "runs/a.html?x",
            'runs/a"b c.html',
            "runs/a.html\n",
            "other/a.html",
        ),
    ],
)
def test_nothing_else_is_linked(address):
    assert page(address) == ""


def test_half_points_and_a_means_interval_are_shown():
    given = system("a", mean=0.5, rank=1, borda=1234.5)
    given["interval"] = {"all": {"low": 0.45, "high": 0.555}}
    cells = overall_table([given], "all", tasks=1).rows[0].cells
    assert cells[1] == Cell("1", "1,234.5 points")
    assert cells[3] == Cell("0.5000", "0.4500–0.5550")
