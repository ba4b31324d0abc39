import base64
import gzip
import subprocess
import sys

import pytest

from harness.reporting.page_libraries import datatables, map_style_id, packed, plotly


@pytest.mark.parametrize("text", ["", "abc", "naïve ≤ 256 \u2028 </script>" * 1000])
def test_a_packed_text_is_base64_of_gzip_and_always_the_same(text):
    once = packed(text)
    assert gzip.decompress(base64.b64decode(once, validate=True)).decode() == text
    assert packed(text) == once


def test_libraries_keep_their_notices():
    assert plotly().startswith("/**\n* plotly.js v")
    assert "Licensed under the MIT license" in plotly()[:200]
    for notice in (
        "jQuery JavaScript Library",
        "DataTables 2",
        "RowGroup",
        "datatables.net/license",
    ):
        assert notice in datatables()


def test_the_module_of_datatables_becomes_a_script():
    text = datatables()
    assert text.startswith('(()=>{"use strict";')
    assert text.count("window.DataTable=") == 1
    assert "export{" not in text
    assert text.endswith("})();\n")


def test_the_map_style_is_the_one_that_plotly_asks_for():
    assert len(map_style_id()) == 64
    assert f'if(!document.getElementById("{map_style_id()}"))' in plotly()


def test_the_packages_are_read_and_not_imported():
    program = (
        "import sys; from harness.reporting.page_libraries import plotly, datatables; plotly(); "
        "datatables(); print(*{'plotly', 'itables'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "\n"
