"""A run's results as snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import BadInputError
from harness.evaluation.metrics import NAMES, PER_QUERY_FILE, QueryMetrics, stored_metrics
from harness.evaluation.results import StoredResult, details_folder, read_result
from harness.files import file_name
from harness.regression.snapshot import COST_FIGURES, PlaceFigures, Score, Snapshot, System

if TYPE_CHECKING:
    from harness.evaluation.rows import ResultRow
    from harness.evaluation.task_texts import Place

_DECIMALS = 5  # mteb's, of scores


def run_snapshots(
    rows: Iterable[ResultRow], results_dir: Path, *, metrics: Sequence[str] = ()
) -> list[Snapshot]:
    """What each (task, mode) of a run had, at the places that the run asked for.

    Args:
        rows: The run's figures.
        results_dir: Where its results are.
        metrics: More metrics than each task's main one; a task that has not got one goes without.

    Returns:
        In the order of the rows.

    Raises:
        BadInputError: If a result went away, or cannot be read.
    """
    places: dict[tuple[str, str], list[Place]] = {}
    for row in rows:
        if row.main:
            places.setdefault((row.experiment, row.task), []).append((row.split, row.subset))
    return [
        snapshot(_stored(results_dir, experiment, task), asked, metrics=metrics)
        for (experiment, task), asked in places.items()
    ]


def snapshot(
    stored: StoredResult, places: Iterable[Place], *, metrics: Sequence[str] = ()
) -> Snapshot:
    """What a stored result holds at some of its places.

    Raises:
        BadInputError: If its values of single queries cannot be read.
    """
    experiment = stored.experiment
    names = tuple(dict.fromkeys((experiment["main_metric"], *metrics)))
    queries = _per_query(stored.path)
    return Snapshot(
        system=System(stored.result["task_name"], experiment["model"], experiment["mode"]),
        data_revision=stored.result["dataset_revision"],
        model_hash=_model_hash(experiment["settings"]),
        main_metric=experiment["main_metric"],
        settings=experiment["settings"],
        places={
            "/".join(place): _figures(stored, place, names, queries.get(place)) for place in places
        },
    )


def _figures(
    stored: StoredResult, place: Place, names: Sequence[str], queries: QueryMetrics | None
) -> PlaceFigures:
    split, subset = place
    scores = next(one for one in stored.result["scores"][split] if one["hf_subset"] == subset)
    cost = stored.cost.get("/".join(place), {})
    return PlaceFigures(
        {name: Score(scores[name], _of_queries(name, queries)) for name in names if name in scores},
        {name: cost.get(name) for name in COST_FIGURES},
    )


def _of_queries(metric: str, queries: QueryMetrics | None) -> dict[str, float]:
    if queries is None or metric not in NAMES:
        return {}
    values = queries.values[:, NAMES.index(metric)].round(_DECIMALS).tolist()
    return dict(zip(queries.query_ids, values, strict=True))


def _per_query(path: Path) -> Mapping[Place, QueryMetrics]:
    file = details_folder(path) / PER_QUERY_FILE
    if not file.exists():
        return {}
    try:
        return stored_metrics(pq.read_table(file, page_checksum_verification=True))
    except (OSError, KeyError, pa.ArrowException) as error:
        raise BadInputError(
            f"{file} cannot be read; delete {path} and it will be computed again"
        ) from error


def _model_hash(settings: Mapping[str, Any]) -> str | None:
    encoder = settings.get("encoder")
    return None if encoder is None else str(encoder["document"]["weights"])


def _stored(results_dir: Path, experiment: str, task: str) -> StoredResult:
    """The result of an experiment's folder, whose name is a hash of all its settings."""
    found = results_dir.glob(f"*/*/experiments/{experiment}/{file_name(task)}.json")
    stored = next((one for path in sorted(found) if (one := read_result(path))), None)
    if stored is None:
        raise BadInputError(
            f"the result of {experiment} on {task} went away from {results_dir} while it was "
            "compared; run the command again"
        )
    return stored
