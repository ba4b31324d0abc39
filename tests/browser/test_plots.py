from tests.browser.reading import hover, label, points, until


def test_the_label_of_a_point_shows_all_of_its_figures(still):
    assert hover(still, "pareto", "dense") == [
        "dense",
        "McGill-NLP/LLM2Vec-Mistral-7B-Instruct-v2-mntp",
        "last token pooling, ≤256 tokens",
        "rank by mean: 3",
        "rank by Borda: 5 (27 points)",
        "group: b",
        "mean: 0.6133",
        "of dense: –",
        "FLOPs per query: 1.98 G",
        "FLOPs per document: 22.5 G",
        "latency p50, ms: 36.1",
        "latency p95, ms: 12.6",
        "index: 30.4 MiB",
        "documents per s: 26.4",
    ]


def test_plots_show_what_the_table_does_and_what_is_ticked(opened):
    page = opened()
    assert points(page, "pareto") == 6  # those with a mean
    assert points(page, "ratio") == 6
    assert "dense, e5-mistral-7b-instruct" in page.inner_text("#pareto-note")
    page.get_by_role("combobox", name="mode", exact=True).select_option("hybrid")
    assert (points(page, "pareto"), points(page, "ratio")) == (2, 3)
    page.get_by_role("combobox", name="mode", exact=True).select_option("all")
    page.get_by_label("Plot hybrid, all-MiniLM-L6-v2").check()
    page.get_by_label("Plot dense, all-MiniLM-L6-v2").check()
    assert (points(page, "pareto"), points(page, "ratio")) == (2, 1)
    assert page.inner_text("#status") == "10 of 10 systems, 2 ticked and plotted"
    assert page.evaluate("document.getElementById('map').data[0].z.length") == 2


def test_the_front_goes_up_with_the_cost(still):
    front = still.evaluate(
        "(({ x, y }) => [x, y])(document.getElementById('pareto').data[0])",
    )
    assert front == [
        [28.1e3, 112e3, 495e6, 497e6, 1.99e9],
        [0.5233, 0.5533, 0.5833, 0.6233, 0.6533],
    ]


def test_a_task_has_intervals_and_other_costs_an_axis(opened):
    page = opened()
    page.get_by_role("combobox", name="Quality").select_option("SciFact")
    page.get_by_role("combobox", name="Cost").select_option("index")
    assert points(page, "pareto") == 10
    bars = page.evaluate("document.getElementById('pareto').data[1].error_y")
    assert [round(width, 4) for width in bars["array"]] == [0.04, 0.04, 0.04]
    assert [round(width, 4) for width in bars["arrayminus"]] == [0.04, 0.04, 0.04]
    ticks = page.locator("#pareto .xtick text").all_text_contents()
    assert {"8 MiB", "16 MiB", "32 MiB", "64 MiB"} <= set(ticks)
    assert page.locator("#pareto .ytitle").text_content() == "nDCG@10"


def test_the_ratio_plot_has_interval_threshold_and_verdict(still):
    trace, shapes = still.evaluate(
        "(({ data, layout }) => [data[0], layout.shapes])(document.getElementById('ratio'))"
    )
    assert trace["name"] == "reached"
    assert trace["x"][0] == 106.6
    assert round(trace["error_x"]["array"][0], 4) == 3
    assert [shape["x0"] for shape in shapes] == [80, 100]


def test_the_heat_map_labels_missing_cells(opened):
    page = opened()
    values, absent = page.evaluate("document.getElementById('map').data.map(({ z }) => z)")
    assert values[0] == [0.57, 0.67, 0.77, 0.62, 0.72, 0.57]
    assert values[6] == [0.56, 0.66, 0.76, 0.61, 0.71, None]  # the last model lacks a task
    assert absent[6] == [None, None, None, None, None, 0]
    drawn = page.locator("#map .heatmaplayer text").all_text_contents()
    assert drawn.count("missing") == 5
    assert "0.6700" in drawn
    page.get_by_role("combobox", name="Show").select_option("of dense")
    assert page.evaluate("document.getElementById('map').data[0].z[0][0]") == 107.5


def test_arrow_keys_go_from_point_to_point(opened):
    page = opened()
    page.locator("#ratio").focus()
    page.keyboard.press("ArrowRight")
    assert label(page, "ratio")[0] == "hybrid"
    assert page.inner_text("#point").startswith("hybrid, McGill-NLP/LLM2Vec")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#point").startswith("hybrid, sentence-transformers/")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#point").startswith("hybrid, McGill-NLP/LLM2Vec")


def test_a_plot_zooms_and_comes_back(opened):
    page = opened()
    read = "document.getElementById('pareto').layout.xaxis.range"
    whole = page.evaluate(read)
    page.locator("#pareto").scroll_into_view_if_needed()
    page.locator("#pareto").hover()
    page.locator("#pareto .modebar-btn[data-title='Zoom in']").click()
    until(page, f"{read}[1] < {whole[1]}")
    page.locator("#pareto .modebar-btn[data-title='Reset axes']").click()
    until(page, f"Math.abs({read}[1] - {whole[1]}) < 1e-9")


def test_no_button_sends_figures_away(still):
    buttons = still.evaluate(
        "[...document.querySelectorAll('.modebar-btn')].map((button) => button.dataset.title)"
    )
    assert buttons == ["Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"] * 2
