"""Inspections as they are printed: literal variants, literal tables."""

import json

import pytest

from harness.alignment.inspection import AlignedToken, Inspection, PromptToken
from harness.alignment.lenses import compare_tokens
from harness.reporting.inspection import (
    Pair,
    Variant,
    inspections_as_json,
    lens_frame,
    print_inspections,
)


def inspection(prompt, tokens, cut=0):
    """A text whose aligned tokens are given, the heaviest first; those with a star are its own."""
    return Inspection(
        prompt=prompt,
        tokens=[PromptToken(0, "<s>", pooled=False), PromptToken(1, prompt, pooled=True)],
        cut=cut,
        aligned=[
            AlignedToken(_id(token), token.strip("*"), 9.0 - rank, "*" in token)
            for rank, token in enumerate(tokens.split())
        ],
    )


def _id(token):
    return int.from_bytes(token.strip("*").encode())


def variant(title, tokens, *, label="", pooling="mean", pair=None):
    return Variant(
        label=label,
        model="org/model",
        pooling=pooling,
        template=title,
        instruction="",
        found=inspection("a text", tokens),
        pair=pair,
    )


def paired(title, first, second, cosine):
    other = inspection("no text", second)
    lists = [inspection("a text", first).aligned, other.aligned]
    return variant(title, first, pair=Pair("no text", other, cosine, compare_tokens(lists)))


@pytest.fixture
def printed(capsys):
    """What is printed of variants: its lines, without white space at their ends."""

    def lines(variants, *, by_text=False, compare=True):
        compared = None
        if compare:
            lists = [variant.found.aligned for variant in variants]
            compared = compare_tokens(lists, by_text=by_text)
        print_inspections(variants, compared)
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    return lines


def test_one_variant(printed):
    assert printed([variant("", "cat* dog")], compare=False) == [
        "org/model",
        'prompt  "a text"',
        "tokens  <s> ⟦ a text ⟧",
        "",
        "⟦ ⟧ the tokens that mean pools   • a token of the text itself",
        "aligned tokens",
        "",
        "      token   weight",
        " ────────────────────",
        "  1   cat •    9.000",
        "  2   dog      8.000",
        "",
    ]


def test_two_variants_end_with_what_they_share(printed):
    lines = printed([variant("topic", "cat* dog cow"), variant("mood", "dog glad cat* sad")])
    assert lines[lines.index("aligned tokens") :] == [
        "aligned tokens",
        "",
        "      topic   weight   mood    weight",
        " ─────────────────────────────────────",
        "  1   cat •    9.000   dog      9.000",
        "  2   dog      8.000   glad     8.000",
        "  3   cow      7.000   cat •    7.000",
        "  4                    sad      6.000",
        "",
        "shared and differing tokens",
        "",
        "  in               tokens",
        " ───────────────────────────────────────",
        "  both         2   cat  dog",
        "  topic only   1   cow",
        "  mood only    2   glad  sad",
        "",
        "overlap",
        "",
        "                 common    of k   Jaccard     RBO",
        " ─────────────────────────────────────────────────",
        # agreements 0, 1/2, 2/3, then (2 + 2/3)/4: 0.1 (0.45 + 0.54 + 0.486) + 0.6561 · 2/3
        "  topic   mood        2   0.500     0.400   0.585",
        "",
        "RBO: rank-biased overlap, p = 0.9",
    ]


def test_many_variants_are_numbered(printed):
    lines = printed([variant("a", "x y"), variant("b", "y z"), variant("c", "z q")])
    assert [lines.index(f"{n}  {name}") for n, name in enumerate("abc", start=1)] == [0, 4, 8]
    head = next(line for line in lines if "weight" in line)
    assert head.split() == ["1", "a", "weight", "2", "b", "weight", "3", "c", "weight"]
    groups = lines[lines.index("shared and differing tokens") :]
    assert groups[4:9] == [
        "  all 3    0",
        "  1, 2     1   y",
        "  2, 3     1   z",
        "  1 only   1   x",
        "  3 only   1   q",
    ]
    overlaps = lines[lines.index("overlap") :]
    assert [line.split()[:3] for line in overlaps[4:7]] == [
        ["1", "2", "1"],
        ["1", "3", "0"],
        ["2", "3", "1"],
    ]


