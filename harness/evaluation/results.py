"""Results on disk, in mteb's own layout, with what belongs to them beside them.

`results/{org__model}/{revision}/experiments/{readable-id}-{hash}/` holds `{Task}.json` and
`model_meta.json`, as `mteb.ResultCache` reads them, and a folder `{Task}/` with `experiment.json`,
`config.yaml` (resolved), `environment.json`, `cost.json`, `digests.json`, and of tasks that rank
documents `rankings.parquet`, `per_query.parquet`, `qrels.parquet` and `texts.parquet`, and of modes
that rank by terms `explanations.parquet`. `{Task}.json` is written last but for the digests: a
result without it does not exist.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from harness.errors import BadInputError
from harness.evaluation.digests import announce, damaged, settle
from harness.evaluation.experiment import Experiment
from harness.evaluation.explanations import EXPLANATIONS_FILE
from harness.evaluation.kept_texts import TEXTS_FILE, texts_table
from harness.evaluation.metrics import (
    PER_QUERY_FILE,
    QRELS_FILE,
    per_query_table,
    place_columns,
    qrels_table,
)
from harness.files import file_name, read_json, remove_leftovers, write_atomically, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.evaluation.evaluators import Evaluated, Ranked
    from harness.evaluation.task_texts import Place


@dataclass(frozen=True)
class StoredResult:
    """One finished (task, mode).

    Attributes:
        path: Its `{Task}.json`.
        result: mteb's result as parsed JSON.
        experiment: Mode, model, revision and all settings that can change a score.
        environment: Versions, commit and hardware.
        cost: The cost record by place, `split/subset` to figures.
    """

    path: Path
    result: dict[str, Any]
    experiment: dict[str, Any]
    environment: dict[str, Any]
    cost: dict[str, Any]


def result_path(results_dir: Path, experiment: Experiment, task: str) -> Path:
    """Where a task's result of an experiment is."""
    model = file_name(experiment.model.replace("/", "__").replace(" ", "_"))
    revision = file_name(experiment.revision)
    return (
        results_dir
        / model
        / revision
        / "experiments"
        / experiment.folder
        / f"{file_name(task)}.json"
    )


def result_paths(results_dir: Path) -> list[Path]:
    """Every result under a folder, in the order of their paths.

    Raises:
        BadInputError: If there is none.
    """
    paths = sorted(
        path
        for path in results_dir.glob("*/*/experiments/*/*.json")
        if path.name != "model_meta.json" and path.is_file()
    )
    if not paths:
        raise BadInputError(
            f"results_dir={results_dir} holds no results; run `harness run` first, or name another "
            "folder with results_dir=DIR"
        )
    return paths


def details_folder(path: Path) -> Path:
    """The folder of what belongs to a result."""
    return path.with_suffix("")


def read_result(path: Path) -> StoredResult | None:
    """A finished result, or None if there is none.

    Raises:
        BadInputError: If it is there and cannot be read, or is not what was written.
    """
    if not path.exists():
        return None
    folder = details_folder(path)
    result = _read_json(path)
    files = {name: folder / f"{name}.json" for name in ("experiment", "environment", "cost")}
    details = {name: _read_json(file, culprit=path) for name, file in files.items()}
    scores = result.get("scores")
    sound = isinstance(scores, dict) and all(
        isinstance(places, list)
        and all(isinstance(place, dict) and "main_score" in place for place in places)
        for places in scores.values()
    )
    if not sound or not isinstance(result.get("dataset_revision"), str):
        raise BadInputError(f"{path} is no mteb result; delete it and it will be computed again")
    if not all(isinstance(figures, dict) for figures in details["cost"].values()):
        raise BadInputError(f"{path} has no cost record; delete it and it will be computed again")
    if culprit := damaged(folder, {"result": path, **files}):
        raise BadInputError(f"{culprit} is damaged; delete {path} and it will be computed again")
    return StoredResult(path, result, **details)


