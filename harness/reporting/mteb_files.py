"""The files of one result in the layout of the official results repository.

`{Task}.json` as mteb writes it, `model_meta.json` and `run_settings.jsonl`: which versions scored
which splits and subsets. The repository refuses a result that the last of them does not cover.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.evaluation.results import without_nan
from harness.files import write_atomically, write_text

if TYPE_CHECKING:
    from mteb.models.model_meta import ModelMeta
    from mteb.results import TaskResult

    from harness.evaluation.results import StoredResult

_RUN_SETTINGS = "run_settings.jsonl"
# mteb's list; the harness runs a model itself, through transformers alone.
_VERSIONS = ("mteb", "torch", "transformers", "harness")
_UNUSED = ("sentence-transformers", "flash-attn")


def revision_folder(results: Path, meta: ModelMeta) -> Path:
    """Where the results of a model's revision are."""
    return results / meta.model_name_as_path() / str(meta.revision)


def result_folder(results: Path, meta: ModelMeta) -> Path:
    """Where the results that some metadata describe are: an experiment's lie below the others."""
    folder = revision_folder(results, meta)
    return folder / "experiments" / meta.experiment_name if meta.experiment_name else folder


def write_official(folder: Path, result: TaskResult, stored: StoredResult) -> Path:
    """Write a result, and in what run it was made.

    Scores are rounded to six decimals, as mteb's own are.

    Args:
        folder: See `result_folder`.
        result: mteb's result.
        stored: The result that it comes from.

    Returns:
        The result's file.
    """
    path = folder / f"{result.task_name}.json"
    write_atomically(path, result.to_disk)
    _write_run_settings(folder / _RUN_SETTINGS, result, stored)
    return path


def write_meta(folder: Path, meta: ModelMeta) -> None:
    """Write a model's metadata, JSON proper: what is infinite there is null."""
    plain = json.loads(json.dumps(meta.to_dict(), default=str))
    if plain["training_datasets"] is not None:
        plain["training_datasets"].sort()  # mteb keeps a set
    text = json.dumps(without_nan(plain), indent=4, ensure_ascii=False)
    write_text(folder / "model_meta.json", text + "\n")


def _write_run_settings(path: Path, result: TaskResult, stored: StoredResult) -> None:
    """Put a task's rows in the place of those that were there; other tasks' stay."""
    subsets: dict[tuple[str, ...], list[str]] = {}
    for split, scores in result.scores.items():
        evaluated = tuple(sorted({score["hf_subset"] for score in scores}))
        subsets.setdefault(evaluated, []).append(split)
    software: Mapping[str, Any] = stored.environment.get("software", {})
    versions = {name: software.get(name) for name in _VERSIONS} | dict.fromkeys(_UNUSED)
    ours = [
        {
            "task": result.task_name,
            "splits": sorted(splits),
            "version": versions,
            "encode_kwargs": {},
            "settings": stored.experiment["settings"],
            "subsets": list(evaluated),
        }
        for evaluated, splits in subsets.items()
    ]
    others = [row for row in _rows(path) if row.get("task") != result.task_name]
    rows = sorted([*others, *ours], key=lambda row: str(row.get("task")))
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows that are there; what is none is dropped, as mteb drops it."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows
