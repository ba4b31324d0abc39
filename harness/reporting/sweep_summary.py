"""All jobs of a sweep side by side: a line each, the best value of every mode marked, a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from harness.reporting.figures_leaderboard import pareto
from harness.reporting.sweep_rows import IN_ALL, PER_QUERY
from harness.reporting.terminal import standard_output
from harness.reporting.units import ABSENT, bytes_text, milliseconds, si
from harness.statistics.pareto import on_front
from harness.sweep.record import settings_of
from harness.text import listed, printable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness.sweep.record import JobRecord

_FIGURES = ("value", *PER_QUERY, *IN_ALL)
_BEST = "*"


def summary(jobs: Sequence[JobRecord]) -> pd.DataFrame:
    """One row a job and mode; a job that found nothing has one without a mode.

    Columns: job, settings (those that not all jobs have), status, seconds, task, mode, kind,
    metric, value, the costs of `job_rows`, texts_encoded; `best`, whether no job has a larger value
    of this mode on these tasks and some job has a smaller one; `front`, whether on these tasks
    nothing has more quality for as few FLOPs per query.

    Args:
        jobs: The sweep's; at least one found something.
    """
    import pandas as pd

    rows = [
        {
            "job": job.number,
            "settings": settings,
            "status": job.status,
            "seconds": job.seconds,
            "task": listed(row["tasks"]) if row else "",
            **{name: row.get(name) for name in ("mode", "kind", "metric", *_FIGURES)},
            "texts_encoded": row.get("texts_encoded", 0),
        }
        for job, settings in zip(jobs, settings_of(jobs), strict=True)
        for row in (job.rows or [{}])
    ]
    frame = pd.DataFrame(rows).astype(dict.fromkeys(_FIGURES, "float64"))
    values = frame.groupby(["task", "mode"], dropna=False)["value"]
    frame["best"] = (frame["value"] == values.transform("max")) & (
        frame["value"] > values.transform("min")
    )
    frame["front"] = False
    for _, group in frame[frame["value"].notna() & frame["query_flops"].notna()].groupby("task"):
        front = on_front(group["query_flops"].to_numpy(), group["value"].to_numpy())
        frame.loc[group.index, "front"] = front
    return frame


def print_summary(frame: pd.DataFrame) -> None:
    """Print a table for each set of tasks, a line a job.

    Each mode has its value, with a star where it is the best of several jobs, and its FLOPs per
    query; a mode that is alone has all its costs. Modes that all jobs have alike stand below.

    Args:
        frame: Of `summary`.
    """
    console = standard_output()
    found = frame[frame["mode"].notna()]
    for task, group in found.groupby("task", sort=False):
        alike = _alike(group)
        told = alike.groupby("mode", sort=False).first()
        if len(told) == group["mode"].nunique():  # or there would be no table
            told = told.iloc[:0]
        shown = group[~group["mode"].isin(told.index)]
        console.print(Text(printable(f"sweep on {task}"), style="italic"))
        console.print(_table(shown, list(dict.fromkeys(shown["mode"]))))
        for mode, line in told.iterrows():
            figures = f"{line['value']:.4f}, FLOPs/query {si(line['query_flops'])}"
            console.print(Text(printable(f"in all jobs {mode}: {figures}"), style="dim"))
    if found["best"].any():
        console.print(Text(f"{_BEST} the best of its mode", style="dim"))


def summary_figure(frame: pd.DataFrame) -> Figure:
    """Quality against FLOPs per query of all jobs and modes; equal points are one.

    Args:
        frame: Of `summary`.
    """
    data = frame[frame["mode"].notna()].copy()
    several = data["mode"].nunique() > 1
    data["name"] = data["settings"]
    if several:  # what the sweep does not change is one point, and the mode's name says it all
        data["name"] = data["name"].mask(data.index.isin(_alike(data).index), data["mode"])
    point = ["task", "mode", "value", "query_flops"]
    data = data.drop_duplicates(point).sort_values("front", ascending=False, kind="stable")
    data = data.assign(low=np.nan, high=np.nan)
    return pareto(data)


def _alike(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of modes that have the same value and FLOPs in several jobs, all of a table's."""
    jobs = frame.groupby("task")["job"].transform("nunique")
    modes = frame.groupby(["task", "mode"])
    alike = (jobs > 1) & (modes["job"].transform("nunique") == jobs)
    for name in ("value", "query_flops"):
        alike &= modes[name].transform("nunique") == 1
    return frame[alike]


def _table(group: pd.DataFrame, modes: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("job", justify="right")
    table.add_column("settings", overflow="fold")
    alone = len(modes) == 1
    metric = str(group["metric"].iloc[0])
    for mode in modes:
        table.add_column(Text(printable(f"{metric} {mode}")), justify="right", overflow="fold")
        table.add_column("FLOPs/query", justify="right")
    for name in ("of scoring", "ms/query", "index", "FLOPs/corpus") if alone else ():
        table.add_column(name, justify="right")
    for _, lines in group.groupby("job", sort=True):
        by_mode = {line["mode"]: line for line in lines.to_dict("records")}
        first = next(iter(by_mode.values()))
        cells = [str(first["job"]), first["settings"]]
        for mode in modes:
            line = by_mode.get(mode)
            cells += (
                [ABSENT, ABSENT]
                if line is None
                else [_value(line), si(_known(line, "query_flops"))]
            )
        if alone:
            cells += [
                si(_known(first, "scoring_flops_per_query")),
                milliseconds(_known(first, "latency_p50_ms")),
                bytes_text(_known(first, "index_bytes")),
                si(_known(first, "corpus_flops")),
            ]
        best = any(line["best"] for line in by_mode.values())
        table.add_row(*(Text(printable(cell)) for cell in cells), style="bold" if best else "")
    return table


def _value(line: dict[str, Any]) -> str:
    value = _known(line, "value")
    return ABSENT if value is None else f"{value:.4f}{_BEST if line['best'] else ' '}"


def _known(line: dict[str, Any], name: str) -> float | None:
    return None if np.isnan(line[name]) else float(line[name])
