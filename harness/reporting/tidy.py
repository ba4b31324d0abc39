"""Every result as one tidy table: a row for each metric of each split and subset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from harness.evaluation.metrics import PER_QUERY_FILE
from harness.evaluation.results import StoredResult, details_folder
from harness.files import read_json
from harness.reporting.official import OfficialFile

_NOT_METRICS = ("main_score", "hf_subset", "languages")


class TidyResults:
    """Gathers results column by column.

    Columns: `source` (`harness`, or `mteb` for an official file), `model`, `revision`, `mode`,
    `kind`, `task`, `task_type`, `split`, `subset`, `dataset_revision`, `experiment`, `metric`,
    `value`, `main` (whether it is the task's main metric), `result` and `per_query` (files, below
    the results folder; `per_query` is null where queries have no values of their own), `commit`,
    `mteb_version`, `hardware.*`, `cost.*`, `setting.*` (all that can change a score, nested names
    with dots) and `config.*` (the whole configuration of the run).
    """

    def __init__(self, results_dir: Path) -> None:
        """Start without any.

        Args:
            results_dir: The folder that files are named below.
        """
        self._results_dir = results_dir
        self._runs: list[dict[str, Any]] = []
        self._run_numbers: dict[tuple[str, int], int] = {}
        self._flat: dict[int, tuple[Mapping[str, Any], dict[str, Any]]] = {}
        self._places: list[dict[str, Any]] = []
        self._run_of_place: list[int] = []
        self._place_of_row: list[int] = []
        self._metrics: list[str] = []
        self._values: list[float] = []
        self._main: list[bool] = []

    def add(self, stored: StoredResult, config: Mapping[str, Any]) -> None:
        """Add a result of ours.

        Args:
            stored: The result.
            config: Its run's configuration.
        """
        experiment, environment = stored.experiment, stored.environment
        run = self._run(stored, config)
        main = experiment.get("main_metric")
        per_query = details_folder(stored.path) / PER_QUERY_FILE
        files = {
            "result": stored.path.relative_to(self._results_dir).as_posix(),
            "per_query": per_query.relative_to(self._results_dir).as_posix()
            if per_query.is_file()
            else None,
        }
        commit = environment.get("commit") or {}
        own = {
            "source": "harness",
            "task_type": experiment.get("task_type"),
            "dataset_revision": stored.result["dataset_revision"],
            "mteb_version": stored.result.get("mteb_version"),
            "commit": commit.get("commit"),
            **files,
            **flattened("hardware", environment.get("hardware") or {}),
        }
        for split, subset, scores in _places(stored.result["scores"]):
            cost = stored.cost.get(f"{split}/{subset}", {})
            place = {**own, "task": stored.result["task_name"], "split": split, "subset": subset}
            self._add_place(run, place | flattened("cost", cost), scores, main)

    def add_official(self, file: OfficialFile) -> None:
        """Add a result that mteb published.

        Args:
            file: Where it is, and what it is of.
        """
        result = read_json(file.path)
        self._runs.append({"model": file.model, "revision": file.revision})
        own = {
            "source": "mteb",
            "task": str(result.get("task_name") or file.path.stem),
            "dataset_revision": result.get("dataset_revision"),
            "mteb_version": result.get("mteb_version"),
            "result": file.path.as_posix(),
        }
        for split, subset, scores in _places(result["scores"]):
            place = {**own, "split": split, "subset": subset}
            self._add_place(len(self._runs) - 1, place, scores, None)

    def table(self) -> pa.Table:
        """The table; texts are dictionaries, so that it is small in memory too."""
        of_place = np.array(self._place_of_row, np.int64)
        of_run = np.array(self._run_of_place, np.int64)[of_place]
        columns = _columns(self._runs, of_run) | _columns(self._places, of_place)
        metrics = pa.array(self._metrics, pa.string()).dictionary_encode()
        columns |= {
            "metric": metrics,
            "value": pa.array(self._values, pa.float64()),
            "main": pa.array(self._main, pa.bool_()),
        }
        first = [name for name in _FIRST if name in columns]
        rest = sorted(set(columns) - set(first), key=_by_group)
        return pa.table({name: columns[name] for name in [*first, *rest]})

    def _run(self, stored: StoredResult, config: Mapping[str, Any]) -> int:
        experiment = stored.experiment
        key = (str(stored.path.parent), id(config))
        if key not in self._run_numbers:
            self._run_numbers[key] = len(self._runs)
            if id(config) not in self._flat:  # held, so that its id stays its own
                self._flat[id(config)] = config, flattened("config", config)
            self._runs.append(
                {
                    **{name: experiment.get(name) for name in ("model", "revision", "mode")},
                    "kind": experiment["settings"]["mode"]["kind"],
                    "experiment": experiment.get("folder"),
                    **flattened("setting", experiment["settings"]),
                    **self._flat[id(config)][1],
                }
            )
        return self._run_numbers[key]

    def _add_place(
        self, run: int, place: dict[str, Any], scores: Mapping[str, Any], main: str | None
    ) -> None:
        found = [
            (name, float(value))
            for name, value in scores.items()
            if name not in _NOT_METRICS
            and isinstance(value, int | float)
            and not isinstance(value, bool)
        ]
        if main is None:
            main = next((n for n, v in found if v == scores.get("main_score")), None)
        self._place_of_row += [len(self._places)] * len(found)
        self._places.append(place)
        self._run_of_place.append(run)
        self._metrics += [name for name, _ in found]
        self._values += [value for _, value in found]
        self._main += [name == main for name, _ in found]


_FIRST = (
    *("source", "model", "revision", "mode", "kind", "task", "task_type", "split", "subset"),
    *("metric", "value", "main", "dataset_revision", "experiment", "result", "per_query"),
    *("commit", "mteb_version"),
)


def flattened(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as one, names joined by dots; lists as text.

    Args:
        prefix: What every name begins with.
        values: Parsed JSON or YAML.
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flattened(f"{prefix}.{name}", value)
        elif isinstance(value, list | tuple):
            flat[f"{prefix}.{name}"] = ", ".join(map(str, value))
        else:
            flat[f"{prefix}.{name}"] = value
    return flat


def _places(scores: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for split, places in scores.items():
        for place in places:
            yield split, str(place.get("hf_subset") or "default"), place


def _columns(records: list[dict[str, Any]], rows: np.ndarray[Any, Any]) -> dict[str, pa.Array]:
    """Each name's values in the records, taken for the rows."""
    names = dict.fromkeys(name for record in records for name in record)
    return {name: _column([one.get(name) for one in records], rows) for name in names}


def _column(values: list[Any], rows: np.ndarray[Any, Any]) -> pa.Array:
    known = {type(value) for value in values if value is not None}
    if known <= {bool}:
        return pa.array(values, pa.bool_()).take(rows)
    if known <= {int, float}:
        return pa.array([None if v is None else float(v) for v in values], pa.float64()).take(rows)
    texts = pa.array([None if v is None else _text(v) for v in values], pa.string())
    return texts.dictionary_encode().take(rows)


def _text(value: Any) -> str:
    # JSON can hold half a surrogate pair, which no UTF-8 file can.
    return str(value).encode("utf-8", "backslashreplace").decode()


def _by_group(name: str) -> tuple[int, str]:
    groups = ("cost", "hardware", "setting", "config")
    group = name.partition(".")[0]
    return groups.index(group) if group in groups else len(groups), name
