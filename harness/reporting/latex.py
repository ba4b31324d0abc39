"""The leaderboard's tables as LaTeX, with the rules of booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.reporting.tables import TextTable
from harness.text import printable

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "λ": r"$\lambda$",
    "⁶": r"\textsuperscript{6}",
    "…": r"\ldots{}",
    "⏎": r"$\hookleftarrow$",
    "“": "``",
    "”": "''",
    "’": "'",
    **{sign: f"\\{sign}" for sign in "#$%&_{}"},
}
_FLOATS = 10
_SIGNS = re.compile("|".join(map(re.escape, _SPECIAL)))


def latex_text(tables: Sequence[TextTable], *, title: str) -> str:
    r"""One `table` environment each, to be `\input` where booktabs and graphicx are loaded.

    Args:
        tables: The tables.
        title: Named in the first line.
    """
    parts = [
        f"% {printable(' '.join(title.split()))}",
        "% Needs \\usepackage{booktabs,graphicx}; other scripts want XeLaTeX or LuaLaTeX.",
    ]
    for number, table in enumerate(tables):
        if number and number % _FLOATS == 0:
            parts.append(r"\clearpage")  # LaTeX holds few floats back
        parts.append(_table(table))
    return "\n\n".join(["\n".join(parts[:2]), *parts[2:]]) + "\n"


def escape_latex(text: str) -> str:
    """Text from outside that LaTeX sets as it is: no command, no comment, one line."""
    return _SIGNS.sub(lambda found: _SPECIAL[found[0]], printable(" ".join(text.split())))


def _table(table: TextTable) -> str:
    columns = "l" * table.text_columns + "r" * (len(table.header) - table.text_columns)
    caption = ". ".join(text.rstrip(".") for text in (table.heading, *table.before, *table.after))
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            f"\\caption{{{escape_latex(caption)}.}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            f"\\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            _line(table.header),
            r"\midrule",
            *(_line(row) for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        ]
    )


def _line(cells: Sequence[str]) -> str:
    # In braces, so that a cell's bracket is not taken for the rule's or the line's argument.
    return " & ".join(f"{{{escape_latex(cell)}}}" for cell in cells) + r" \\"
