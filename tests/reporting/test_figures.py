import io
import os
import re
import struct
import subprocess
import sys
from itertools import combinations
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from harness.reporting import figures
from harness.reporting.figures_labels import Label, place_labels
from harness.reporting.figures_style import (
    BLUE,
    FAINT,
    VERMILLION,
    fitted,
    house_style,
    new_figure,
    picture,
    settle,
    shortened,
    shown_token,
    spread,
    text_width,
    wrapped,
)

pytestmark = pytest.mark.filterwarnings("error")  # such as a layout that fails
NAN = float("nan")
NASTY = [
    *(
        "$x_1$",
        "$",
        "_a",
        "__",
        "中文字",
        "😀",
        "a\nb\x00\t",
        "العربية",
        "हिन्दी",
        " lead",
        "  ",
        "",
    ),
    *("w" * 300, "<b>&amp;]]>", "\u202eabc", "l'été", "\\alpha", "%s{}", "\u2028"),
]


def texts(figure):
    found = [text for axes in figure.axes for text in axes.texts if text.get_visible()]
    return [text.get_text() for text in found]


def bars(axes):
    found = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    return [(bar.get_x(), bar.get_y(), bar.get_width(), bar.get_height()) for bar in found]


def lines(axes, *, marker=None):
    """Data of the axes' lines, as lists of points."""
    return [
        line.get_xydata().tolist()
        for line in axes.lines
        if marker is None or line.get_marker() == marker
    ]


def rates_frame():
    rows = [
        ("SciFact", "query", 10, "hit", 0.75, 0.7, 0.8),
        ("SciFact", "document", 10, "hit", 1.0, 0.9, 1.0),
        ("FiQA", "query", 10, "hit", NAN, NAN, NAN),
        ("SciFact", "query", 10, "lar", 0.5, 0.25, 0.625),
        ("SciFact", "query", 5, "hit", 0.125, 0.1, 0.2),
    ]
    return pd.DataFrame(rows, columns=["task", "side", "k", "metric", "value", "low", "high"])


def spectrum_frame(**more):
    return pd.DataFrame(
        {
            "component": [1, 2, 3],
            "singular_value": [3.0, 2.0, 1.0],
            "share": [9 / 14, 4 / 14, 1 / 14],
            "variation": [-50.0, 2.5, -1.0],
            "tokens": [" the and", "x", "y"],
            **more,
        }
    )


def contributions_frame(parts, tokens=None):
    return pd.DataFrame(
        {
            "id": "d1",
            "text": "A text.",
            "rank": range(1, len(parts) + 1),
            "token": tokens or [f"t{number}" for number in range(len(parts))],
            "logit": [first + rest for first, rest in parts],
            "first": [first for first, _ in parts],
            "rest": [rest for _, rest in parts],
        }
    )


def adjusted_frame(**states):
    rows = [
        ("d1", "A text.", state, rank, token.strip("*"), 10.0 - rank, token.endswith("*"))
        for state, tokens in states.items()
        for rank, token in enumerate(tokens, 1)
    ]
    columns = ["id", "text", "state", "rank", "token", "weight", "literal"]
    return pd.DataFrame(rows, columns=columns)


def lens_frame(lists):
    """Lists by (variant, text); a token with a star is shared."""
    rows = [
        (variant, text, text, rank, token.strip("*"), 10.0 - rank, token.endswith("*"))
        for (variant, text), tokens in lists.items()
        for rank, token in enumerate(tokens, 1)
    ]
    columns = ["variant", "text_id", "text", "rank", "token", "weight", "shared"]
    return pd.DataFrame(rows, columns=columns)


def sweep_frame(**more):
    return pd.DataFrame(
        {
            "weight": [0.0, -50.0, -100.0],
            "task": "SciFact",
            "hit": [0.1, 0.9, 0.3],
            "ndcg": [0.2, 0.6, NAN],
            "v_1": -49.7,
            **more,
        }
    )


