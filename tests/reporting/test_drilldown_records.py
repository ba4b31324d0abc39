"""Configuration, environment and cost of a run as texts."""

import pytest

from harness.reporting.drilldown_records import (
    CostTable,
    Shared,
    configurations,
    cost_table,
    environments,
)
from tests.reporting.stored import ENVIRONMENT, write_stored

ROWS = (
    ("commit", "0123456789abcdef, with uncommitted changes"),
    ("cpu", "Some CPU"),
    ("cores", "2"),
    ("memory", "16.0 GiB"),
    ("harness", "0.1.0"),
    ("torch", "2.13.0"),
)


@pytest.fixture
def tasks(tmp_path):
    def write(**given):
        return {task: write_stored(tmp_path, task=task, **one) for task, one in given.items()}

    return write


def test_a_configuration_that_all_tasks_share(tasks):
    found = configurations(tasks(one={}, two={}))
    assert found == [Shared((), text="format: table")]


def test_configurations_of_some_tasks(tasks):
    found = configurations(tasks(one={}, two={"config": "a: \x1b\n"}, three={}))
    assert found == [
        Shared(("one", "three"), text="format: table"),
        Shared(("two",), text="a: \\x1b"),
    ]


def test_results_without_a_configuration(tasks):
    results = tasks(one={})
    (results["one"].path.with_suffix("") / "config.yaml").unlink()
    assert configurations(results) == []


def test_environments(tasks):
    other = {**ENVIRONMENT, "commit": None, "hardware": {"gpus": ["A", "B"]}, "software": {}}
    found = environments(tasks(one={}, two={"environment": other}))
    assert found == [
        Shared(("one",), rows=ROWS),
        Shared(("two",), rows=(("gpus", "A, B"),)),
    ]


def test_cost_figures_in_their_units(tasks):
    figures = {
        "documents": 1500,
        "query_flops": 13025.22,
        "flops_closed_form_ratio": 1.0,
        "encode_flops_per_second": 1.66e11,
        "documents_per_second": 98.8952,
        "index_bytes": 2340044,
        "latency_p50_ms": 0.2127,
        "fit_seconds": 75.2,
        "encode_joules": 12.34,
        "mfu": 0.854,
        "splade_flops": 4.34174,
        "batch_size": None,
        "load": [{"clients": 4, "queries_per_second": 1234.56}, {"clients": 8}],
        "other": 0.00012345,
    }
    table = cost_table(tasks(one={"cost": {"test/default": figures}}))
    assert table == CostTable(
        columns=["one"],
        rows=[
            ("documents", ["1,500"]),
            ("query FLOPs", ["13.0 k"]),
            ("FLOPs closed form ratio", ["100.0 %"]),
            ("encode FLOPs per second", ["166 G"]),
            ("documents per second", ["98.9"]),
            ("index bytes", ["2.23 MiB"]),
            ("latency p50 ms", ["0.21 ms"]),
            ("fit seconds", ["1 min 15 s"]),
            ("encode joules", ["12.3 J"]),
            ("mfu", ["85.4 %"]),
            ("splade FLOPs", ["4.34"]),
            ("load", ["4 clients: 1,234.6 queries/s"]),
            ("other", ["0.0001234"]),
        ],
    )


def test_a_column_for_each_place(tasks):
    table = cost_table(
        tasks(
            one={"cost": {"test/a": {"queries": 1}, "test/b": {"queries": 2}}},
            two={"cost": {"test/default": {"documents": 3}}},
        )
    )
    assert table.columns == ["one test/a", "one test/b", "two"]
    assert table.rows == [("queries", ["1", "2", "-"]), ("documents", ["-", "-", "3"])]
