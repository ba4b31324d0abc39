"""What a mode had on a task: the same figures of a baseline and of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Sums of all that is counted, what a query's postings or vectors come to, and the index. Times,
# padding and memory depend on the machine and on how a run was batched, and are no part of it.
COST_FIGURES = (
    "query_flops",
    "scoring_flops_per_query",
    "corpus_flops",
    "splade_flops",
    "index_bytes",
)


@dataclass(frozen=True)
class Score:
    """One metric at one place.

    Attributes:
        value: The task's score, as mteb rounds it; None where it is not a number.
        queries: Query id to its own value, rounded to 5 decimals; empty where a task has no values
            of single queries.
    """

    value: float | None
    queries: Mapping[str, float]


@dataclass(frozen=True)
class PlaceFigures:
    """What a mode had at one place.

    Attributes:
        scores: Metric to its score.
        cost: `COST_FIGURES` to their values; None where one was not counted.
    """

    scores: Mapping[str, Score]
    cost: Mapping[str, float | None]


@dataclass(frozen=True)
class System:
    """What a baseline is known by.

    Attributes:
        task: The task's name.
        model: The model that results are filed under, `baseline/bm25s` for a mode without one.
        mode: The mode's name in the run.
    """

    task: str
    model: str
    mode: str

    def __str__(self) -> str:
        return f"{self.task}, {self.model}, {self.mode}"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a mode had on a task.

    Attributes:
        system: The task, the model and the mode.
        data_revision: The data's revision.
        model_hash: Of the encoder's weights, configuration and tokenizer; None without a model.
        main_metric: mteb's name of the task's main metric.
        settings: Every setting that can change a score.
        places: `split/subset` to figures.
    """

    system: System
    data_revision: str
    model_hash: str | None
    main_metric: str
    settings: Mapping[str, Any]
    places: Mapping[str, PlaceFigures]