def study_frame(rows, **more):
    """Rows of (K, M, ratio, share of FLOPs, front, default)."""
    names = ["doc_top_k", "query_expansion", "ratio", "flops_share", "front", "default"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(
        **{"task": "SciFact", "head": "ridge", "transform": "none", "index_bytes": 6.0, **more}
    )


STUDY = [
    (8, 0, 0.5, 0.001, True, False),
    (64, 0, 0.8, 0.004, True, False),
    (32, 4, 0.7, 0.008, False, True),
    (128, 4, 0.95, 0.02, True, False),
    (256, 4, NAN, 0.03, False, False),
    (512, 4, 0.9, 0.0, False, False),
]
REFERENCES = pd.DataFrame(
    {
        "task": ["SciFact", "SciFact", "other"],
        "name": ["dense", "bm25", "bm25"],
        "ratio": [1.0, 1.05, 0.5],
        "flops_share": [1.0, 0.012, 0.5],
        "index_bytes": [1536.0, 700.0, 1.0],
    }
)


def drawings(tokens):
    """Functions that draw a figure of each kind, of texts and tokens from outside."""
    rate = rates_frame().assign(task=tokens[0], side=tokens[-1])
    parts = contributions_frame([(1.0, float(n)) for n in range(len(tokens))], tokens)
    study = study_frame(STUDY, task=tokens[2], head=(tokens * 3)[:6], transform=tokens[0])
    references = REFERENCES.assign(task=tokens[2])
    text = "".join(tokens)
    moved = adjusted_frame(backbone=tokens, embedder=tokens[::-1])
    lists = lens_frame({(tokens[0], text): tokens, (tokens[2], "b"): tokens})
    return {
        "rates": lambda: figures.rates(rate),
        "spectrum": lambda: figures.spectrum(spectrum_frame(tokens=" ".join(tokens))),
        "contributions": lambda: figures.contributions(parts.assign(text=text)),
        "adjusted": lambda: figures.adjusted(moved.assign(text=text)),
        "sweep": lambda: figures.sweep(sweep_frame(task=tokens[0])),
        "study": lambda: figures.study(study, references.assign(name=tokens[1])),
        "study_bytes": lambda: figures.study_bytes(study, references),
        "lens": lambda: figures.lens(lists),
    }


def test_rates_are_dots_with_intervals_in_a_panel_each_metric():
    figure = figures.rates(rates_frame())
    assert [axes.get_title("left") for axes in figure.axes] == ["Hit@5", "Hit@10", "LAR"]
    hit = figure.axes[1]
    query, document = lines(hit)
    segments = hit.collections[0].get_segments()
    # The dots of a task lie side by side, those of the first side above.
    assert query == [[0.75, pytest.approx(-0.14)]]
    assert document == [[1.0, pytest.approx(0.14)]]
    assert segments[0].tolist() == [[0.7, pytest.approx(-0.14)], [0.8, pytest.approx(-0.14)]]
    assert len(segments) == 1
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["SciFact", "FiQA"]
    assert [text.get_text() for text in hit.texts] == ["75.0", "–", "100.0"]
    assert [text.xy[1] for text in hit.texts] == pytest.approx([-0.14, 0.86, 0.14])
    assert lines(figure.axes[2])[0] == [[0.5, pytest.approx(-0.14)]]


def test_the_spectrum_has_a_bar_each_component_and_the_first_stands_out():
    figure = figures.spectrum(spectrum_frame().iloc[::-1])
    shares, moved = figure.axes
    assert [bar[3] for bar in bars(shares)] == [9 / 14, 4 / 14, 1 / 14]
    assert [bar[3] for bar in bars(moved)] == [-50.0, 2.5, -1.0]
    assert [bar[0] for bar in bars(moved)] == pytest.approx([0.6, 1.6, 2.6])
    colours = [to_hex(patch.get_facecolor()) for patch in moved.patches]
    assert colours == [VERMILLION, FAINT, FAINT]
    assert texts(figure) == ["64.3 %", "−50"]
    assert [text.get_text() for text in figure.legends[0].texts] == ["u₁ decodes to the and"]


def test_without_an_embedder_the_spectrum_has_one_panel():
    figure = figures.spectrum(spectrum_frame(variation=NAN, tokens=NAN))
    assert [axes.get_title("left") for axes in figure.axes] == ["Share of energy"]
    assert figure.legends == []


def test_the_spectrum_shows_the_first_256_components_and_says_so():
    count = 300
    data = {"component": range(1, count + 1), "share": 1 / count, "variation": NAN, "tokens": ""}
    (axes,) = figures.spectrum(pd.DataFrame(data)).axes
    assert len(bars(axes)) == 256
    assert axes.get_xlabel() == "principal component (256 of 300)"


def test_parts_of_one_sign_are_stacked_and_those_of_two_stand_on_either_side():
    parts = [(3.0, 4.0), (-1.0, 6.0), (2.0, -3.0), (-2.0, -1.0), (0.0, 5.0)]
    (axes,) = figures.contributions(contributions_frame(parts)).axes
    spans = [(x, width) for x, _, width, _ in bars(axes)]
    assert spans[:5] == [(0, 3.0), (0, -1.0), (0, 2.0), (0, -2.0), (0, 0.0)]
    assert spans[5:] == [(3.0, 4.0), (0, 6.0), (0, -3.0), (-2.0, -1.0), (0, 5.0)]
    assert lines(axes, marker="D") == [[[7, 0], [5, 1], [-1, 2], [-3, 3], [5, 4]]]
    assert texts(axes.figure) == ["7.00", "5.00", "−1.00", "−3.00", "5.00"]
    assert axes.get_title("left") == "A text."


def test_contributions_show_the_first_30_tokens_by_rank_and_say_so():
    data = contributions_frame([(1.0, 1.0)] * 200).sample(frac=1, random_state=0)
    (axes,) = figures.contributions(data).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [f"t{number}" for number in range(30)]
    assert axes.get_xlabel() == "logit of the aligned token (30 of 200 tokens)"


@pytest.mark.parametrize(
    ("draw", "data"),
    [
        (figures.contributions, contributions_frame([(1.0, 1.0)] * 2)),
        (figures.adjusted, adjusted_frame(backbone=["a", "b"])),
    ],
)
def test_a_figure_of_one_text_refuses_several(draw, data):
    with pytest.raises(ValueError, match="for one text, not for 2"):
        draw(data.assign(id=["d1", "d2"]))


def curves(figure):
    """Where lines between columns begin and end, in rows, counted from 0: {(begin, end)}."""
    (axes,) = figure.axes
    row = {text.get_text(): text.get_position()[1] for text in axes.texts}
    first, step = row["1"], row["2"] - row["1"]
    ends = [(line.get_ydata()[0], line.get_ydata()[-1]) for line in axes.lines]
    return sorted((round((a - first) / step, 6), round((b - first) / step, 6)) for a, b in ends)


def test_tokens_that_stay_are_joined_and_others_fade():
    data = adjusted_frame(
        embedder=["b*", "d", "a"], adjusted=["a", "b*", "c"], backbone=["a", "x", "b*"]
    )
    figure = figures.adjusted(data)
    (axes,) = figure.axes
    assert curves(figure) == [(0, 0), (0, 2), (1, 0), (2, 1)]
    fading = [c for c in axes.collections if isinstance(c, LineCollection)]
    assert len(fading) == 4  # x leaves, c enters; c leaves, d enters
    assert all(
        alpha[0] == 1 and alpha[-1] < 0.1 for alpha in (c.get_colors()[:, 3] for c in fading)
    )
    shown = [text.get_text() for text in axes.texts]
    headings = ["backbone", "backbone + λu₁", "embedder"]
    assert [text for text in shown if text in headings] == headings
    bold = {text.get_text() for text in axes.texts if text.get_fontweight() == "bold"}
    assert bold == {"A text.", *headings, "b"}
    assert {to_hex(line.get_color()) for line in axes.lines} == {BLUE, FAINT}


def test_any_of_the_states_may_be_missing():
    figure = figures.adjusted(adjusted_frame(embedder=["a"], backbone=["a", "b"]))
    assert curves(figure) == [(0, 0)]
    assert "backbone + λu₁" not in texts(figure)


def test_tokens_written_alike_are_joined_in_their_order():
    figure = figures.adjusted(
        adjusted_frame(backbone=["the", "␣The"], embedder=["x", "the", "THE"])
    )
    assert curves(figure) == [(0, 1), (1, 2)]


def test_at_most_20_tokens_a_list_are_shown():
    figure = figures.adjusted(adjusted_frame(backbone=[f"t{number}" for number in range(200)]))
    shown = texts(figure)
    assert "t19" in shown
    assert "t20" not in shown


def test_a_lens_joins_shared_tokens_and_marks_the_others():
    data = lens_frame({("topic", "t"): ["a*", "b", "c*"], ("mood", "t"): ["c*", "a*", "d"]})
    figure = figures.lens(data)
    (axes,) = figure.axes
    assert curves(figure) == [(0, 1), (2, 0)]
    marked = {
        text.get_text()
        for text in axes.texts
        if text.get_fontweight() == "bold" and text.get_color() == VERMILLION
    }
    assert marked == {"b", "d"}
    assert not [c for c in axes.collections if isinstance(c, LineCollection)]


def test_texts_of_several_variants_are_joined_within_a_variant_only():
    same = ["a*", "b"]
    pairs = {(variant, text): same for variant in ("one", "two") for text in ("s", "t")}
    assert curves(figures.lens(lens_frame(pairs))) == [(0, 0), (0, 0)]
    single = {("one", text): same for text in ("s", "t", "u")}
    assert curves(figures.lens(lens_frame(single))) == [(0, 0), (0, 0)]


def test_a_sweep_is_a_line_each_task_with_the_shift_marked():
    hit, ndcg = figures.sweep(sweep_frame()).axes
    assert lines(hit) == [
        [[-100.0, 0.3], [-50.0, 0.9], [0.0, 0.1]],
        [[-49.7, 0.0], [-49.7, 1.0]],
    ]
    assert lines(ndcg)[0] == [[-50.0, 0.6], [0.0, 0.2]]
    assert [text.get_text() for text in hit.texts] == ["SciFact", "v₁ = −49.7"]


def test_a_sweep_without_ndcg_and_shift_has_one_panel_and_no_line():
    (axes,) = figures.sweep(sweep_frame(ndcg=NAN, v_1=NAN)).axes
    assert axes.get_title("left") == "Hit@10"
    assert len(axes.lines) == 1


def test_a_study_draws_every_setting_the_front_and_what_it_is_measured_by():
    (axes,) = figures.study(study_frame(STUDY), REFERENCES).axes
    front = [[0.001, 0.5], [0.004, 0.8], [0.02, 0.95]]
    clouds = [line for line in lines(axes, marker="o") if len(line) > 1]
    assert clouds == [[[0.001, 0.5], [0.004, 0.8]], [[0.008, 0.7], [0.02, 0.95]]]
    (steps,) = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert steps.get_xydata().tolist() == front
    assert [line for line in lines(axes, marker="o") if len(line) == 1] == [[at] for at in front]
    assert lines(axes, marker="*") == [[[0.008, 0.7]]]
    assert lines(axes, marker="s") == [[[0.012, 1.05]]]
    assert [[0.0, 1.0], [1.0, 1.0]] in lines(axes)  # dense, over the whole width
    assert [[0.05, 0.0], [0.05, 1.0]] in lines(axes)  # 5 % of FLOPs, over the whole height
    assert axes.get_xscale() == "log"
    assert texts(axes.figure) == ["dense", "5 %", "default", "bm25", "K 64", "K 128"]
    assert axes.get_ylim()[0] > 0.5  # less than half of the best is out of sight, K 8 with it
    legend = [text.get_text() for text in axes.figure.legends[0].texts]
    assert legend == ["M = 0", "M = 4", "front"]


def test_a_study_over_bytes_marks_dense_where_it_is_and_no_budget():
    data = study_frame(STUDY, index_bytes=[24.0, 192.0, 96.0, 384.0, 768.0, 1536.0])
    (axes,) = figures.study_bytes(data, REFERENCES).axes
    assert lines(axes, marker="s") == [[[1536.0, 1.0]], [[700.0, 1.05]]]
    assert lines(axes, marker="*") == [[[96.0, 0.7]]]
    assert "5 %" not in texts(axes.figure)
    assert axes.get_xlabel() == "index bytes a document"


def test_labels_name_head_and_transform_only_where_they_differ():
    heads = ["ridge", "ridge", "a-head-with-a-long-name", "lm_head", "ridge", "ridge"]
    figure = figures.study(study_frame(STUDY, head=heads), REFERENCES.head(0))
    assert {"K 8, ridge", "K 128, lm_head"} <= set(texts(figure))
    figure = figures.study(study_frame(STUDY, transform=heads, doc_top_k=NAN), REFERENCES.head(0))
    assert {"K all, ridge", "K all, lm_head"} <= set(texts(figure))


def test_tasks_have_panels_of_their_own_with_their_own_references():
    one = study_frame(STUDY)
    figure = figures.study(pd.concat([one, one.assign(task="other", ratio=0.3)]), REFERENCES)
    scifact, other = figure.axes
    assert [axes.get_title("left") for axes in figure.axes] == ["SciFact", "other"]
    assert lines(scifact, marker="s") == [[[0.012, 1.05]]]
    assert lines(other, marker="s") == [[[0.5, 0.5]]]
    assert "dense" not in [text.get_text() for text in other.texts]


def test_settings_without_a_place_leave_an_empty_panel():
    figure = figures.study(study_frame(STUDY, ratio=NAN), REFERENCES)
    assert texts(figure) == ["dense", "5 %", "bm25"]
    figure = figures.study(study_frame(STUDY, ratio=None), REFERENCES.assign(ratio=None))
    assert texts(figure) == ["dense", "5 %"]


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 40))
def test_at_most_8_settings_are_named_and_no_name_covers_another(seed, size):
    rng = np.random.default_rng(seed)
    costs = np.sort(10.0 ** rng.uniform(-4, 0, size))
    rows = [
        (k, 0, ratio, cost, True, False)
        for k, (ratio, cost) in enumerate(
            zip(np.sort(rng.uniform(0.6, 1, size)), costs, strict=True)
        )
    ]
    figure = figures.study(study_frame(rows), REFERENCES)
    (axes,) = figure.axes
    named = [text for text in axes.texts if text.get_text().startswith("K ")]
    assert 1 <= len(named) <= 8
    boxes = [text.get_window_extent().extents for text in axes.texts]
    for one, other in combinations(boxes, 2):
        assert (one[2:] <= other[:2]).any() or (other[2:] <= one[:2]).any()


