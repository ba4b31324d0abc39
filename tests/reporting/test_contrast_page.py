"""The page of two runs: its content by value, and hostile texts."""

import pytest

from harness.reporting.contrast_page import contrast_text
from harness.reporting.contrasts import contrast_runs
from tests.reporting.stored import FIRST, PLACE, QRELS, SECOND, run_of, write_stored
from tests.reporting.test_drilldown import EVIL, SHOWN, Page


@pytest.fixture
def page(tmp_path):
    def make(tasks, *, titles=("one", "other"), **given):
        runs = [
            {
                task: write_stored(
                    tmp_path / folder, task=task, places={PLACE: (pair[side], QRELS)}, **given
                )
                for task, pair in tasks.items()
            }
            for side, folder in enumerate("ab")
        ]
        compared = contrast_runs(*runs, tasks=[], metric=None, top=2)
        return Page(contrast_text(compared, titles))

    return make


def test_one_task(page):
    found = page({"toy": (FIRST, SECOND)}, texts={("query", "q4"): "why?"})
    texts = found.texts
    for text in (
        *("one", "other", "MRR@10", "0.7000", "0.5000", "−0.2000", "71.4 %", "1/2/2"),
        *("5 queries of both runs", "why?", "q4", "1.0000", "0.0000", "−1.0000", "q2", "−0.5000"),
    ):
        assert text in texts
    assert "q3" not in texts  # two queries are asked for
    assert not any("tasks" in text for text in texts if text.startswith("mean of"))
    assert [one["d"] for one in found.of("path")] == [
        *("M0,60V30H128V60Z", "M384,60V90H512V120H640V60Z", "M0,60H640"),
    ]
    assert {"id": "toy", "aria-labelledby": "page:1"} in found.of("section")


def test_several_tasks_with_their_mean(page):
    texts = page({"one": (FIRST, SECOND), "two": (run_of([1] * 5), run_of([2] * 5))}).texts
    row = texts[texts.index("mean of 2 tasks") :]
    assert row[1:4] == ["0.8500", "0.5000", "−0.3500"]


def test_equal_runs_draw_nothing(page):
    found = page({"toy": (FIRST, FIRST)})
    assert found.of("path") == []
    assert "Queries that move most" not in found.texts


def test_no_ratio_of_nothing(page):
    none = run_of([None] * 5)
    texts = page({"toy": (none, SECOND)}).texts
    cells = texts[texts.index("MRR@10") :]
    assert cells[1:4] == ["0.0000", "0.5000", "+0.5000"]
    assert cells[5] == "-"


def test_hostile_texts_are_shown_as_text(page):
    texts = {("query", "q4"): EVIL, ("document", "r"): EVIL}
    found = page({"toy": (FIRST, SECOND)}, titles=(EVIL, EVIL), texts=texts)
    assert not found.of("script")
    assert not found.of("img")
    assert found.texts.count(SHOWN) >= 3
    assert all(one["href"].startswith("#") for one in found.of("a"))
