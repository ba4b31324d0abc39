import base64
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from harness.reporting import figures
from harness.reporting.analysis_page import Section, write_page

pytestmark = pytest.mark.filterwarnings("error")  # such as a layout that fails
HOSTILE = '<script>alert("1")</script>'
NAN = float("nan")


class Page(HTMLParser):
    """Tags with their attributes, cells of the table, chips and visible text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.cells, self.chips, self.text = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag == "tr":
            self.cells.append([])
        elif tag in ("td", "th"):
            self.cells[-1].append("")
        elif "chip" in attributes.get("class", "").split():
            self.chips.append("")

    def handle_data(self, data):
        self.text += data
        if self.lasttag in ("td", "th") and data.strip():
            self.cells[-1][-1] += data
        if self.lasttag == "span" and data.strip():
            self.chips[-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def written(folder, *sections, title="A title", model="org/model"):
    path = write_page(folder / "new" / "page.html", title=title, model=model, sections=sections)
    assert path == folder / "new" / "page.html"
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]
    text = path.read_text(encoding="utf-8")
    return Page(text), text


def tokens_frame(**texts):
    rows = [
        (key, f"text of {key}", rank, token.strip("*"), weight, token.endswith("*"))
        for key, tokens in texts.items()
        for rank, (token, weight) in enumerate(tokens.items(), 1)
    ]
    return pd.DataFrame(rows, columns=["id", "text", "rank", "token", "weight", "literal"])


def spectrum(count=3):
    shares = np.full(count, 1 / count)
    data = {"component": range(1, count + 1), "share": shares, "variation": NAN, "tokens": HOSTILE}
    return figures.spectrum(pd.DataFrame(data))


def contents(page):
    """Kind and bytes of the page's images."""
    found = []
    for image in page.all("img"):
        kind, encoded = re.fullmatch(r"data:image/([a-z+]+);base64,(.*)", image["src"]).groups()
        found.append((kind, base64.b64decode(encoded, validate=True)))
    return found


def test_headings_paragraphs_and_their_links(tmp_path):
    page, _ = written(
        tmp_path,
        Section(heading="First", text="One.\n\nTwo\nlines."),
        Section(heading="Second", text=""),
    )
    assert [p.get("class") for p in page.all("p")] == ["model", "text", "text", None]
    assert "One." in page.text
    assert "Two lines." in page.text
    assert [a["href"] for a in page.all("a")] == ["#section-1", "#section-2"]
    assert [s["id"] for s in page.all("section")] == ["section-1", "section-2"]
    assert page.text.count("org/model") == 1


def test_a_table_shows_its_first_rows_and_says_where_the_others_are(tmp_path):
    table = pd.DataFrame(
        {
            "name": ["a", None, "x" * 400, "z"],
            "value": [0.123456, NAN, -1e-9, 1.0],
            "count": [1234567, -3, 0, 1],
            "front": [True, False, True, False],
        }
    )
    section = Section(heading="H", text="T", table=table, rows=3, file="study.parquet")
    page, _ = written(tmp_path, section)
    assert page.cells == [
        ["name", "value", "count", "front"],
        ["a", "0.1235", "1,234,567", "yes"],
        ["–", "–", "−3", "no"],
        ["x" * 299 + "…", "−1e−09", "0", "yes"],
    ]
    assert [td.get("class") for td in page.all("td")][:4] == [None, "number", "number", None]
    assert "1 more row is in study.parquet." in page.text


@pytest.mark.parametrize(
    ("rows", "file", "note"),
    [
        (4, "a.parquet", None),
        (2, "a.parquet", "2 more rows are in a.parquet."),
        (2, "", "2 more rows are not shown."),
    ],
)
def test_only_rows_that_are_left_out_have_a_note(tmp_path, rows, file, note):
    table = pd.DataFrame({"a": range(4)})
    page, _ = written(tmp_path, Section(heading="H", text="", table=table, rows=rows, file=file))
    notes = re.findall(r"[^\n]* more [^\n]*", page.text)
    assert notes == ([note] if note else [])


