import re
from itertools import combinations
from xml.etree import ElementTree

import pytest

from harness.reporting.scatter import Point, scatter

NAMES = {"x_label": "cost", "y_label": "nDCG@10", "title": "Plot", "name": "plot-1"}
SVG = "{http://www.w3.org/2000/svg}"


def drawn(points):
    text = scatter(points, **NAMES).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return ElementTree.fromstring(text)


def texts(root):
    return [element.text for element in root.iter(f"{SVG}text")]


def circles(root):
    return [
        (float(circle.get("cx")), float(circle.get("cy")), circle.get("class"))
        for circle in root.iter(f"{SVG}circle")
    ]


def box(element):
    """Left, top, right and bottom of a label at 6.5 units a character."""
    x, base, width = float(element.get("x")), float(element.get("y")), 6.5 * len(element.text)
    left = x - width * {"start": 0, "middle": 0.5, "end": 1}[element.get("text-anchor")]
    return left, base - 9, left + width, base + 2


def test_cost_grows_to_the_right_in_equal_steps_a_decade_and_quality_upwards():
    root = drawn([Point(1e3, 0.4, "a"), Point(1e5, 0.5, "b", 2), Point(1e7, 0.6, "c", 3)])
    (x3, y3, c3), (x2, y2, c2), (x1, y1, c1) = circles(root)
    assert (c1, c2, c3) == ("point c1", "point c2", "point c3")
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.11)
    assert x2 - x1 > 150
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.11)
    assert y1 - y2 > 90


def test_axes_have_round_ticks():
    shown = texts(drawn([Point(1e3, 0.41, "a"), Point(1e9, 0.59, "b")]))
    assert {"0.40", "0.45", "0.50", "0.55", "1 k", "10 k", "100 M", "1 G"} <= set(shown)
    assert {"cost", "nDCG@10"} <= set(shown)


def test_a_narrow_range_of_costs_has_ticks_within_a_decade():
    shown = texts(drawn([Point(150e6, 0.5, "a"), Point(600e6, 0.5, "b")]))
    assert {"200 M", "500 M"} <= set(shown)


@pytest.mark.parametrize(
    "point",
    [Point(None, 0.5, "x"), Point(0, 0.5, "x"), Point(0.0, 0.5, "x"), Point(1e3, None, "x")],
)
def test_points_without_a_place_are_left_out(point):
    assert not point.drawable
    assert scatter([point], **NAMES) == ""
    root = drawn([point, Point(1e3, 0.5, "kept")])
    assert len(circles(root)) == 1
    assert "x" not in texts(root)


def test_labels_overlap_neither_each_other_nor_other_points():
    root = drawn(
        [
            Point(300e6, 0.560, "hybrid"),
            Point(300e6, 0.555, "dense"),
            Point(290e6, 0.550, "another"),
            Point(1e3, 0.300, "bm25"),
        ]
    )
    labels = {"hybrid", "dense", "another", "bm25"}
    boxes = []
    *_, (x, y, _) = circles(root)
    for element in root.iter(f"{SVG}text"):
        if element.text in labels:
            boxes.append(box(element))
    boxes.append((x - 5, y - 5, x + 5, y + 5))
    assert len(boxes) == 5
    for one, other in combinations(boxes, 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart


@pytest.mark.parametrize("costs", [(1e3, 1e9), (1e9, 1e3)])
def test_a_long_label_at_an_edge_stays_inside_and_off_its_point(costs):
    long = "a label of some length"
    root = drawn([Point(costs[0], 0.5, "a"), Point(costs[1], 0.6, long)])
    ((left, top, right, bottom),) = [box(e) for e in root.iter(f"{SVG}text") if e.text == long]
    x, y, _ = circles(root)[0]
    assert left > 58
    assert right < 640
    assert right < x - 5 or left > x + 5 or bottom < y - 5 or top > y + 5


def test_text_from_outside_is_escaped():
    svg = scatter([Point(1e3, 0.5, '<script>"&')], **{**NAMES, "title": "</title><b>"})
    assert "<script>" not in svg
    assert "<b>" not in svg
    assert "&lt;script&gt;&quot;&amp;" in svg


def test_the_plot_is_told_in_words_and_takes_the_colour_of_the_text():
    svg = scatter([Point(2.5e6, 0.54462, "dense")], **NAMES)
    assert 'role="img" aria-labelledby="plot-1-title plot-1-desc"' in svg
    assert "dense: nDCG@10 0.5446, cost 2.50 M</desc>" in svg
    assert 'fill="currentColor"' in svg
    assert not re.search(r"#[0-9a-f]{3,6}|rgb", svg)


@pytest.mark.parametrize("value", [0.0, -0.3, 1.0, 81.4])
def test_one_point_of_any_value_has_axes(value):
    (x, y, _), *others = circles(drawn([Point(5.0, value, "a")]))
    assert others == []
    assert 58 < x < 624
    assert 14 < y < 284
