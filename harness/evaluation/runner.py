"""The runner: every mode of every task from one encoding pass; finished pairs are kept."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mteb
from omegaconf import OmegaConf

from harness.config import RunConfig, build
from harness.cost.hardware import git_commit, hardware_record, software_record
from harness.cost.memory import reset_peak_device_bytes
from harness.errors import BadInputError, TaskFailedError, explain
from harness.evaluation.bridge import ModeSearch, TaskTexts, model_meta
from harness.evaluation.costing import CostMeter
from harness.evaluation.encoder import build_encoder, with_published_settings
from harness.evaluation.experiment import (
    LEXICAL_MODEL,
    Experiment,
    encoder_settings,
    experiments,
    settings_hash,
)
from harness.evaluation.manifest import run_manifest
from harness.evaluation.results import StoredResult, read_result, result_path, write_result
from harness.evaluation.rows import ResultRow, result_rows, with_ratios
from harness.evaluation.tasks.instruction import task_instruction
from harness.evaluation.tasks.local import is_local
from harness.evaluation.tasks.resolve import resolve_tasks
from harness.progress import say
from harness.retrieval.once import OnceRetriever
from harness.retrieval.retriever import Dependencies

if TYPE_CHECKING:
    from mteb.abstasks.retrieval import AbsTaskRetrieval

    from harness.alignment.head import Head
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.model import EmbeddingModel

_PACKAGES = ("harness", "torch", "transformers", "mteb", "bm25s", "numpy", "scipy", "pytrec_eval")


@dataclass
class RunOutcome:
    """What a run did.

    Attributes:
        rows: Every (task, mode)'s figures, kept ones included.
        texts_encoded: Distinct texts that the model ran on in this run.
        texts_read: Distinct texts whose embeddings the store had.
        computed: (task, mode) pairs that were evaluated.
        kept: Pairs that were finished before.
        failed: One line for each task that did not finish.
    """

    rows: list[ResultRow] = field(default_factory=list)
    texts_encoded: int = 0
    texts_read: int = 0
    computed: int = 0
    kept: int = 0
    failed: list[str] = field(default_factory=list)


class Runner:
    """Evaluates one configuration."""

    def __init__(self, config: RunConfig) -> None:
        self._results = Path(config.results_dir)
        model: EmbeddingModel = build(config.model)
        self.config = with_published_settings(config, model)
        self._encoder = build_encoder(self.config, model)
        self._head: Head = build(self.config.head, encoder=self._encoder)
        self._meter = CostMeter(config.cost, self._encoder, self._head)
        self._encoders: dict[str, TextEncoder] = {}
        self._experiments: dict[str, dict[str, Experiment]] = {}

    def run(self) -> RunOutcome:
        """Evaluate what is missing and return every row.

        Raises:
            BadInputError: Bad input or configuration; finished results are kept.
        """
        logging.getLogger("mteb").setLevel(logging.ERROR)
        outcome = RunOutcome()
        tasks = resolve_tasks(self.config.tasks, cache_dir=Path(self.config.store_dir) / "tasks")
        self._encoders = {
            task.metadata.name: self._encoder.for_task(
                task_instruction(task, self.config.task_instructions)
            )
            for task in tasks
        }
        self._experiments = {task.metadata.name: self._experiments_on(task) for task in tasks}
        asked = {
            "model": self._encoder.model.name,
            "experiments": {
                task: {mode: experiment.folder for mode, experiment in modes.items()}
                for task, modes in self._experiments.items()
            },
        }
        refused: list[BadInputError] = []
        with run_manifest(self._results, asked, outcome):
            for task in tasks:
                try:
                    self._run_task(task, outcome)
                except Exception as error:
                    if self.config.debug:
                        traceback.print_exc()
                    if isinstance(error, BadInputError):
                        refused.append(error)
                    outcome.failed.append(f"{task.metadata.name}: {explain(error)}")
            if refused and len(refused) == len(tasks):
                raise refused[0]
        outcome.rows = with_ratios(outcome.rows)
        return outcome

    def model_settings(self) -> dict[str, dict[str, Any]]:
        """Task name to what decides its embeddings (`encoder`) and what reads them (`head`).

        Empty where no mode of the run has a model.
        """
        return {
            task: {"encoder": encoder_settings(self._encoders[task]), "head": self._head.identity()}
            for task in self._experiments
            if self._uses_model(task)
        }

    def _uses_model(self, task: str) -> bool:
        modes = self._experiments[task].values()
        return any(experiment.model != LEXICAL_MODEL for experiment in modes)

    def _experiments_on(self, task: AbsTaskRetrieval) -> dict[str, Experiment]:
        data = task.metadata.revision if is_local(task) else None
        encoder = self._encoders[task.metadata.name]
        return experiments(self.config, encoder, self._head, data=data)

    def _run_task(self, task: AbsTaskRetrieval, outcome: RunOutcome) -> None:
        """Evaluate a task's missing modes; rows of those that finish stay, whatever comes after."""
        stored = {mode: self._finished(mode, task) for mode in self.config.retrieval}
        missing = [mode for mode, result in stored.items() if result is None]
        outcome.kept += len(stored) - len(missing)
        try:
            if missing:
                self._evaluate_modes(task, missing, stored, outcome)
        finally:
            encoder = self._encoders[task.metadata.name]
            wanted = self._uses_model(task.metadata.name)
            space = settings_hash(encoder_settings(encoder)) if wanted else ""
            for mode, result in stored.items():
                if result is not None:
                    outcome.rows += result_rows(
                        result,
                        metrics=(task.metadata.main_score, *self.config.metrics),
                        model=self._encoder.model.name,
                        encoder=space,
                        kept=mode not in missing,
                    )

    def _evaluate_modes(
        self,
        task: AbsTaskRetrieval,
        modes: list[str],
        stored: dict[str, StoredResult | None],
        outcome: RunOutcome,
    ) -> None:
        _load(task)
        encoder = self._encoders[task.metadata.name]
        texts = TaskTexts(encoder)
        retrievers = self._retrievers(encoder)
        counted: set[int] = set()
        for mode in modes:
            say(f"{task.metadata.name}: {mode}")
            search = ModeSearch(retrievers[mode], texts, self._meta(task, mode))
            stored[mode] = self._evaluate(task, mode, search)
            outcome.computed += 1
            for part in [*search.corpora.values(), *search.queries.values()]:
                if part.encoding is not None and id(part) not in counted:
                    counted.add(id(part))
                    outcome.texts_encoded += part.encoding.encoded
                    outcome.texts_read += part.encoding.read

    def _retrievers(self, encoder: TextEncoder) -> dict[str, OnceRetriever]:
        retrievers: dict[str, OnceRetriever] = {}
        for name, mode in self.config.retrieval.items():
            dependencies = Dependencies(
                name=name, encoder=encoder, head=self._head, retrievers=retrievers
            )
            retrievers[name] = OnceRetriever(build(mode, dependencies=dependencies))
        return retrievers

    def _evaluate(self, task: AbsTaskRetrieval, mode: str, search: ModeSearch) -> StoredResult:
        reset_peak_device_bytes()
        evaluated = mteb.evaluate(
            search,
            task,
            cache=None,
            co2_tracker=False,
            show_progress_bar=False,
            encode_kwargs={"batch_size": 1},  # unused: batches are made by token budget
        )
        result = evaluated.task_results[0]
        cost = {}
        for place, corpus in search.corpora.items():
            search.retriever.index(corpus)  # with several places it has gone on to the next
            cost["/".join(place)] = self._meter.measure(
                search.retriever, corpus, search.queries[place], top_k=task._top_k
            )
        experiment = self._experiments[task.metadata.name][mode]
        return write_result(
            result_path(self._results, experiment, task.metadata.name),
            result,
            experiment=experiment,
            main_metric=task.metadata.main_score,
            meta=self._meta(task, mode).to_dict(),
            config=OmegaConf.to_yaml(OmegaConf.structured(self.config)),
            environment=self._environment,
            cost=cost,
            rankings={
                place: (search.corpora[place], search.queries[place], ranking)
                for place, ranking in search.rankings.items()
            },
        )

    @cached_property
    def _environment(self) -> dict[str, Any]:
        commit = git_commit(Path(__file__).parent)
        return {
            "hardware": hardware_record(),
            "software": software_record(_PACKAGES),
            "commit": commit.__dict__ if commit else None,
        }

    def _meta(self, task: AbsTaskRetrieval, mode: str) -> Any:
        experiment = self._experiments[task.metadata.name][mode]
        return model_meta(experiment.model, experiment.revision, experiment.settings)

    def _finished(self, mode: str, task: AbsTaskRetrieval) -> StoredResult | None:
        """The stored result if it is of these data and holds the cost that is asked for."""
        experiment = self._experiments[task.metadata.name][mode]
        path = result_path(self._results, experiment, task.metadata.name)
        stored = read_result(path)
        if stored is None or stored.result["dataset_revision"] != task.metadata.revision:
            return None
        wants_latency = self.config.cost.latency_queries > 0
        has_latency = all(figures.get("latency_p50_ms") for figures in stored.cost.values())
        return stored if has_latency or not wants_latency else None


def _load(task: AbsTaskRetrieval) -> None:
    """Load a task's data; a task that cannot be had does not stop the others."""
    if task.data_loaded:
        return
    try:
        task.load_data()
    except Exception as error:
        raise TaskFailedError(
            f"its data set {task.metadata.dataset['path']} cannot be loaded "
            f"({type(error).__name__}); set HF_ENDPOINT to a mirror, or give a BEIR folder with "
            "tasks=folder tasks.path=DIR"
        ) from error
