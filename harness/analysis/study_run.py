"""A study over collections, heads and transforms; what is scored is kept and not scored again."""

from __future__ import annotations

import copy
import hashlib
import io
import json
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.analysis.choice import (
    SETTINGS,
    choose,
    differences_table,
    transfer_table,
)
from harness.analysis.references import Reference, references
from harness.analysis.study import POINTS, StudyPart, study_head, study_settings
from harness.config import AlignedSparseConfig, identity
from harness.errors import BadInputError
from harness.evaluation.experiment import SCORING_VERSION, encoder_settings
from harness.evaluation.heads import build_head
from harness.files import file_name, write_atomically
from harness.progress import progress_bar, say
from harness.statistics.pareto import on_front

if TYPE_CHECKING:
    from harness.alignment.head import Head
    from harness.analysis.analyser import Analyser
    from harness.analysis.collections import JudgedCollection

_VERSION = 1
_SCORES = "scores"


@dataclass(frozen=True)
class Study:
    """What a study found.

    Attributes:
        points: One row a setting and collection: task, head, transform, the settings, ndcg, ratio
            (to dense), flops_share (of dense scoring), scoring_flops, index_bytes, documents,
            runs_model, front, default (the settings of `conf/retrieval/aligned_sparse.yaml`).
        references: One row a mode and collection: task, name, ndcg, ratio, flops_share,
            index_bytes.
        transfer: The default, and what each collection chooses, on every collection.
        differences: Paired tests of the modes.
    """

    points: pd.DataFrame
    references: pd.DataFrame
    transfer: pd.DataFrame
    differences: pd.DataFrame


def run_study(analyser: Analyser, folder: Path) -> Study:
    """Score the configured grid.

    Args:
        analyser: Of the configuration.
        folder: Where scored parts are kept.

    Raises:
        BadInputError: If a kept part is unreadable.
    """
    config = analyser.config
    grid = config.study
    dense = next(name for name, mode in config.retrieval.items() if mode.kind == "dense")
    groups = study_settings(grid)
    points, rows, tests = [], [], []
    scores: dict[str, NDArray[np.float32]] = {}
    whole: dict[str, NDArray[np.float64]] = {}
    chosen: dict[str, pd.Series] = {}
    for collection in analyser.collections():
        modes = references(config.retrieval, collection, analyser.head)
        whole[collection.name] = modes[dense].scores
        rows += _reference_rows(collection.name, modes, dense)
        tests.append(_tests(collection.name, modes, dense, seed=config.seed))
        parts = []
        settings = [one for group in groups for one in group]
        pairs = list(product(grid.heads, grid.transforms))
        with progress_bar(collection.name, len(pairs), unit="settings") as advance:
            for head_name, transform_name in pairs:
                changed = copy.copy(config)
                changed.head = grid.heads[head_name]
                changed.transform = grid.transforms[transform_name]
                head = build_head(changed, collection.corpus.encoder)
                part = _kept(head, collection, groups, folder)
                named = {"task": collection.name, "head": head_name, "transform": transform_name}
                parts.append((part.points.assign(**named), part.per_query))
                advance(1, len(settings))
        table = pd.concat([part for part, _ in parts], ignore_index=True)
        scores[collection.name] = np.concatenate([values for _, values in parts])
        table = _compared(table, modes[dense])
        table["documents"] = len(collection.corpus)
        number = choose(table, scores[collection.name], most_flops=grid.most_flops)
        if number >= 0:
            chosen[collection.name] = table.iloc[number]
        points.append(table)
        say(f"{collection.name}: {len(table):,} settings")
    every = pd.concat(points, ignore_index=True)
    every["default"] = _is_default(every)
    if every["default"].any():
        chosen = {"default": every[every["default"]].iloc[0], **chosen}
    return Study(
        points=every,
        references=pd.DataFrame(rows),
        transfer=transfer_table(chosen, every, scores, whole, seed=config.seed),
        differences=pd.concat(tests, ignore_index=True),
    )


