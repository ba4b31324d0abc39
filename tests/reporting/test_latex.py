import re

import pytest

from harness.reporting.latex import escape_latex, latex_text
from harness.reporting.tables import TextTable


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("aligned_sparse", r"aligned\_sparse"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("50 % of $x$ & #1", r"50 \% of \$x\$ \& \#1"),
        ("~^<>|", r"\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}\textbar{}"),
        ("two\nlines \x1b[31m", r"two lines \textbackslash{}x1b[31m"),
        ('say "a"', "say ''a''"),
        ("–−≤…", r"--$-$$\leq$\ldots{}"),
    ],
)
def test_text_from_outside_is_set_as_it_is(text, escaped):
    assert escape_latex(text) == escaped


def test_a_table_by_hand():
    table = TextTable("T_1", ["name", "nDCG@10"], [["a & b", "0.5"], ["[c]", "–"]], 1, ["Ten."])
    assert latex_text([table], title="A\n% title") == (
        "% A % title\n"
        "% Needs \\usepackage{booktabs,graphicx}; other scripts want XeLaTeX or LuaLaTeX.\n"
        "\n"
        "\\begin{table}\n"
        "\\centering\n"
        "\\caption{T\\_1. Ten.}\n"
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n"
        "\\begin{tabular}{lr}\n"
        "\\toprule\n"
        "{name} & {nDCG@10} \\\\\n"
        "\\midrule\n"
        "{a \\& b} & {0.5} \\\\\n"
        "{[c]} & {--} \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}}\n"
        "\\end{table}\n"
    )


def test_braces_balance_whatever_the_text():
    table = TextTable("{", ["}", "\\"], [["}{", "\\}"]], 1)
    text = latex_text([table], title="}")
    inert = re.sub(r"\\[{}]", "", text.replace("\\\\", ""))
    body = "\n".join(inert.splitlines()[2:])  # the first lines are comments
    assert body.count("{") == body.count("}")


def test_a_page_of_floats_ends_before_latex_holds_too_many_back():
    table = TextTable("T", ["name"], [["a"]], 1)
    text = latex_text([table] * 21, title="")
    parts = text.split("\\clearpage")
    assert [part.count("\\begin{table}") for part in parts] == [10, 10, 1]