def write_result(
    path: Path,
    evaluated: Evaluated,
    *,
    experiment: Experiment,
    main_metric: str,
    task_type: str,
    meta: Mapping[str, Any],
    config: str,
    environment: Mapping[str, Any],
) -> StoredResult:
    """Write a finished (task, mode), `{Task}.json` last.

    A result of another data revision that is in its place is kept beside it, under `superseded/`.
    Only one process at a time may write a result.

    Args:
        path: See `result_path`.
        evaluated: Scores, costs and rankings.
        experiment: What was evaluated.
        main_metric: mteb's name of the task's main metric.
        task_type: mteb's name of the task's type.
        meta: mteb's model metadata.
        config: The resolved configuration as YAML.
        environment: Versions, commit, hardware.
    """
    details = details_folder(path)
    payload = without_nan(json.loads(evaluated.result.model_dump_json()))
    _keep_superseded(path, payload["dataset_revision"])
    own = experiment.__dict__ | {"main_metric": main_metric, "task_type": task_type}
    records = {
        "experiment": _json(own),
        "environment": _json(environment),
        "cost": _json(evaluated.cost),
    }
    texts = records | {"result": _json(payload)}
    remove_leftovers(details)
    announce(details, texts)
    write_text(details / "config.yaml", config)
    for name, text in records.items():
        write_text(details / f"{name}.json", text)
    if evaluated.ranked:
        _write_ranked(details, evaluated.ranked)
    write_text(path.parent / "model_meta.json", _json(meta))
    write_text(path, texts["result"])
    settle(details, texts)
    stored = read_result(path)
    assert stored is not None
    return stored


def without_nan(value: Any) -> Any:
    """The same JSON-able data with null for NaN and infinity, which JSON does not know."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _json(value: Any) -> str:
    plain = without_nan(json.loads(json.dumps(value, default=str)))
    return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _read_json(path: Path, *, culprit: Path | None = None) -> dict[str, Any]:
    """A JSON object; without one `culprit`, else the file itself, is to be deleted."""
    remedy = f"delete {culprit or 'it'} and it will be computed again"
    return read_json(path, remedy=remedy)


def _keep_superseded(path: Path, revision: str) -> None:
    if not path.exists():
        return
    try:
        old = str(json.loads(path.read_text(encoding="utf-8"))["dataset_revision"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        old = "unreadable"
    if old != revision:
        kept = path.parent / "superseded" / f"{path.stem}-{file_name(old)[:64]}"
        kept.parent.mkdir(exist_ok=True)
        if not kept.exists():
            with suppress(FileNotFoundError):  # another process has moved it
                path.replace(kept.parent / f"{kept.name}.json")
                details_folder(path).replace(kept)


def _write_ranked(details: Path, ranked: Mapping[Place, Ranked]) -> None:
    """Rankings, each query's values, judgements, texts, explanations: of all places in one file."""
    places = sorted(ranked.items())
    for name, tables in (
        ("rankings.parquet", [_ranking_table(*place, part) for place, part in places]),
        (PER_QUERY_FILE, [per_query_table(*place, part.metrics) for place, part in places]),
        (QRELS_FILE, [qrels_table(*place, part.qrels) for place, part in places]),
        (TEXTS_FILE, [texts_table(*place, part) for place, part in places]),
        (
            EXPLANATIONS_FILE,
            [part.explanations for _, part in places if part.explanations is not None],
        ),
    ):
        if not tables:
            continue
        table = pa.concat_tables(tables)
        # zstd itself notices few of the bits that a disk may flip.
        write = partial(pq.write_table, table, compression="zstd", write_page_checksum=True)
        write_atomically(details / name, write)


def _ranking_table(split: str, subset: str, part: Ranked) -> pa.Table:
    found = part.ranking.documents >= 0
    query, rank = np.nonzero(found)
    return pa.table(
        {
            **place_columns(split, subset, query.astype(np.int32), part.queries.ids),
            "rank": pa.array(rank.astype(np.int32) + 1),
            "document_id": _named(part.ranking.documents[found], part.corpus.ids),
            "score": pa.array(part.ranking.scores[found]),
        }
    )


def _named(rows: NDArray[np.int32], ids: Sequence[str]) -> pa.DictionaryArray:
    """Documents by their ids, of which only those are read that were found."""
    if isinstance(ids, list):
        return pa.DictionaryArray.from_arrays(
            pa.array(rows, pa.int32()), pa.array(ids, pa.string())
        )
    distinct, places = np.unique(rows, return_inverse=True)
    names = pa.array([ids[row] for row in distinct.tolist()], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(places.astype(np.int32)), names)
