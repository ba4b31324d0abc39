from tests.browser.reading import column, until

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
INK, PAPER = "rgb(28, 30, 33)", "rgb(252, 252, 250)"
DARK_PAPER = "rgb(20, 22, 26)"


def background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def active(page):
    return page.evaluate("document.activeElement.id || document.activeElement.className")


def test_tabs_go_by_arrow_keys_and_show_their_tasks(opened):
    page = opened()
    page.locator("#tab-0").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("[role=tab][aria-selected=true]").all_inner_texts() == ["STS"]
    assert active(page) == "tab-2"
    assert page.locator("[role=tabpanel]:visible").get_attribute("aria-labelledby") == "tab-2"
    names = page.locator(".task:visible .task-name").all_inner_texts()
    assert names == ["STSBenchmark", "STS17 (subset en-en)"]
    assert column(page, "#overall-2", "value")[0] == "0.7000"  # (0.65 + 0.75) / 2
    assert ("bm25", "baseline/bm25s") not in column(page, "#overall-2", "system")
    assert page.evaluate("document.getElementById('map').data[0].z[0].length") == 2
    page.keyboard.press("Home")
    assert page.locator(".task:visible").count() == 6
    page.keyboard.press("ArrowLeft")
    assert active(page) == "tab-3"


def test_the_first_tab_stop_skips_to_the_tables(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert active(page) == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")


def test_every_control_has_a_name(still):
    nameless = still.evaluate(
        """[...document.querySelectorAll("button, input, select, a, [tabindex='0']")]
          .filter((each) => each.checkVisibility() && !(each.labels?.length || each.ariaLabel ||
            each.textContent.trim() || each.dataset.title)).map((each) => each.outerHTML)"""
    )
    assert nameless == []


def test_light_and_dark_follow_the_system_until_told_otherwise(opened):
    page = opened(color_scheme="dark")
    assert background(page) == DARK_PAPER
    page.get_by_role("button", name="Light").click()
    assert background(page) == PAPER
    assert page.locator("#pareto .xtitle").evaluate("(node) => node.style.fill") == INK
    page.reload()
    page.wait_for_selector("html[data-ready]", state="attached")
    assert background(page) == PAPER
    page.get_by_role("button", name="Dark").click()
    assert background(page) == DARK_PAPER


def test_a_phone_scrolls_down_only(opened):
    page = opened(**PHONE)
    assert page.evaluate("[document.scrollingElement.scrollWidth, innerWidth]") == [390, 390]
    for details in page.locator(".task summary").all():
        details.click()
    assert page.evaluate("document.scrollingElement.scrollWidth") == 390
    assert page.locator("#pareto .main-svg").first.bounding_box()["width"] <= 390
    region = page.get_by_role("region", name="Table: Systems, all tasks")
    assert region.evaluate("(node) => node.scrollWidth > node.clientWidth")


def test_plots_follow_the_width(opened):
    page = opened()
    page.set_viewport_size({"width": 700, "height": 900})
    until(page, "document.querySelector('#pareto .main-svg').clientWidth <= 700")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 700


def test_tables_are_there_without_scripts(opened):
    page = opened(ready=False, java_script_enabled=False)
    heads = page.locator("#overall-0 thead th:visible").all_inner_texts()
    assert heads[:6] == ["system", "rank by mean", "rank by Borda", "group", "mean", "of dense"]
    first = page.locator("#overall-0 tbody tr").first.locator("th, td:not([hidden])")
    assert first.all_inner_texts()[1:5] == ["1", "1\n44 points", "a", "0.6533"]
    assert page.locator("section.panel:visible").count() == 4
    assert page.locator(".task table:not(.paper) tbody tr").count() == 6 * 9 + 1
    assert page.locator("#controls").is_hidden()
    assert page.locator("noscript").count() == 0
