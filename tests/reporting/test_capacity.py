"""A capacity plan as people and as programs read it."""

import json

import pytest

from harness.cost.capacity import add_up
from harness.reporting.capacity import (
    Grounds,
    PlanFacts,
    capacity_lines,
    print_capacity,
    si_large,
)
from tests.cost.test_capacity import RATES, TEN, TWENTY, plan

GROUNDS = Grounds(
    published=["sizes"], measured=["rates"], assumed=["lengths"], extrapolated=["the rest"]
)


def facts(**settings):
    return PlanFacts(
        model="org/model", about="2 layers", settings=settings, queries=20, grounds=GROUNDS
    )


def words(line):
    return line.split()


@pytest.fixture
def printed(capsys):
    def lines(plans):
        print_capacity(plans, facts())
        return capsys.readouterr().out.splitlines()

    return lines


def test_tables(printed):
    first, second = plan(), plan(TWENTY)
    out = printed([first, second, add_up("all 2", [first, second])])
    assert out[0] == "org/model: 2 layers"
    rows = [words(line) for line in out if line.strip()]
    # Nine texts of 8 tokens, 933 FLOPs each at 1000 a second.
    assert rows[3][:7] == ["ten", "10", "72.0", "8.40", "k", "8.40", "s"]
    assert ["all", "2", "30", "112", "12.7", "k", "12.7", "s"] in [row[:8] for row in rows]
    assert ["ten", "160", "B", "368", "B", "400", "B", "370", "B"] in [row[:9] for row in rows]
    queries = [row for row in rows if "dense" in row or "sparse" in row]
    assert ["ten", "dense", "323", "80.0", "8.06", "k", "1323", "26.5", "s"] in queries
    assert ["sparse", "0", "10.0", "200", "500", "10.0", "s", "11.0"] in queries
    # What is asked of collections together is nothing.
    assert not any(row[:2] == ["all", "2"] and "dense" in row for row in rows)
    assert out[-4:] == [
        "published: sizes",
        "measured: rates",
        "assumed: lengths",
        "extrapolated: the rest",
    ]
    assert not any("cost" in line for line in out)


def test_money_is_shown_where_there_are_prices(printed):
    prices = {"encode_price": 3600.0, "search_price": 36.0}
    out = printed([plan(rates=type(RATES)(**{**RATES.__dict__, **prices}))])
    assert sum("cost" in line for line in out) == 2
    assert any("8.40" in words(line) and "10.0" not in words(line) for line in out)


def test_nothing_asked_has_no_table_of_queries(printed):
    first = plan()
    out = printed([add_up("both", [first, first])])
    assert not any("ms/query" in line for line in out)


def test_never_paid_back(printed):
    from harness.cost.machinery import SparseIndex

    dear = plan(index=SparseIndex(kept=3, block=16, encodes_queries=True), shared=5.0)
    assert any(words(line)[-1:] == ["never"] for line in printed([dear]))


def test_json_lines(capsys):
    first = plan()
    capacity_lines([first, add_up("both", [first, first])], facts(width=4))
    one, both = map(json.loads, capsys.readouterr().out.splitlines())
    assert one["collection"] == "ten"
    assert (one["documents"], one["distinct_documents"], one["document_tokens"]) == (10, 9, 8.0)
    assert (one["encode_flops"], one["head_flops"]) == (8397.0, 4000.0)
    assert one["encode_hours"] == pytest.approx(8.397 / 3600)
    assert (one["dense_index_bytes_float32"], one["sparse_index_bytes_uint8"]) == (160, 370)
    assert one["store_bytes_bfloat16"] < one["store_bytes_float32"]
    assert (one["dense_flops"], one["sparse_flops"]) == (8060.0, 200.0)
    assert (one["dense_ms_per_query"], one["sparse_ms_per_query"]) == (1323.0, 500.0)
    assert (one["break_even_queries"], one["dense_money"], one["width"]) == (11, None, 4)
    assert (one["published"], one["extrapolated"]) == (["sizes"], ["the rest"])
    assert (both["basis"], both["dense_flops"], both["query_tokens"]) == ("sum", None, None)
    assert set(one) == set(both)


def test_json_says_null_for_never(capsys):
    from harness.cost.machinery import SparseIndex

    dear = plan(TEN, index=SparseIndex(kept=3, block=16, encodes_queries=True), shared=5.0)
    capacity_lines([dear], facts())
    assert json.loads(capsys.readouterr().out)["break_even_queries"] is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.4e21, "1.40 Z"), (2.11e18, "2.11 E"), (9.997e17, "1.00 E"), (7.2e16, "72.0 P"), (0, "0")],
)
def test_large_counts(value, text):
    assert si_large(value) == text
