"""Rows of the comparison table: one figure of one mode on one task, with what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.errors import BadInputError

if TYPE_CHECKING:
    from harness.evaluation.results import StoredResult


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One figure.

    Attributes:
        model: The run's model, also for modes without one.
        task: The task's name.
        task_type: mteb's name of its type; empty where a result does not tell.
        part_of: The task that this one is a part of in the run, such as CQADupstack; else empty.
        subset: mteb's subset.
        split: The split.
        mode: The mode's name in the run.
        kind: The mode's kind.
        metric: mteb's name of the metric.
        value: Its value; None where it is not a number.
        ratio: To dense of the same model, task, split, subset and metric; None without dense, or
            where dense is not above 0.
        main: Whether it is the task's main metric.
        experiment: The folder of the results.
        dataset_revision: The data's revision.
        kept: Whether the result was there before this run.
        encoded_now: Texts that the model ran on for this figure in this run; 0 when it was kept.
        encoder: Stands for model, pooling, template, length and dtype: ratios compare within it.
        hardware: Where it was computed.
        commit: The code's commit, with `+` when the checkout had changes; empty when unknown.
        cost: Cost figures by name, see `CostRecord`.
    """

    model: str
    task: str
    task_type: str = ""
    part_of: str = ""
    subset: str
    split: str
    mode: str
    kind: str
    metric: str
    value: float | None
    ratio: float | None = None
    main: bool = True
    experiment: str = ""
    dataset_revision: str = ""
    kept: bool = False
    encoded_now: int = 0
    encoder: str = ""
    hardware: str = ""
    commit: str = ""
    cost: dict[str, Any] = field(default_factory=dict)

    def flat(self) -> dict[str, Any]:
        """All figures in one mapping, cost figures by name beside the others."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "cost"}
        return {**own, **self.cost}


def result_rows(
    stored: StoredResult, *, metrics: Sequence[str], model: str, encoder: str, kept: bool
) -> list[ResultRow]:
    """The rows of one stored result.

    Args:
        stored: A finished (task, mode).
        metrics: Names of metrics, the main one first; others than it may be absent.
        model: The model that the rows are shown under.
        encoder: See `ResultRow`.
        kept: See `ResultRow`.

    Raises:
        BadInputError: If the result does not hold the main metric.
    """
    rows = []
    commit = stored.environment.get("commit") or {}
    for split, places in stored.result["scores"].items():
        for scores in places:
            for metric in dict.fromkeys(metrics):
                if metric not in scores:
                    if metric != metrics[0]:
                        continue  # types of tasks have metrics of their own
                    raise BadInputError(
                        f"{stored.path} holds no {metric}, the main metric of "
                        f"{stored.result['task_name']}; delete it and it will be computed again"
                    )
                cost = stored.cost.get(f"{split}/{scores['hf_subset']}", {})
                rows.append(
                    ResultRow(
                        model=model,
                        task=stored.result["task_name"],
                        task_type=stored.experiment.get("task_type", ""),
                        subset=scores["hf_subset"],
                        split=split,
                        mode=stored.experiment["mode"],
                        kind=stored.experiment["settings"]["mode"]["kind"],
                        metric=metric,
                        value=scores[metric],
                        main=metric == metrics[0],
                        experiment=stored.experiment["folder"],
                        dataset_revision=stored.result["dataset_revision"],
                        kept=kept,
                        encoder=encoder,
                        hardware=_hardware(stored.environment["hardware"]),
                        commit=commit.get("commit", "")[:12] + ("+" if commit.get("dirty") else ""),
                        encoded_now=0 if kept else cost.get("texts_encoded", 0),
                        cost=cost,
                    )
                )
    return rows


def with_ratios(rows: Iterable[ResultRow]) -> list[ResultRow]:
    """The rows with `ratio` filled in: value over that of the run's dense mode.

    The dense mode is the one called `dense`, else the first of that kind.
    """
    rows = list(rows)
    dense: dict[tuple[str, ...], ResultRow] = {}
    for row in rows:
        if row.kind == "dense" and (_cell(row) not in dense or row.mode == "dense"):
            dense[_cell(row)] = row
    return [
        ResultRow(**{**row.__dict__, "ratio": _ratio(row, dense.get(_cell(row)))}) for row in rows
    ]


def _cell(row: ResultRow) -> tuple[str, ...]:
    return row.model, row.encoder, row.dataset_revision, row.task, row.split, row.subset, row.metric


def _ratio(row: ResultRow, dense: ResultRow | None) -> float | None:
    # A share of nothing, or of less, says nothing: correlations may be negative.
    if dense is None or row.value is None or dense.value is None or dense.value <= 0:
        return None
    return row.value / dense.value


def _hardware(record: dict[str, Any]) -> str:
    """One readable line of `hardware_record`."""
    devices = [f"{record['cpu']}, {record['cores']} cores", *(record.get("gpus") or ())]
    return "; ".join(str(device) for device in devices)