def test_a_label_without_a_free_place_is_left_out():
    with house_style():
        figure = new_figure(2.0)
        axes = figure.subplots()
        settle(figure)
        here = [Label(0.5, 0.5, "a name of some length")] * 60
        drawn = place_labels(axes, here, [(0.5, 0.5)])
    assert 1 < len(drawn) < 60
    assert len(axes.texts) == len(drawn)


EMPTY = [
    (figures.rates, [rates_frame()]),
    (figures.spectrum, [spectrum_frame()]),
    (figures.contributions, [contributions_frame([(1.0, 1.0)])]),
    (figures.adjusted, [adjusted_frame(backbone=["a"])]),
    (figures.sweep, [sweep_frame()]),
    (figures.study, [study_frame(STUDY), REFERENCES]),
    (figures.lens, [lens_frame({("a", "b"): ["c"]})]),
]


@pytest.mark.parametrize(("draw", "frames"), EMPTY, ids=lambda part: getattr(part, "__name__", ""))
def test_a_figure_of_nothing_says_so(draw, frames):
    figure = draw(*(frame.head(0) for frame in frames))
    assert figure.axes == []
    assert figure.texts[0].get_text().startswith("No ")


def test_any_token_is_drawn_without_a_warning_and_none_is_read_as_mathematics():
    pictures = {name: picture(draw(), "svg") for name, draw in drawings(NASTY).items()}
    picture(figures.contributions(contributions_frame([(1.0, 1.0)], ["中"])), "png")
    for content in pictures.values():
        ElementTree.fromstring(content)
    parsed = ElementTree.fromstring(pictures["contributions"])
    shown = [node.text for node in parsed.iter("{http://www.w3.org/2000/svg}text")]
    wanted = ["$x_1$", "$", "_a", "中文字", "😀", "a\\nb\\x00\\t", "␣lead", "␣␣", "(empty)"]
    wanted += ["<b>&amp;]]>", "\\u202eabc", "\\alpha", "\\u2028"]
    assert set(wanted) <= set(shown)


