"""Text from outside is shown as it is written, wherever the page shows it."""

import pytest

from tests.browser.payloads import HOSTILE
from tests.browser.reading import hover, until

SHOWN = HOSTILE.replace("\u2028", r"\u2028").replace("\x07", r"\x07")


@pytest.fixture(scope="module")
def board(opened_once):
    return opened_once("hostile.html", viewport={"width": 1280, "height": 2000})


@pytest.fixture
def page(board):
    board.get_by_role("button", name="Clear").click()
    # Clearing takes effect after the click's own events; a plot drawn later takes a label away.
    board.evaluate("new Promise((done) => setTimeout(() => requestAnimationFrame(done)))")
    yield board
    assert board.evaluate(
        """[
          document.images.length,
          document.querySelectorAll("[onerror], [onclick], [href^='javascript'], svg a").length,
          document.querySelectorAll("table :is(b, script), option *, #figures :is(b, i)").length,
        ]"""
    ) == [0, 0, 0]


def test_in_cells_and_headings(page):
    assert page.locator("#overall-0 .mode").first.inner_text() == f"hybrid {SHOWN}"
    model = page.locator("#overall-0 .model").first.inner_text()
    assert model == f"sentence-transformers/all-MiniLM-L6-v2 {SHOWN}"
    assert page.locator("#overall-0 td.group").first.inner_text() == f"group {SHOWN}"
    assert page.locator("#overall-0 .verdict").first.inner_text() == f"verdict {SHOWN}"
    assert page.locator("#overall-0 a").count() == 0
    assert page.title() == f"title {SHOWN}"
    assert page.locator("h1").inner_text() == f"title {SHOWN}"
    assert page.locator("[role=tab]").nth(1).inner_text() == f"Retrieval {SHOWN}"
    page.wait_for_selector("#rows-0.dataTable")
    assert page.locator("#rows-0 thead th.value").inner_text().startswith(f"nDCG@10 {SHOWN}")
    assert page.locator("#rows-0 a").count() == 0
    assert page.locator("#rows-0 .mark").first.inner_text() == f"m {SHOWN}"


def test_in_filters(page):
    options = page.locator("[data-facet='1'] option").all_text_contents()
    assert options == [
        "all",
        *(f"{mode} {SHOWN}" for mode in ("aligned_sparse", "bm25", "dense", "hybrid")),
    ]
    page.locator("[data-facet='1']").select_option(f"bm25 {SHOWN}")
    assert page.inner_text("#status") == "1 of 4 systems"
    page.locator("[data-facet='1']").select_option("all")
    page.get_by_label("Search").fill("<script>alert(1) &lt;i hybrid")
    until(page, "document.querySelector('#status').textContent === '1 of 4 systems'")


def test_in_group_headers(page):
    page.get_by_role("combobox", name="Group by").select_option(f"mode {SHOWN}")
    heads = page.locator("#overall-0 tr.dtrg-group").all_inner_texts()
    assert heads[0] == f"mode {SHOWN}: aligned_sparse {SHOWN} (1)"
    assert len(heads) == 4


def test_in_labels_of_points(page):
    name = page.evaluate("document.getElementById('pareto').data[2].name")
    lines = hover(page, "pareto", name)
    assert lines[0] == f"aligned_sparse {SHOWN}"
    assert f"group: group {SHOWN}" in lines


def test_in_legends_and_axes(page):
    shown = page.locator("#pareto .legendtext").all_text_contents()
    assert shown[1] == f"dense {SHOWN}"[:29] + "…"
    ticks = page.locator("#map .ytick text").all_text_contents()
    assert sorted(ticks)[0] == f"aligned_sparse {SHOWN}"[:39] + "…"
    assert page.locator("#map .xtick text").first.text_content() == f"SciFact {SHOWN}"[:23] + "…"
    assert f"hybrid {SHOWN}"[:39] + "…" in page.locator("#ratio .ytick text").all_text_contents()