def test_aligned_tokens_are_chips_by_rank_with_their_weight_as_strength(tmp_path):
    data = tokens_frame(
        a={"the": 20.0, " bone*": 10.0, "x": 0.2, "y": -5.0}, b={"z": -1.0}, c={"w": 1.0}
    )
    section = Section(
        heading="H", text="", tokens=data.sample(frac=1, random_state=1).sort_values("id"), rows=2
    )
    page, _ = written(tmp_path, section)
    assert page.chips == ["the", "␣bone", "x", "y", "z"]
    spans = page.all("span")
    assert [span["class"] for span in spans] == [
        *("chip w10", "chip w5 literal", "chip w1", "chip w1", "chip w1")
    ]
    assert [span["title"] for span in spans][:2] == [
        "rank 1, weight 20",
        "rank 2, weight 10, a token of the text itself",
    ]
    assert spans[3]["title"] == "rank 4, weight −5"
    assert "text of a" in page.text
    assert "text of c" not in page.text
    assert "1 more text is not shown." in page.text


def test_a_small_figure_is_an_svg_and_a_large_one_a_png(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.reporting.analysis_page._LARGEST_SVG", 20_000)
    page, _ = written(
        tmp_path,
        Section(heading="Small", text="", figure=spectrum()),
        Section(heading="Large", text="", figure=spectrum(100)),
    )
    (small, svg), (large, png) = contents(page)
    assert (small, large) == ("svg+xml", "png")
    ElementTree.fromstring(svg)
    assert png.startswith(b"\x89PNG")
    assert [image["alt"] for image in page.all("img")] == ["Figure: Small", "Figure: Large"]
    assert [(image["width"], image["height"]) for image in page.all("img")] == [("800", "270")] * 2


def test_many_figures_are_shown_at_half_the_resolution_and_the_page_stays_small(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("harness.reporting.analysis_page._LARGEST_SVG", 0)
    monkeypatch.setattr("harness.reporting.analysis_page._LARGEST_FIGURES", 100_000)
    sections = [Section(heading=str(n), text="", figure=spectrum()) for n in range(3)]
    page, text = written(tmp_path, *sections)
    assert len(contents(page)) == 3
    for kind, content in contents(page):
        assert kind == "png"
        assert int.from_bytes(content[16:20], "big") == 800
    assert len(text) < 150_000


def test_text_from_outside_is_inert_everywhere(tmp_path):
    table = pd.DataFrame({HOSTILE: [HOSTILE, "\u202e\x00"]})
    tokens = tokens_frame(a={HOSTILE: 1.0, '" onload="x': 0.5}).assign(text=HOSTILE)
    section = Section(
        **{"heading": HOSTILE, "text": HOSTILE, "figure": spectrum(), "table": table},
        **{"tokens": tokens, "rows": 1, "file": HOSTILE},
    )
    page, text = written(tmp_path, section, section, title=HOSTILE, model=HOSTILE)
    assert page.all("script") == []
    assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
    assert "\x00" not in text
    assert "\u202e" not in text
    assert page.chips[:2] == [HOSTILE, '" onload="x']
    assert page.cells[:2] == [[HOSTILE], [HOSTILE]]
    for _, content in contents(page):
        assert b"<script" not in content


def test_the_page_loads_nothing(tmp_path):
    table = pd.DataFrame({"a": [1]})
    section = Section(heading="H", text="T", figure=spectrum(), table=table)
    page, text = written(tmp_path, section, section)
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"""https?:|["'(]//""", text)
    assert "url(" not in text
    assert "@import" not in text
    assert [tag for tag, attributes in page.tags if "style" in attributes] == []
    assert [tag for tag, attributes in page.tags if "src" in attributes] == ["img", "img"]
    assert [link["href"] for link in page.all("link")] == ["data:,"]
    for _, content in contents(page):
        addresses = set(re.findall(rb"https?://[^\"' >]+", content))
        assert addresses == {
            b"http://www.w3.org/1999/xlink",
            b"http://www.w3.org/2000/svg",
            b"http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd",
        }


def test_the_policy_s_hash_is_of_the_page_s_own_style(tmp_path):
    import hashlib

    _, text = written(tmp_path, Section(heading="H", text="T"))
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (allowed,) = re.findall(r"style-src &#39;sha256-([^&]+)&#39;|style-src 'sha256-([^']+)'", text)
    assert digest in [part.replace("&#43;", "+") for part in allowed]


def test_the_same_sections_give_the_same_page(tmp_path):
    def section():
        return Section(heading="H", text="T", figure=spectrum(), tokens=tokens_frame(a={"b": 1.0}))

    assert written(tmp_path / "one", section())[1] == written(tmp_path / "two", section())[1]