def test_a_saved_figure_is_a_png_an_svg_and_its_data(tmp_path):
    data = contributions_frame([(3.0, 4.0), (0.1, 0.2)], ["a,b", '"q"\n'])
    figure = figures.contributions(data)
    paths = figures.save_figure(figure, data, tmp_path / "new", "a/b")
    names = ["a%2Fb.png", "a%2Fb.svg", "a%2Fb.csv"]
    assert [path.relative_to(tmp_path / "new").as_posix() for path in paths] == names
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(names)
    png, svg, table = paths
    width, height = struct.unpack(">II", png.read_bytes()[16:24])
    assert (width, height) == (1600, round(200 * figure.get_figheight()))
    assert b"date" not in svg.read_bytes().lower()
    assert "A text." in [node.text for node in ElementTree.parse(svg).iter()]
    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(table.read_bytes())), data)


@pytest.mark.parametrize("name", list(drawings(["a", "b", "c"])))
def test_the_same_data_give_the_same_bytes(tmp_path, name):
    data = pd.DataFrame({"a": [0.1, NAN]})
    draw = drawings(["a", "b", "c"])[name]
    one, other = draw(), draw()
    first = figures.save_figure(one, data, tmp_path / "one", name)
    again = figures.save_figure(one, data, tmp_path / "again", name)
    with mpl.rc_context({"font.size": 20, "svg.fonttype": "path", "lines.linewidth": 9}):
        third = figures.save_figure(other, data, tmp_path / "other", name)
    for paths in zip(first, again, third, strict=True):
        assert len({path.read_bytes() for path in paths}) == 1


