"""Figures of an ablation of training stages: what is drawn, and that nothing odd breaks them."""

import numpy as np
import pandas as pd
import pytest

from harness.reporting import figures
from harness.reporting.figures_style import picture
from tests.reporting.stages_tables import stages_of

pytestmark = pytest.mark.filterwarnings("error")  # such as a layout that fails
NAN = float("nan")


def drawings(stages):
    return {
        "dense": lambda: figures.stages_dense(stages.dense),
        "modes": lambda: figures.stages_modes(stages.modes, 0.8),
        "rates": lambda: figures.stages_rates(stages.rates),
        "variation": lambda: figures.stages_variation(stages.variations),
    }


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def lines(axes):
    """Points of the lines with marks, those of thresholds left out."""
    drawn = [
        line for line in axes.lines if line.get_linestyle() != "None" and line.get_marker() == "o"
    ]
    return [np.round(line.get_xydata(), 6).tolist() for line in drawn]


def names(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_dense_has_a_panel_each_attention_and_a_line_each_pooling():
    figure = figures.stages_dense(stages_of("tales", "more").dense)
    assert titles(figure) == [
        *("tales, causal", "tales, bidirectional"),
        *("more, causal", "more, bidirectional"),
    ]
    left, right, *_ = figure.axes
    assert lines(left)[:2] == [[[0, 0.1], [1, 0.1]], [[0, 0.2], [1, 0.2]]]
    rings = [
        line.get_xydata().tolist()
        for axes in (left, right)
        for line in axes.lines
        if line.get_markersize() == 10
    ]
    assert rings == [[[0, 0.2]], [[1, 0.2]]]
    assert names(figure) == ["eos", "mean", "the stage's own setting"]
    assert [label.get_text() for label in left.get_xticklabels()] == ["causal", "mntp"]
    assert left.get_ylim() == right.get_ylim()


def test_modes_have_their_figures_and_their_shares_with_intervals():
    figure = figures.stages_modes(stages_of().modes, 0.8)
    left, right = figure.axes
    assert titles(figure) == ["tales: nDCG@10", "aligned sparse, share of dense"]
    assert [points[0][1] for points in lines(left)] == pytest.approx([0.4, 0.5, 0.6, 0.7])
    assert [points[0][1] for points in lines(right)] == pytest.approx([1.25])
    ends = [part[:, 1].tolist() for bars in right.collections for part in bars.get_segments()]
    assert ends[0] == pytest.approx([1.15, 1.35])
    assert len(ends) == 2
    levels = {line.get_ydata()[0] for line in right.lines if line.get_marker() in ("", "None")}
    assert levels == {1, 0.8}
    assert names(figure)[:2] == ["dense", "aligned_sparse_m0"]
    assert names(figure)[-1] == "80 % of dense"


def test_rates_have_a_panel_each_side():
    figure = figures.stages_rates(stages_of().rates)
    assert titles(figure) == ["tales, document", "tales, query"]
    assert [points[1][1] for points in lines(figure.axes[0])] == [0.9, 0.5, 0.3]
    assert names(figure) == ["Hit@10", "LAR", "GAR", "95 % interval"]


def test_the_movement_has_two_bars_a_stage_and_its_share():
    figure = figures.stages_variation(stages_of().variations)
    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [0.0, -2.5, 0.0, 0.5]
    assert [text.get_text() for text in axes.texts] == ["−2.5, 62.5 %"]
    assert axes.get_xlabel() == "u₁ decodes to the and"
    assert names(figure) == ["v₁, and its share of all movement", "the largest other |vⱼ|"]


@pytest.mark.parametrize("name", ["dense", "modes", "rates", "variation"])
def test_the_same_data_give_the_same_bytes(name):
    first, second = (picture(drawings(stages_of("a", "b"))[name](), "svg") for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", ["dense", "modes", "rates", "variation"])
@pytest.mark.parametrize("value", [NAN, float("inf")])
def test_figures_that_are_absent_are_left_out(name, value):
    stages = stages_of()
    for table in (stages.dense, stages.modes, stages.rates, stages.variations):
        for column in ("ndcg", "share", "low", "high", "value", "v_1", "v_1_share"):
            if column in table:
                table[column] = value
    if name != "variation" or not np.isinf(value):
        picture(drawings(stages)[name](), "png", resolution=20)


@pytest.mark.parametrize("name", ["dense", "modes", "rates", "variation"])
def test_nothing_is_said_to_be_nothing(name):
    stages = stages_of()
    empty = type(stages)(*(pd.DataFrame() for _ in range(6)))
    figure = drawings(empty)[name]()
    assert [text.get_text() for text in figure.texts] == ["No stages."]


def test_one_stage_and_long_names():
    stages = stages_of("w" * 200, first="a\n" + "b" * 200, second="$x_1$")
    for draw in drawings(stages).values():
        picture(draw(), "png", resolution=20)


def test_tokens_move_from_stage_to_stage():
    part = stages_of(first="backbone", second="<b>").tokens.rename(columns={"stage": "state"})
    figure = figures.adjusted(part)
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert shown.index("backbone") < shown.index("<b>")
    assert shown.count("cat") == 2
