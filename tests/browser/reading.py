"""What a person reads off the page."""

import json


def column(page, table, key):
    """A column's figures from top to bottom; `system` is the mode and the model."""
    if key == "system":
        rows = page.locator(f"{table} tbody tr:has(th.system)").all()
        return [
            (row.locator(".mode").inner_text(), row.locator(".model").inner_text()) for row in rows
        ]
    return page.locator(f"{table} tbody td.{key} > div > span:first-child").all_inner_texts()


def sort_by(page, table, key):
    """Clicks a column's header and gives the order that it then announces."""
    head = page.locator(f"{table} thead th.{key}")
    before = head.get_attribute("aria-sort")
    head.locator(".dt-column-order").click()
    place, old = json.dumps(f"{table} thead th.{key}"), json.dumps(before)
    until(page, f"document.querySelector({place}).ariaSort !== {old}")
    return head.get_attribute("aria-sort")


def points(page, plot):
    """How many points a plot has, lines left out."""
    return page.evaluate(
        "(plot) => document.getElementById(plot).data"
        ".reduce((sum, trace) => sum + (trace.customdata ?? []).length, 0)",
        plot,
    )


def hover(page, plot, name, point=0):
    """Moves the mouse to a point of the trace of that name and gives the label's lines."""
    where = page.evaluate(
        """([plot, name, point]) => {
          const place = document.getElementById(plot);
          place.scrollIntoView({ block: "center" });
          const trace = place.data.find((each) => each.name === name);
          const { xaxis, yaxis } = place._fullLayout;
          const box = place.getBoundingClientRect();
          return [
            box.left + xaxis._offset + xaxis.d2p(trace.x[point]),
            box.top + yaxis._offset + yaxis.d2p(trace.y[point]),
          ];
        }""",
        [plot, name, point],
    )
    page.mouse.move(*where)
    return label(page, plot)


def label(page, plot):
    page.wait_for_selector(f"#{plot} .hovertext")
    return page.locator(f"#{plot} .hovertext .nums tspan.line").all_text_contents()


def until(page, expression):
    """Waits until an expression is true; Playwright's own way needs `eval`, which is forbidden."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"never true: {expression}")
