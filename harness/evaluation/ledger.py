"""A run's results: which experiment each is, what is stored, what is written, and their rows."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from omegaconf import OmegaConf

from harness.cost.hardware import git_commit, hardware_record, software_record
from harness.errors import TaskFailedError
from harness.evaluation.bridge import model_meta
from harness.evaluation.evaluators import Evaluated, applicable, ranks
from harness.evaluation.experiment import (
    LEXICAL_MODEL,
    Experiment,
    encoder_settings,
    experiments,
    settings_hash,
)
from harness.evaluation.places import all_places, covers, places_in, places_of
from harness.evaluation.results import StoredResult, read_result, result_path, write_result
from harness.evaluation.rows import ResultRow, result_rows
from harness.evaluation.tasks.local import is_local

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

    from harness.alignment.head import Head
    from harness.config import RunConfig
    from harness.embedding.encoder import TextEncoder

_PACKAGES = (
    *("harness", "torch", "transformers", "mteb", "bm25s", "numpy", "scipy", "scikit-learn"),
    *("pytrec_eval-terrier", "numba", "faiss-cpu", "pyseismic-lsr", "peft"),
)


class Ledger:
    """The results of one task of a run, mode by mode."""

    def __init__(
        self,
        task: AbsTask,
        config: RunConfig,
        encoder: TextEncoder,
        head: Head,
        *,
        parts: Sequence[Ledger] = (),
    ) -> None:
        """Name the experiments of a task.

        Its settings are those of the run, and: the content hash of a task that is known by it, so
        that collections of one name have results of their own; the places of a task that ranks
        nothing, where not all are asked for, because its places share a random state and what a
        head learns from; and the parts' experiments of an aggregate.

        Args:
            task: An mteb task.
            config: The run.
            encoder: The task's encoder.
            head: The run's head.
            parts: The ledgers of an aggregate's parts.
        """
        self.task = task
        self.encoder = encoder
        self._config = config
        self._head = head
        self._asked = places_of(task)  # the task may be widened later
        own: dict[str, Any] = {}
        if is_local(task):
            own["data"] = task.metadata.revision
        if not ranks(task) and self._asked < all_places(task):
            own["places"] = sorted(map(list, self._asked))
        modes = list(applicable(task, config.retrieval))
        if task.is_aggregate:
            modes = [name for name in config.retrieval if all(name in p.experiments for p in parts)]
        added: dict[str, dict[str, Any]] = {mode: dict(own) for mode in modes}
        for part in parts:
            for mode in modes:
                of = added[mode].setdefault("of", {})
                of[part.task.metadata.name] = settings_hash(part.experiments[mode].settings)
        found = experiments(config, encoder, head, task=added)
        self.experiments: dict[str, Experiment] = {mode: found[mode] for mode in modes}

    @property
    def uses_model(self) -> bool:
        """Whether any mode has a model."""
        return any(one.model != LEXICAL_MODEL for one in self.experiments.values())

    def model_settings(self) -> dict[str, Any]:
        """What decides the task's embeddings (`encoder`) and what reads them (`head`)."""
        return {"encoder": encoder_settings(self.encoder), "head": self._head.identity()}

    def meta(self, mode: str) -> Any:
        """Mteb's metadata of a mode's model."""
        experiment = self.experiments[mode]
        return model_meta(experiment.model, experiment.revision, experiment.settings)

    def stored(self, mode: str) -> StoredResult | None:
        """The stored result if it is of these data."""
        stored = read_result(self._path(mode))
        if stored is None or stored.result["dataset_revision"] != self.task.metadata.revision:
            return None
        return stored

    def is_finished(self, stored: StoredResult | None) -> bool:
        """Whether a result has all places of the task, and the cost that is asked for."""
        if stored is None or not covers(stored, self.task):
            return False
        wants_latency = self._config.cost.latency_queries > 0 and ranks(self.task)
        has_latency = all(figures.get("latency_p50_ms") for figures in stored.cost.values())
        return has_latency or not wants_latency

    def write(self, mode: str, evaluated: Evaluated) -> StoredResult:
        """Write a mode's result.

        Raises:
            TaskFailedError: If another process has meanwhile written places that are not in it.
        """
        path = self._path(mode)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / f".{path.stem}.lock"):
            there = self.stored(mode)
            lost = places_in(there.result if there else {}) - places_in(
                evaluated.result.model_dump()
            )
            if lost:
                raise TaskFailedError(
                    f"another process has written {len(lost)} more places of {path} meanwhile; "
                    "run the same command again"
                )
            return write_result(
                path,
                evaluated,
                experiment=self.experiments[mode],
                main_metric=self.task.metadata.main_score,
                task_type=self.task.metadata.type,
                meta=self.meta(mode).to_dict(),
                config=OmegaConf.to_yaml(OmegaConf.structured(self._config)),
                environment=_environment(),
            )

    def rows(
        self, finished: Mapping[str, StoredResult], *, kept: Container[str]
    ) -> list[ResultRow]:
        """The rows of finished modes, at the places that were asked for.

        Args:
            finished: Results by mode.
            kept: Modes whose results were there before the run.
        """
        space = settings_hash(encoder_settings(self.encoder)) if self.uses_model else ""
        return [
            row
            for mode, result in finished.items()
            for row in result_rows(
                result,
                metrics=(self.task.metadata.main_score, *self._config.metrics),
                model=self.encoder.model.name,
                encoder=space,
                kept=mode in kept,
            )
            if not self._asked or (row.split, row.subset) in self._asked
        ]

    def _path(self, mode: str) -> Path:
        folder = Path(self._config.results_dir)
        return result_path(folder, self.experiments[mode], self.task.metadata.name)


@cache
def _environment() -> dict[str, Any]:
    commit = git_commit(Path(__file__).parent)
    return {
        "hardware": hardware_record(),
        "software": software_record(_PACKAGES),
        "commit": commit.__dict__ if commit else None,
    }
