"""Baselines on disk: `{task}/{org__model}/{mode}.json`, indented and sorted, one query a line.

A file holds no time, commit or version: one whose figures stay is written as it was, so that a diff
shows what moved and nothing else.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from harness.errors import BadInputError
from harness.files import file_name, read_json, write_text
from harness.regression.snapshot import COST_FIGURES, PlaceFigures, Score, Snapshot, System

_FORMAT = 1
_REMEDY = "write it anew with update=true, or delete it"


def baseline_path(folder: Path, system: System) -> Path:
    """Where a system's baseline is."""
    model = file_name(system.model.replace("/", "__").replace(" ", "_"))
    return folder / file_name(system.task) / model / f"{file_name(system.mode)}.json"


def baseline_paths(folder: Path) -> list[Path]:
    """Every baseline under a folder, sorted."""
    return sorted(path for path in folder.glob("*/*/*.json") if path.is_file())


def read_baseline(path: Path) -> Snapshot:
    """A baseline.

    Raises:
        BadInputError: If the file is unreadable or no baseline.
    """
    record = read_json(path, remedy=_REMEDY)
    if record.get("format") != _FORMAT:
        raise BadInputError(
            f"{path} has format {record.get('format')!r}, not {_FORMAT} as this version; {_REMEDY}"
        )
    try:
        return Snapshot(
            system=System(*(_text(record[name]) for name in ("task", "model", "mode"))),
            data_revision=_text(record["data_revision"]),
            model_hash=None if record["model_hash"] is None else _text(record["model_hash"]),
            main_metric=_text(record["main_metric"]),
            settings=dict(record["settings"]),
            places={place: _figures(figures) for place, figures in record["places"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        fault = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise BadInputError(f"{path} is no baseline ({fault}); {_REMEDY}") from error


def write_baseline(path: Path, snapshot: Snapshot) -> bool:
    """Write a baseline, unless the file says the same already.

    Returns:
        Whether it was written.

    Raises:
        BadInputError: If the folder cannot be written.
    """
    text = baseline_text(snapshot)
    try:
        if path.exists() and path.read_bytes() == text.encode():
            return False
        write_text(path, text)
    except OSError as error:
        raise BadInputError(
            f"{path} cannot be written ({error.strerror}); name another folder with "
            "baselines_dir=DIR"
        ) from error
    return True


def baseline_text(snapshot: Snapshot) -> str:
    """A baseline's file."""
    record = {
        "format": _FORMAT,
        **snapshot.system.__dict__,
        "data_revision": snapshot.data_revision,
        "model_hash": snapshot.model_hash,
        "main_metric": snapshot.main_metric,
        "settings": snapshot.settings,
        "places": {
            place: {
                "scores": {name: score.__dict__ for name, score in figures.scores.items()},
                "cost": figures.cost,
            }
            for place, figures in snapshot.places.items()
        },
    }
    return json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _figures(record: dict[str, Any]) -> PlaceFigures:
    scores = {
        name: Score(
            _figure(score["value"]),
            {query: _number(value) for query, value in score["queries"].items()},
        )
        for name, score in record["scores"].items()
    }
    return PlaceFigures(scores, {name: _figure(record["cost"][name]) for name in COST_FIGURES})


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _figure(value: Any) -> float | None:
    return None if value is None else _number(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return value
