"""What pytest-benchmark wrote as Markdown tables, and the scale curves as a figure.

    python tests/benchmarks/summary.py .benchmarks/latest.json --figure scale.png

A benchmark is a row if its `extra_info` has a `ratio` (see `keep` in conftest.py), and a point of
the curves if it has a `scale` (see test_scale.py).
"""

import argparse
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.reporting.figures_style import COLOURS, house_style, legend, new_figure, picture, title
from harness.reporting.plain import escape_markdown
from harness.reporting.units import bytes_text

# What is measured at a point: its panel's title, the unit, and how many of it the figure counts.
_PANELS = {
    "build_seconds": ("Time to index", "s", 1.0),
    "query_ms": ("Time of a query", "s", 1e-3),
    "index_bytes": ("Index", "B", 1.0),
    "peak_bytes": ("Peak memory", "B", 1.0),
}
_HEIGHT = 4.6  # inches


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, and draw the curves where a place for them is given."""
    parser = argparse.ArgumentParser(description="pytest-benchmark's JSON as Markdown tables")
    parser.add_argument("report", type=Path, help="what --benchmark-json wrote")
    parser.add_argument("--figure", type=Path, help="PNG of the scale curves, their rows beside it")
    options = parser.parse_args(arguments)
    report = json.loads(options.report.read_text(encoding="utf-8"))
    points = scale_points(report)
    parts = [ratio_table(report), scale_table(points), origin(report)]
    print("\n\n".join(part for part in parts if part))
    if options.figure and points:
        options.figure.parent.mkdir(parents=True, exist_ok=True)
        options.figure.write_bytes(scale_figure(points))
        rows = json.dumps(points, indent=2) + "\n"
        options.figure.with_suffix(".json").write_text(rows, encoding="utf-8")


def ratio_table(report: dict[str, Any]) -> str:
    """A row for each ratio to a peer; empty without any."""
    rows = []
    for benchmark in report["benchmarks"]:
        kept = benchmark["extra_info"]
        if "ratio" in kept:
            what, peer = kept.get("what", benchmark["name"]), kept.get("peer", "")
            ratio = f"{_ratio(kept)} {kept.get('of', '')}".strip()
            took = _seconds(benchmark["stats"]["median"])
            rows.append([benchmark["group"] or "", what, peer, ratio, _bar(kept), took])
    head = ["group", "what", "peer", "ratio (95 % interval)", "bar", "took"]
    return _table(head, rows)


def scale_points(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The points of the curves, by engine and size."""
    points = [each["extra_info"]["scale"] for each in report["benchmarks"] if _is_point(each)]
    return sorted(points, key=lambda point: (point["engine"], point["documents"]))


def scale_table(points: Sequence[dict[str, Any]]) -> str:
    """A row for each point of the curves; empty without any."""
    head = [
        "engine",
        "documents",
        "index s",
        "ms a query",
        "bytes a posting",
        "index",
        "peak memory",
    ]
    rows = []
    for point in points:
        posting = point["bytes_per_posting"]
        rows.append(
            [
                point["engine"],
                f"{point['documents']:,}",
                f"{point['build_seconds']:.3g}",
                f"{point['query_ms']:.3g}",
                "" if posting is None else f"{posting:.2f}",
                bytes_text(point["index_bytes"]),
                bytes_text(point["peak_bytes"]),
            ]
        )
    return _table(head, rows)


@house_style()
def scale_figure(points: Sequence[dict[str, Any]]) -> bytes:
    """A PNG: a panel each measure, a line each engine, both axes logarithmic."""
    from matplotlib.ticker import EngFormatter, NullFormatter

    figure = new_figure(_HEIGHT)
    engines = list(dict.fromkeys(point["engine"] for point in points))
    lines = {}
    panels = figure.subplots(2, 2, sharex=True)
    for axes, (measure, (name, unit, size)) in zip(panels.flat, _PANELS.items(), strict=True):
        title(axes, name, inches=3.5)
        axes.loglog()
        axes.grid()
        values = [point[measure] * size for point in points]
        axes.set_ylim(*(10.0**power for power in _powers(values)))
        for axis, units in ((axes.xaxis, ""), (axes.yaxis, unit)):
            axis.set_major_formatter(EngFormatter(unit=units))
            axis.set_minor_formatter(NullFormatter())
        for engine, colour in zip(engines, COLOURS, strict=False):
            own = [point for point in points if point["engine"] == engine]
            (lines[engine],) = axes.plot(
                [point["documents"] for point in own],
                [point[measure] * size for point in own],
                marker="o",
                markersize=4,
                color=colour,
            )
    for axes in panels[1]:
        axes.set_xlabel("documents")
    legend(figure, [(line, engine) for engine, line in lines.items()])
    return picture(figure, "png")


def origin(report: dict[str, Any]) -> str:
    """On which hardware and at which commit it was measured."""
    machine, commit = report["machine_info"], report["commit_info"]
    device = machine.get("device") or machine.get("cpu", {}).get("brand_raw") or machine["machine"]
    changed = " with changes" if commit.get("dirty") else ""
    return f"measured on {device}, commit {str(commit.get('id'))[:12]}{changed}"


def _powers(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around positive values."""
    return math.floor(math.log10(min(values))), math.floor(math.log10(max(values))) + 1


def _is_point(benchmark: dict[str, Any]) -> bool:
    return "scale" in benchmark["extra_info"]


def _ratio(kept: dict[str, Any]) -> str:
    """A ratio with its interval, where it has one."""
    low, high = kept.get("low"), kept.get("high")
    interval = "" if low == high else f" ({low:.2f}–{high:.2f})"
    return f"{kept['ratio']:.2f}{interval}"


def _bar(kept: dict[str, Any]) -> str:
    """A bar and whether the whole interval is on its good side; empty without one."""
    low, high = kept.get("low", kept["ratio"]), kept.get("high", kept["ratio"])
    if "at_least" in kept:
        bar = kept["at_least"]
        return f"≥ {bar:g}: {_verdict(low >= bar, high < bar)}"
    if "at_most" in kept:
        bar = kept["at_most"]
        return f"≤ {bar:g}: {_verdict(high <= bar, low > bar)}"
    return ""


def _verdict(reached: bool, missed: bool) -> str:
    if reached:
        return "reached"
    return "not reached" if missed else "undecided"


def _seconds(seconds: float) -> str:
    """A duration in the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown; empty without rows."""
    lines = [f"| {' | '.join(escape_markdown(cell) for cell in row)} |" for row in rows]
    rule = "|".join(["---"] * len(head))
    return "\n".join([f"| {' | '.join(head)} |", f"|{rule}|", *lines]) if lines else ""


if __name__ == "__main__":
    main()
