"""Each query's main metric, of all systems at one place."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from harness.evaluation.metrics import NAMES, PER_QUERY_FILE
from harness.evaluation.results import details_folder
from harness.reporting.collect import Entry

_ROUNDING = 1e-4  # of a score that other code averaged


@dataclass(frozen=True, eq=False)
class QueryScores:
    """Scores of systems on the same queries.

    Attributes:
        members: Numbers of the entries that they are of.
        query_ids: The queries.
        values: float64 (queries, members).
    """

    members: list[int]
    query_ids: tuple[str, ...]
    values: NDArray[np.float64]


def query_scores(entries: Sequence[Entry], faults: list[str]) -> list[QueryScores]:
    """The scores of the entries of one place, those on the same queries together.

    An entry has none where its task ranks nothing, where an earlier version wrote none, or where
    its metric is not the mean over queries.

    Args:
        entries: At most one a system, all of one task, split, subset and metric.
        faults: Gets a line for each file of scores that cannot be read; its entry then has none.

    Returns:
        One group for each set of queries, the largest group first.
    """
    groups: dict[tuple[str, ...], list[tuple[int, NDArray[np.float64]]]] = {}
    with ThreadPoolExecutor() as pool:
        for number, read in enumerate(pool.map(_read_or_fault, entries)):
            if isinstance(read, str):
                faults.append(read)
            elif read is not None:
                groups.setdefault(read[0], []).append((number, read[1]))
    return [
        QueryScores([n for n, _ in found], ids, np.column_stack([values for _, values in found]))
        for ids, found in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def _read_or_fault(entry: Entry) -> tuple[tuple[str, ...], NDArray[np.float64]] | str | None:
    try:
        return _read(entry)
    except ValueError as error:
        return str(error)


def _read(entry: Entry) -> tuple[tuple[str, ...], NDArray[np.float64]] | None:
    row = entry.row
    if entry.path is None or row.value is None or row.metric not in NAMES:
        return None
    file = details_folder(entry.path) / PER_QUERY_FILE
    if not file.is_file():
        return None
    ids, values = _column(file, row.split, row.subset, row.metric)
    if abs(values.mean() - row.value) > _ROUNDING:
        mean = f"{values.mean():.4f} and not {row.value:.4f}, the value in the result"
        raise _fault(file, f"holds scores whose mean is {mean}")
    if len(set(ids)) < len(ids):
        raise _fault(file, "holds a query twice")
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return tuple(ids[n] for n in order), values[order]


def _column(
    file: Path, split: str, subset: str, metric: str
) -> tuple[list[str], NDArray[np.float64]]:
    try:
        table = pq.ParquetFile(file, page_checksum_verification=True).read(
            ["split", "subset", "query_id", metric]
        )
        for name, value in (("split", split), ("subset", subset)):
            column = pc.cast(table[name], pa.string())
            if pc.count_distinct(column).as_py() > 1 or column[0].as_py() != value:
                table = table.filter(pc.equal(column, value))
        ids = pc.cast(table["query_id"], pa.string())
        values = pc.cast(table[metric], pa.float64()).to_numpy()
        if ids.null_count or not len(values):
            raise KeyError("query_id")
    except (OSError, KeyError, IndexError, pa.ArrowException) as error:
        raise _fault(file, f"cannot be read ({type(error).__name__})") from error
    if not np.isfinite(values).all():
        raise _fault(file, "holds scores that are no numbers")
    return ids.to_pylist(), np.asarray(values, np.float64)


def _fault(file: Path, what: str) -> ValueError:
    remedy = f"delete it and {file.parent}.json, and the result will be computed again"
    return ValueError(f"{file} {what}; {remedy}")
