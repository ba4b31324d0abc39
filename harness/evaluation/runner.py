"""The runner: every mode of every task from one encoding pass; finished pairs are kept."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mteb
from omegaconf import OmegaConf

from harness.config import RunConfig, build
from harness.cost.hardware import git_commit, hardware_record, software_record
from harness.embedding.encoder import TextEncoder
from harness.embedding.model import EmbeddingModel
from harness.errors import TaskFailedError
from harness.evaluation.bridge import ModeSearch, TaskTexts, model_meta
from harness.evaluation.costing import CostMeter
from harness.evaluation.experiment import (
    Experiment,
    encoder_settings,
    experiments,
    settings_hash,
)
from harness.evaluation.manifest import run_manifest
from harness.evaluation.results import StoredResult, read_result, result_path, write_result
from harness.evaluation.rows import ResultRow, result_rows, with_ratios
from harness.evaluation.tasks.resolve import resolve_tasks
from harness.progress import say
from harness.retrieval.once import OnceRetriever
from harness.retrieval.retriever import Dependencies

if TYPE_CHECKING:
    from mteb.abstasks.retrieval import AbsTaskRetrieval

    from harness.alignment.head import Head

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
        self.config = config
        self._results = Path(config.results_dir)
        model: EmbeddingModel = build(config.model)
        pooling = build(config.pooling)
        self._encoder = TextEncoder(
            model=model,
            pooling=config.pooling,
            template=build(config.instruction),
            backend=build(config.backend, model=model, pooling=pooling),
            store_dir=Path(config.store_dir),
        )
        self._head: Head = build(config.head, encoder=self._encoder)
        self._meter = CostMeter(config.cost, self._encoder, self._head)
        self._experiments: dict[str, Experiment] = {}

    def run(self) -> RunOutcome:
        """Evaluate what is missing and return every row.

        Raises:
            BadInputError: Bad input or configuration; finished results are kept.
        """
        logging.getLogger("mteb").setLevel(logging.ERROR)
        outcome = RunOutcome()
        tasks = resolve_tasks(self.config.tasks, cache_dir=Path(self.config.store_dir) / "tasks")
        self._experiments = experiments(self.config, self._encoder, self._head)
        self._encoder_hash = settings_hash(encoder_settings(self.config, self._encoder))
        asked = {
            "model": self._encoder.model.name,
            "tasks": [task.metadata.name for task in tasks],
            "experiments": [experiment.folder for experiment in self._experiments.values()],
        }
        with run_manifest(self._results, asked, outcome):
            for task in tasks:
                try:
                    self._run_task(task, outcome)
                except TaskFailedError as error:
                    outcome.failed.append(f"{task.metadata.name}: {error}")
                    say(outcome.failed[-1])
        outcome.rows = with_ratios(outcome.rows)
        return outcome

    def _run_task(self, task: AbsTaskRetrieval, outcome: RunOutcome) -> None:
        name = task.metadata.name
        stored = {mode: self._finished(mode, task) for mode in self.config.retrieval}
        missing = [mode for mode, result in stored.items() if result is None]
        if missing:
            _load(task)
            texts = TaskTexts(self._encoder)
            retrievers = self._retrievers()
            asked: dict[int, Any] = {}
            for mode in missing:
                say(f"{name}: {mode}")
                search = ModeSearch(retrievers[mode], texts, self._meta(mode))
                stored[mode] = self._evaluate(task, mode, search)
                outcome.computed += 1
                for part in [*search.corpora.values(), *search.queries.values()]:
                    asked[id(part)] = part
            for part in asked.values():
                if part.encoding is not None:
                    outcome.texts_encoded += part.encoding.encoded
                    outcome.texts_read += part.encoding.read
        outcome.kept += len(stored) - len(missing)
        for mode, result in stored.items():
            assert result is not None
            outcome.rows += result_rows(
                result,
                metrics=(task.metadata.main_score, *self.config.metrics),
                model=self._encoder.model.name,
                encoder=self._encoder_hash,
                kept=mode not in missing,
            )

    def _retrievers(self) -> dict[str, OnceRetriever]:
        retrievers: dict[str, OnceRetriever] = {}
        for name, mode in self.config.retrieval.items():
            dependencies = Dependencies(
                name=name, encoder=self._encoder, head=self._head, retrievers=retrievers
            )
            retrievers[name] = OnceRetriever(build(mode, dependencies=dependencies))
        return retrievers

    def _evaluate(self, task: AbsTaskRetrieval, mode: str, search: ModeSearch) -> StoredResult:
        name = task.metadata.name
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
        return write_result(
            result_path(self._results, self._experiments[mode], name),
            result,
            experiment=self._experiments[mode],
            meta=self._meta(mode).to_dict(),
            config=OmegaConf.to_yaml(OmegaConf.structured(self.config)),
            environment=_environment(),
            cost=cost,
            rankings={
                place: (search.corpora[place], search.queries[place], ranking)
                for place, ranking in search.rankings.items()
            },
        )

    def _meta(self, mode: str) -> Any:
        experiment = self._experiments[mode]
        return model_meta(experiment.model, experiment.revision, experiment.settings)

    def _finished(self, mode: str, task: AbsTaskRetrieval) -> StoredResult | None:
        """The stored result if it is of these data and holds the cost that is asked for."""
        path = result_path(self._results, self._experiments[mode], task.metadata.name)
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


def _environment() -> dict[str, Any]:
    commit = git_commit(Path(__file__).parent)
    return {
        "hardware": hardware_record(),
        "software": software_record(_PACKAGES),
        "commit": commit.__dict__ if commit else None,
    }
