import pytest
from markdown_it import MarkdownIt

from harness.regression.check import Check, Verdict
from harness.regression.markdown import escaped, markdown_text
from harness.regression.snapshot import System


def check(task="toy", mode="dense", **more):
    more = {"verdict": Verdict.REGRESSION, "value": 0.49, "allowed": 0.005} | more
    return Check(
        system=System(task, "org/model", mode),
        place="test/default",
        kind="quality",
        figure="ndcg_at_10",
        baseline=0.5,
        **more,
    )


def test_the_document():
    cells = ("dense", "nDCG@10", "0.5000", "0.4900", "-0.0100", "0.0050", "-", "regression")
    bold = " | ".join(f"**{cell}**" for cell in cells)
    fine = check(mode="bm25", value=0.5, verdict=Verdict.EQUAL, p=1.0)
    assert markdown_text([check(), fine], ["two_words were | not compared"]) == (
        f"""\
### harness regress: 2 checks of 2 baselines: 1 regression

- regression: toy (test/default), dense: nDCG@10 0.5000 → 0.4900 (-0.0100, allowed 0.0050)

#### toy (test/default)

| mode | figure | baseline | now | change | allowed | p | verdict |
| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |
| {bold} |
| bm25 | nDCG@10 | 0.5000 | 0.5000 | 0 | 0.0050 | 1.000 | equal |

- note: two_words were \\| not compared
"""
    )


HOSTILE = "<script>x</script> | [a](http://b) *c* _d_ `e` ~f~ # g\n\n# h & \u202e i\\"


@pytest.mark.parametrize("where", ["task", "mode"])
def test_texts_from_outside_are_shown_as_they_are(where):
    """Rendered by a Markdown parser: no element but ours, and the text itself."""
    rendered = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(
        markdown_text([check(**{where: HOSTILE})], [HOSTILE])
    )
    assert "<script" not in rendered
    assert "<a " not in rendered
    for tag in ("<em>", "<code>", "<s>", "<h1>"):
        assert tag not in rendered
    assert rendered.count("<td") == 8


def test_escaped():
    assert escaped("a|b") == "a\\|b"
    assert escaped("a\nb") == "a\\\\nb"
    assert escaped("snake_case _x_") == "snake_case \\_x\\_"