def _compared(points: pd.DataFrame, dense: Reference) -> pd.DataFrame:
    """Points of one collection with their shares of dense, and which are on the front."""
    table = points.reset_index(names="row")
    mean = float(dense.scores.mean())
    table["ratio"] = table["ndcg"] / mean if mean else np.nan
    assert dense.scoring_flops is not None
    table["flops_share"] = table["scoring_flops"] / max(dense.scoring_flops, 1e-12)
    free = ~table["runs_model"].to_numpy(bool)
    front = np.zeros(len(table), np.bool_)
    for group in (free, ~free):  # a query that a model runs for costs far more than its postings
        front[group] = on_front(
            table["flops_share"].to_numpy()[group], table["ndcg"].to_numpy()[group]
        )
    table["front"] = front
    return table


def _is_default(points: pd.DataFrame) -> pd.Series:
    """The grid's first head without a transform, with the settings that a run has by default."""
    wanted = asdict(AlignedSparseConfig())
    wanted |= {"head": points["head"].iloc[0], "transform": "none"}
    same = [points[name] == wanted[name] for name in SETTINGS]
    return pd.Series(np.logical_and.reduce(same), index=points.index)


def _reference_rows(task: str, modes: dict[str, Reference], dense: str) -> list[dict[str, object]]:
    mean = float(modes[dense].scores.mean())
    base = modes[dense].scoring_flops or float("nan")
    return [
        {
            "task": task,
            "name": name,
            "ndcg": float(one.scores.mean()),
            "ratio": float(one.scores.mean()) / mean if mean else float("nan"),
            "flops_share": float("nan") if one.scoring_flops is None else one.scoring_flops / base,
            "index_bytes": one.index_bytes,
        }
        for name, one in modes.items()
    ]


def _tests(task: str, modes: dict[str, Reference], dense: str, *, seed: int) -> pd.DataFrame:
    """Every mode against dense, and every fusion against bm25 too."""
    pairs = {(name, dense): name for name in modes if name != dense}
    against = {(name, "bm25"): name for name in modes if name not in (dense, "bm25")}
    wanted = {**pairs, **(against if "bm25" in modes else {})}
    return differences_table(
        task,
        {(a, b): (modes[a].scores, modes[b].scores) for a, b in wanted},
        seed=seed,
    )


def _kept(
    head: Head, collection: JudgedCollection, groups: list[list[AlignedSparseConfig]], folder: Path
) -> StudyPart:
    """A part of the study, read where it was scored before."""
    grades = collection.grades.tocoo()
    key = {
        "version": [_VERSION, SCORING_VERSION],
        "head": head.identity(),
        "encoder": encoder_settings(collection.corpus.encoder),
        "settings": [[identity(one) for one in group] for group in groups],
        "texts": [_digest(collection.corpus.keys), _digest(collection.queries.keys)],
        "ids": [list(collection.corpus.ids), list(collection.queries.ids)],
        "grades": [_digest([part.tobytes()]) for part in (grades.data, grades.row, grades.col)],
        "ignore_identical_ids": collection.ignore_identical_ids,
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = folder / f"{file_name(collection.name)}-{digest}.parquet"
    if path.exists():
        return _read(path)
    part = study_head(head, collection, groups)
    table = part.points.assign(**{_SCORES: list(part.per_query)})
    write_atomically(
        path,
        lambda temporary: table.to_parquet(temporary, index=False, write_page_checksum=True),
    )
    return part


def _read(path: Path) -> StudyPart:
    try:
        stored = io.BytesIO(path.read_bytes())
        table = pd.read_parquet(stored, page_checksum_verification=True)
        per_query = np.stack(table[_SCORES].to_list()).astype(np.float32)
        points = table[list(POINTS)]
    except Exception as error:
        raise BadInputError(
            f"{path}: a part of a study is unreadable; delete it, and it is scored again"
        ) from error
    return StudyPart(points, per_query)


def _digest(parts: list[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()
