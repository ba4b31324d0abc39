"""Two runs in the terminal: what a table says where figures or documents are missing."""

import json

import pytest

from harness.reporting.contrast_table import contrast_lines, print_contrast
from harness.reporting.contrasts import contrast_runs
from tests.reporting.stored import FIRST, PLACE, QRELS, SECOND, write_stored

OTHER = ("test", "other")
NOTHING = {query: {} for query in QRELS}


@pytest.fixture
def compared(tmp_path):
    def make(first, second, **given):
        runs = [
            {"toy": write_stored(tmp_path / folder, places=places, **given)}
            for folder, places in (("a", first), ("b", second))
        ]
        return contrast_runs(*runs, tasks=[], metric=None, top=9)

    return make


def lines(capsys):
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_figures_and_the_first_documents(compared, capsys):
    print_contrast(compared({PLACE: (FIRST, QRELS)}, {PLACE: (SECOND, QRELS)}), ("one", "other"))
    found = lines(capsys)
    assert found[:3] == [
        *("run_a: one", "run_b: other"),
        "task metric run_a run_b run_b - run_a run_b / run_a p win/tie/loss",
    ]
    assert found[4].startswith("toy MRR@10 0.7000 0.5000 -0.2000 71.4 % 0.")
    assert found[6] == "toy: the 3 queries that move most, by MRR@10"
    assert found[9:12] == ["1.0000 0.0000 -1.0000 q4", "run_a: ✓ r", "run_b: ✗ d1"]
    assert found[-1] == "✓ relevant, ✗ not"


def test_nothing_found_and_no_ratio(compared, capsys):
    print_contrast(compared({PLACE: (NOTHING, QRELS)}, {PLACE: (SECOND, QRELS)}), ("", ""))
    found = lines(capsys)
    assert found[4].startswith("toy MRR@10 0.0000 0.5000 +0.5000 - 0.")
    assert "run_a: no document" in found


def test_several_places_are_named(compared, capsys):
    both = {PLACE: (FIRST, QRELS), OTHER: (FIRST, QRELS)}
    print_contrast(compared(both, {**both, OTHER: (SECOND, QRELS)}), ("", ""))
    assert "1.0000 0.0000 -1.0000 test/other q4" in lines(capsys)


def test_lines_are_strict_json(compared, capsys):
    contrast_lines(compared({PLACE: (NOTHING, QRELS)}, {PLACE: (SECOND, QRELS)}))
    task, *queries = [
        json.loads(line, parse_constant=pytest.fail)
        for line in capsys.readouterr().out.splitlines()
    ]
    assert (task["ratio"], task["ratio_low"], task["b"]) == (None, None, pytest.approx(0.5))
    assert {query["kind"] for query in queries} == {"query"}
    assert queries[0]["documents_a"] == []