def test_another_process_gives_the_same_bytes_and_importing_draws_nothing():
    script = """
import hashlib, sys
from harness.reporting import figures
from harness.reporting.figures_style import picture
print(sorted({"matplotlib", "pandas"} & set(sys.modules)))
import pandas as pd
data = pd.DataFrame({"component": [1], "share": [1.0], "variation": [2.0], "tokens": ["the"]})
figure = figures.spectrum(data)
for kind in ("png", "svg"):
    print(hashlib.sha256(picture(figure, kind)).hexdigest())
print("matplotlib.pyplot" in sys.modules)
"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    (output,) = outputs
    first, *_, last = output.split("\n")[:-1]
    assert (first, last) == ("[]", "False")


def test_a_user_s_settings_are_kept_as_they_were():
    with mpl.rc_context({"font.size": 33.0}):
        figures.sweep(sweep_frame())
        assert mpl.rcParams["font.size"] == 33.0


@pytest.mark.parametrize(
    ("token", "shown"),
    [("the", "the"), (" the ", "␣the␣"), ("   ", "␣␣␣"), ("", "(empty)"), ("a\n", "a\\n")],
)
def test_a_token_s_outer_spaces_are_seen(token, shown):
    assert shown_token(token) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("abcdef", "abcdef"),
        ("abcdefg", "abcde…"),
        ("中文字", "中文字"),
        ("中文字典", "中文…"),
        ("ab \n cd", "ab cd"),
    ],
)
def test_a_text_is_cut_to_columns(text, shown):
    assert shortened(text, 6) == shown


@settings(max_examples=50)
@given(st.text(max_size=60), st.floats(20, 200), st.integers(1, 3))
def test_a_fitted_text_is_no_wider_than_its_place(text, points, count):
    with house_style():
        line = fitted(text, points)
        rows = wrapped(text, points, count).split("\n")
        assert text_width(line) <= points
        assert len(rows) <= count
        assert all(text_width(row) <= points for row in rows)


def test_a_text_is_broken_between_words():
    with house_style():
        points = text_width("retrieve documents")
        text = "retrieve documents that refute the claim of the query"
        assert wrapped(text, points, 3).split("\n")[:2] == ["retrieve documents", "that refute the"]
        assert re.fullmatch(r".*\n.*…", wrapped(text, points, 2))
        assert wrapped("retrieve", points, 3) == "retrieve"


@pytest.mark.parametrize(
    ("places", "moved"),
    [
        ([0.0, 0.0, 0.0], [-1.0, 0.0, 1.0]),
        ([0.0, 5.0], [0.0, 5.0]),
        ([0.0, 0.5, 9.0], [-0.25, 0.75, 9.0]),
        ([9.9, 10.0], [9.0, 10.0]),
        ([-9.9, -10 + 0.2], [-10.0, -9.0]),
        ([], []),
    ],
)
def test_places_are_moved_apart_by_hand(places, moved):
    assert spread(places, 1.0, -10.0, 10.0) == pytest.approx(moved)


@given(st.lists(st.floats(0, 10), max_size=8))
def test_places_are_moved_apart_within_bounds_and_as_little_as_possible(places):
    places = sorted(places)
    moved = np.array(spread(places, 1.0, 0.0, 10.0))
    assert (np.diff(moved) >= 1 - 1e-9).all()
    assert ((moved >= -1e-9) & (moved <= 10 + 1e-9)).all()
    if (np.diff(places) >= 1).all():
        assert moved == pytest.approx(places)
