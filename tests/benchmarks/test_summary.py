"""The tables and the figure of a report that is written out here."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.summary import main, ratio_table, scale_points, scale_table

SCRIPT = Path(__file__).parent / "summary.py"


def benchmark(name, group=None, seconds=1.0, **extra):
    return {"name": name, "group": group, "stats": {"median": seconds}, "extra_info": extra}


def point(engine, documents, **changed):
    measured = {"build_seconds": 0.01234, "query_ms": 0.5, "peak_bytes": 123_456_789}
    size = {"index_bytes": 1_048_576, "bytes_per_posting": 8.25}
    return {"engine": engine, "documents": documents, **measured, **size, **changed}


REPORT = {
    "machine_info": {"machine": "x86_64", "device": "Some CPU, 2 cores"},
    "commit_info": {"id": "0123456789abcdef", "dirty": False},
    "benchmarks": [
        benchmark(
            "test_float32",
            "encoding",
            12.3456,
            what="float32",
            peer="a|peer",
            of="peer's time / ours",
            ratio=1.5,
            low=1.2,
            high=1.75,
            at_least=1.25,
        ),
        benchmark("test_without_a_ratio", "encoding"),
        benchmark("test_bare", None, 0.0025, ratio=2.0),
        benchmark("test_scale[2]", "scale", scale=point("aligned sparse", 10_000)),
        benchmark("test_scale[1]", "scale", scale=point("aligned sparse", 1000)),
        benchmark("test_dense", "scale", scale=point("dense", 1000, bytes_per_posting=None)),
    ],
}

RATIOS = """\
| group | what | peer | ratio (95 % interval) | bar | took |
|---|---|---|---|---|---|
| encoding | float32 | a\\|peer | 1.50 (1.20–1.75) peer's time / ours | ≥ 1.25: undecided | 12.3 s |
|  | test_bare |  | 2.00 |  | 2.5 ms |"""

SCALES = """\
| engine | documents | index s | ms a query | bytes a posting | index | peak memory |
|---|---|---|---|---|---|---|
| aligned sparse | 1,000 | 0.0123 | 0.5 | 8.25 | 1.00 MiB | 118 MiB |
| aligned sparse | 10,000 | 0.0123 | 0.5 | 8.25 | 1.00 MiB | 118 MiB |
| dense | 1,000 | 0.0123 | 0.5 |  | 1.00 MiB | 118 MiB |"""


def test_tables():
    assert ratio_table(REPORT) == RATIOS
    assert scale_table(scale_points(REPORT)) == SCALES


@pytest.mark.parametrize(
    ("kept", "bar"),
    [
        ({"low": 1.25, "high": 1.5, "at_least": 1.25}, "≥ 1.25: reached"),
        ({"low": 1.2, "high": 1.5, "at_least": 1.25}, "≥ 1.25: undecided"),
        ({"low": 1.2, "high": 1.24, "at_least": 1.25}, "≥ 1.25: not reached"),
        ({"low": 1.2, "high": 1.5, "at_most": 1.5}, "≤ 1.5: reached"),
        ({"low": 1.2, "high": 1.5, "at_most": 1.3}, "≤ 1.3: undecided"),
        ({"low": 1.4, "high": 1.5, "at_most": 1.3}, "≤ 1.3: not reached"),
        ({"low": 1.4, "high": 1.5}, ""),
    ],
)
def test_a_bar_is_reached_by_the_whole_interval(kept, bar):
    report = {"benchmarks": [benchmark("x", "g", ratio=1.4, **kept)]}
    assert ratio_table(report).splitlines()[-1].split("|")[5].strip() == bar


def test_a_report_without_ratios_is_its_origin(tmp_path, capsys):
    report = tmp_path / "report.json"
    machine, commit = {"machine": "riscv64"}, {"id": "f" * 40, "dirty": True}
    report.write_text(
        json.dumps({"machine_info": machine, "commit_info": commit, "benchmarks": []})
    )
    figure = tmp_path / "scale.png"
    main([str(report), "--figure", str(figure)])
    assert capsys.readouterr().out == "measured on riscv64, commit ffffffffffff with changes\n"
    assert not figure.exists()


def test_as_a_program(tmp_path):
    report, figure = tmp_path / "report.json", tmp_path / "new" / "scale.png"
    report.write_text(json.dumps(REPORT))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(report), "--figure", str(figure)],
        capture_output=True,
        check=True,
        text=True,
    )
    origin = "measured on Some CPU, 2 cores, commit 0123456789ab"
    assert done.stdout == f"{RATIOS}\n\n{SCALES}\n\n{origin}\n"
    assert json.loads(figure.with_suffix(".json").read_text()) == scale_points(REPORT)
    content = figure.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (1600, 920)  # 8 by 4.6 inches, 200 dots an inch
