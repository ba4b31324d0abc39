"""The libraries that the leaderboard page holds, packed: plotly.js and DataTables."""

from __future__ import annotations

import base64
import gzip
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_EXPORTS = re.compile(r"export\s*\{([^}]*)\};?")
_STYLE_ID = re.compile(r'getElementById\("([0-9a-f]{64})"\)')


@cache
def plotly() -> str:
    """plotly.js, which sets `window.Plotly`."""
    return _read("plotly", "package_data/plotly.min.js")


@cache
def map_style_id() -> str:
    """The id of the style element that plotly.js adds for maps unless one of that id is there.

    The page draws no maps, and its policy would refuse that element: so it has one of that id.
    """
    found = _STYLE_ID.search(plotly())
    return found.group(1) if found else ""


@cache
def datatables() -> str:
    """DataTables with its extensions, as a script that sets `window.DataTable`.

    It is shipped as a module; a module that is in the page can hand its exports to nobody.

    Raises:
        ValueError: If it exports no default.
    """
    text = _read("itables", "html/dt_bundle.js")
    *_, exports = _EXPORTS.finditer(text)
    names = re.search(r"([\w$]+)\s+as\s+default", exports.group(1))
    if names is None:
        raise ValueError("itables' bundle exports no default")
    start, end = exports.span()
    given = f"window.DataTable={names.group(1)};"
    return f'(()=>{{"use strict";{text[:start]}{given}{text[end:]}\n}})();\n'


def packed(text: str) -> str:
    """A text as gzip in base64, the same for the same text; the page's script unpacks it."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _read(package: str, name: str) -> str:
    """A file of an installed package, which is not imported: plotly takes a second for that."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / name).read_text(encoding="utf-8")