def test_models_with_tokenizers_of_their_own(printed):
    shown = [variant("", "␣Cat", label="one"), variant("", "cat", label="two", pooling="cls")]
    lines = printed(shown, by_text=True)
    assert "  both   1   cat" in lines
    assert lines[-1] == "tokens of several tokenizers are compared in lower case, without ␣ and ##"
    assert "⟦ ⟧ the tokens that are pooled   • a token of the text itself" in lines


def test_pairs_are_compared_within_their_variant(printed):
    shown = [paired("nli", "apple* like", "dislike apple", 0.25), paired("", "a b", "b a", -0.5)]
    lines = printed(shown, compare=False)
    assert lines[:17] == [
        "nli",
        'text    "a text"',
        "tokens  <s> ⟦ a text ⟧",
        'other   "no text"',
        "tokens  <s> ⟦ no text ⟧",
        "aligned tokens",
        "",
        "      text      weight   other     weight",
        " ─────────────────────────────────────────",
        "  1   apple •    9.000   dislike    9.000",
        "  2   like       8.000   apple      8.000",
        "",
        "shared and differing tokens",
        "",
        "  in               tokens",
        " ───────────────────────────────────────",
        "  both         1   apple",
    ]
    assert lines[17:19] == ["  text only    1   like", "  other only   1   dislike"]
    assert lines.count("aligned tokens") == 2
    assert lines[lines.index("text and other") :] == [
        "text and other",
        "",
        "              cosine   common    of k   Jaccard     RBO",
        " ───────────────────────────────────────────────────────",
        "  nli          0.250        1   0.500     0.333   0.450",  # 0.1 · 0.9 / 2 + 0.81 / 2
        "  org/model   -0.500        2   1.000     1.000   0.900",
        "",
        "RBO: rank-biased overlap, p = 0.9",
    ]


def test_tokens_from_outside_cannot_mark_up_or_steer_the_terminal(printed):
    lines = printed([variant("[red]x", "[bold] \x1b[31m"), variant("y", "[bold]")])
    assert any(line.split()[:2] == ["both", "1"] and line.endswith("[bold]") for line in lines)
    assert any(line.split() == ["[red]x", "only", "1", "\\x1b[31m"] for line in lines)


def test_json_holds_the_comparison(capsys):
    shown = [variant("topic", "cat dog"), variant("mood", "dog")]
    compared = compare_tokens([variant.found.aligned for variant in shown])
    inspections_as_json(shown, compared)
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["template"] for record in records] == ["topic", "mood"]
    for record in records:
        assert record["compared"] == {
            "tokens": [
                {"token": "cat", "ranks": [1, None], "weights": [9.0, None]},
                {"token": "dog", "ranks": [2, 1], "weights": [8.0, 9.0]},
            ],
            "overlaps": [
                # below its end the short list, none of which is at the top, goes on to agree not
                {
                    **{"first": 0, "second": 1, "common": 1, "at_k": 0.5, "jaccard": 0.5},
                    "rbo": pytest.approx(0.1 * 0.9 / 2 + 0.81 / 2),
                }
            ],
            "by_text": False,
        }
    inspections_as_json([paired("nli", "a", "b", 0.25)], None)
    record = json.loads(capsys.readouterr().out)
    assert (record["cosine"], record["other"]["text"]) == (0.25, "no text")
    assert [token["token"] for token in record["other"]["aligned"]] == ["b"]
    assert [token["ranks"] for token in record["compared"]["tokens"]] == [[1, None], [None, 1]]


def test_the_figures_data():
    shown = [variant("topic", "cat dog"), variant("mood", "dog")]
    compared = compare_tokens([variant.found.aligned for variant in shown])
    data = lens_frame(shown, compared, text="a text")
    assert data[["variant", "text_id", "text", "token", "shared"]].to_numpy().tolist() == [
        ["topic", "text", "a text", "cat", False],
        ["topic", "text", "a text", "dog", True],
        ["mood", "text", "a text", "dog", True],
    ]
    pairs = lens_frame([paired("", "a", "b", 0.5), paired("x", "c", "c", 0.5)], None, text="a text")
    assert pairs[["variant", "text_id", "text", "token", "shared"]].to_numpy().tolist() == [
        ["org/model", "text", "a text", "a", False],
        ["org/model", "other", "no text", "b", False],
        ["x", "text", "a text", "c", True],
        ["x", "other", "no text", "c", True],
    ]
    assert pairs.index.tolist() == [0, 1, 2, 3]
