from tests.browser.reading import column, sort_by, until

OVERALL = "#overall-0"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
LLM2VEC = "McGill-NLP/LLM2Vec-Mistral-7B-Instruct-v2-mntp"
E5 = "intfloat/e5-mistral-7b-instruct"
MEANS = ["0.6533", "0.6233", "0.6133", "0.5833", "0.5533", "0.5233"]
LAST = [("dense", E5), ("aligned_sparse", E5), ("hybrid", E5), ("bm25", "baseline/bm25s")]


def shown(page):
    return column(page, OVERALL, "system")


def test_systems_stand_by_mean_and_those_that_lack_a_task_last(still):
    assert shown(still) == [
        ("hybrid", LLM2VEC),
        ("hybrid", MINILM),
        ("dense", LLM2VEC),
        ("dense", MINILM),
        ("aligned_sparse", LLM2VEC),
        ("aligned_sparse", MINILM),
        *LAST,
    ]
    assert column(still, OVERALL, "value") == [*MEANS, "–", "–", "–", "–"]
    notes = still.locator(f"{OVERALL} td.value .note").all_inner_texts()
    assert notes == ["5 of 6 tasks", "5 of 6 tasks", "5 of 6 tasks", "4 of 6 tasks"]


def test_a_column_sorts_as_numbers_and_absent_figures_stay_last(opened):
    page = opened()
    assert sort_by(page, OVERALL, "value") == "descending"
    assert column(page, OVERALL, "value") == [*MEANS, *"––––"]
    assert sort_by(page, OVERALL, "value") == "ascending"
    assert column(page, OVERALL, "value") == [*reversed(MEANS), *"––––"]
    assert sort_by(page, OVERALL, "query_flops") == "ascending"
    costs = ["8.92 k", "28.1 k", "112 k", "253 k", "495 M", "497 M"]
    assert column(page, OVERALL, "query_flops") == [*costs, "1.98 G", "1.99 G", "4.46 G", "4.47 G"]


def test_a_header_sorts_by_keyboard(opened):
    page = opened()
    page.locator(f"{OVERALL} thead th.latency_p95_ms .dt-column-order").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{OVERALL} th.latency_p95_ms[aria-sort=ascending]")
    assert column(page, OVERALL, "latency_p95_ms")[0] == "0.36"


def test_a_facet_filters_all_tables(opened):
    page = opened()
    page.get_by_role("combobox", name="mode", exact=True).select_option("dense")
    assert shown(page) == [("dense", LLM2VEC), ("dense", MINILM), ("dense", E5)]
    assert page.inner_text("#status") == "3 of 10 systems"
    page.locator("#task-0 summary").click()
    assert column(page, "#rows-0", "system") == [
        ("dense", E5),
        ("dense", LLM2VEC),
        ("dense", MINILM),
    ]
    page.get_by_role("combobox", name="model", exact=True).select_option(E5)
    assert shown(page) == [("dense", E5)]
    page.get_by_role("button", name="Clear").click()
    until(page, "document.querySelector('#status').textContent === '10 of 10 systems'")
    assert len(shown(page)) == 10


def test_search_finds_all_words_anywhere_in_a_system(opened):
    page = opened()
    page.get_by_label("Search").fill("MISTRAL hyb")
    until(page, "document.querySelector('#status').textContent === '2 of 10 systems'")
    assert shown(page) == [("hybrid", LLM2VEC), ("hybrid", E5)]
    page.get_by_label("Search").fill("no such")
    until(page, "document.querySelector('#status').textContent === '0 of 10 systems'")
    assert page.inner_text(f"{OVERALL} tbody") == "No system matches."


def test_rows_are_grouped_by_a_facet_and_sorted_within(opened):
    page = opened()
    select = page.get_by_role("combobox", name="Group by")
    for facet, groups in (
        ("mode", ["aligned_sparse (3)", "bm25 (1)", "dense (3)", "hybrid (3)"]),
        ("pooling", ["– (1)", "eos (3)", "last token (3)", "mean (3)"]),
        ("template", ["– (1)", "e5_mistral (3)", "llm2vec (3)", "none (3)"]),
        ("model", ["baseline/bm25s (1)", f"{E5} (3)", f"{LLM2VEC} (3)", f"{MINILM} (3)"]),
    ):
        select.select_option(facet)
        heads = page.locator(f"{OVERALL} tr.dtrg-group").all_inner_texts()
        assert heads == [f"{facet}: {group}" for group in groups]
    assert column(page, OVERALL, "value") == [
        *("–", "–", "–", "–"),  # BM25 and e5, in their groups
        *("0.6533", "0.6133", "0.5533", "0.6233", "0.5833", "0.5233"),
    ]
    select.select_option("nothing")
    assert page.locator(f"{OVERALL} tr.dtrg-group").count() == 0
    assert column(page, OVERALL, "value") == [*MEANS, *"––––"]


def test_a_tasks_table_is_made_when_it_is_opened(opened):
    page = opened()
    assert page.locator("#rows-0.dataTable").count() == 0
    page.locator("#task-0 summary").click()
    page.wait_for_selector("#rows-0.dataTable")
    assert column(page, "#rows-0", "value")[:3] == ["0.6000", "0.5700", "0.5600"]
    first = page.locator("#rows-0 tbody tr").first
    assert first.locator("td.value .note").inner_text() == "0.5600–0.6400"
    assert first.locator("td.ratio").inner_text().split("\n") == [
        "107.1 %",
        "101.1–113.1 %",
        "reached",
    ]
    assert first.locator("td.queries").inner_text() == "80 / 100 / 120"
    assert "BM25\t0.6650\t–\tBEIR" in page.inner_text("#task-0 .paper")


def test_a_drill_down_page_opens(opened, folder):
    (folder / "runs").mkdir(exist_ok=True)
    (folder / "runs" / "dense-0.html").write_text("<!doctype html><title>a run</title>")
    page = opened()
    page.locator(f"{OVERALL} tbody a[href='runs/dense-0.html']").click()
    until(page, "document.title === 'a run'")
    page.go_back()
    page.locator("#task-0 summary").click()
    assert page.locator("#rows-0 a[href='runs/dense-0.html#SciFact']").count() == 1
