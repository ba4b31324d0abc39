"""The runner: every mode of every task from one encoding pass; finished pairs are kept."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mteb.abstasks.aggregated_task import AbsTaskAggregate

from harness.config import RunConfig, build
from harness.cost.memory import reset_peak_device_bytes
from harness.embedding.shared_store import local_store
from harness.errors import BadInputError, explain
from harness.evaluation.aggregates import combine, parts_of, says_the_same
from harness.evaluation.costing import CostMeter
from harness.evaluation.downloads import DataLoader, UnreachableDataError, unreachable_line
from harness.evaluation.encoder import build_encoder, with_published_settings
from harness.evaluation.evaluators import (
    Evaluator,
    RankingEvaluator,
    VectorEvaluator,
    applicable,
    ranks,
)
from harness.evaluation.heads import build_head
from harness.evaluation.ledger import Ledger
from harness.evaluation.manifest import run_manifest
from harness.evaluation.places import widen
from harness.evaluation.rows import ResultRow, with_ratios
from harness.evaluation.tasks.instruction import task_instruction
from harness.evaluation.tasks.local import is_local
from harness.evaluation.tasks.resolve import resolve_tasks
from harness.progress import say
from harness.text import listed

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

    from harness.alignment.head import Head
    from harness.embedding.model import EmbeddingModel
    from harness.evaluation.results import StoredResult


@dataclass
class RunOutcome:
    """What a run did.

    Attributes:
        rows: Every (task, mode)'s figures, kept ones included.
        texts_encoded: Distinct texts that the model ran on in this run.
        texts_read: Distinct texts whose embeddings the store had.
        computed: (task, mode) pairs that were evaluated.
        kept: Pairs that were finished before.
        failed: One line for each task that did not finish, one for all whose data were missing.
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
        self._head: Head = build_head(self.config, self._encoder)
        self._meter = CostMeter(config.cost, self._encoder, self._head)
        self._data = DataLoader()
        self._ledgers: dict[str, Ledger] = {}
        self._finished: dict[str, dict[str, StoredResult]] = {}

    def run(self) -> RunOutcome:
        """Evaluate what is missing and return every row.

        Raises:
            BadInputError: Bad input or configuration; finished results are kept.
        """
        logging.getLogger("mteb").setLevel(logging.ERROR)
        outcome = RunOutcome()
        tasks = resolve_tasks(
            self.config.tasks, cache_dir=local_store(self.config.store_dir) / "tasks"
        )
        parts = self._with_modes(parts_of(tasks))
        aggregates = [task for task in tasks if isinstance(task, AbsTaskAggregate)]
        named = {task.metadata.name for task in tasks}
        for task in [*parts, *aggregates]:
            self._ledgers[task.metadata.name] = self._ledger(task)
        asked = {
            "model": self._encoder.model.name,
            "experiments": {
                name: {mode: one.folder for mode, one in ledger.experiments.items()}
                for name, ledger in self._ledgers.items()
            },
        }
        with run_manifest(self._results, asked, outcome):
            self._run_all(parts, outcome)
            for aggregate in aggregates:
                try:
                    self._combine(aggregate, named, outcome)
                except Exception as error:
                    self._note_failure(aggregate, error, outcome)
        outcome.rows = with_ratios(outcome.rows)
        return outcome

    @property
    def model_revision(self) -> str:
        """The revision of the run's model."""
        return self._encoder.model.revision

    def model_settings(self) -> dict[str, dict[str, Any]]:
        """Task name to what decides its embeddings (`encoder`) and what reads them (`head`).

        Empty where no mode of the run has a model.
        """
        return {
            name: ledger.model_settings()
            for name, ledger in self._ledgers.items()
            if ledger.uses_model
        }

    def _ledger(self, task: AbsTask) -> Ledger:
        encoder = self._encoder.for_task(task_instruction(task, self.config.task_instructions))
        members = task.tasks if isinstance(task, AbsTaskAggregate) else ()
        parts = [self._ledgers[part.metadata.name] for part in members]
        return Ledger(task, self.config, encoder, self._head, parts=parts)

    def _with_modes(self, tasks: Sequence[AbsTask]) -> list[AbsTask]:
        """The tasks that some mode of the run applies to; what does not apply is told."""
        modes = self.config.retrieval
        ranking = ", ".join(name for name, mode in modes.items() if not mode.gives_vectors)
        others = [task.metadata.name for task in tasks if not ranks(task)]
        chosen = [task for task in tasks if applicable(task, modes)]
        if not chosen:
            raise BadInputError(
                f"no task of this run has documents to rank, which is all that {ranking} can do; "
                "add dense or aligned_sparse to retrieval=[...]"
            )
        if ranking and others:
            say(f"{ranking}: only for tasks that rank documents, not for {listed(others)}")
        return chosen

    def _run_all(self, tasks: Sequence[AbsTask], outcome: RunOutcome) -> None:
        """Run task by task; one that fails does not stop the others."""
        refused: list[BadInputError] = []
        missing: list[tuple[str, str]] = []
        for task in tasks:
            name = task.metadata.name
            try:
                self._run_task(task, outcome)
            except UnreachableDataError as error:
                missing.append((name, error.dataset))
            except Exception as error:
                if isinstance(error, BadInputError):
                    refused.append(error)
                self._note_failure(task, error, outcome)
        if missing:
            without = {name for name, _ in missing}
            others = [t.metadata.name for t in tasks if t.metadata.name not in without]
            outcome.failed.append(unreachable_line(missing, others))
        if refused and len(refused) == len(tasks):
            raise refused[0]

    def _note_failure(self, task: AbsTask, error: Exception, outcome: RunOutcome) -> None:
        if self.config.debug:
            traceback.print_exc()
        outcome.failed.append(f"{task.metadata.name}: {explain(error)}")

    def _run_task(self, task: AbsTask, outcome: RunOutcome) -> None:
        """Evaluate a task's missing modes; rows of those that finish stay, whatever comes after."""
        ledger = self._ledgers[task.metadata.name]
        stored = {mode: ledger.stored(mode) for mode in ledger.experiments}
        kept = {mode: one for mode, one in stored.items() if one and ledger.is_finished(one)}
        missing = [mode for mode in stored if mode not in kept]
        outcome.kept += len(kept)
        finished = dict(kept)
        try:
            if missing:
                for mode in missing:
                    widen(task, stored[mode])
                self._evaluate_modes(ledger, missing, finished, outcome)
        finally:
            ordered = {mode: finished[mode] for mode in stored if mode in finished}
            self._finished[task.metadata.name] = ordered
            outcome.rows += ledger.rows(ordered, kept=kept)

    def _evaluate_modes(
        self,
        ledger: Ledger,
        modes: Sequence[str],
        finished: dict[str, StoredResult],
        outcome: RunOutcome,
    ) -> None:
        task = ledger.task
        self._data.load(task)
        kind = RankingEvaluator if ranks(task) else VectorEvaluator
        evaluator: Evaluator = kind(
            task,
            self.config.retrieval,
            encoder=ledger.encoder,
            head=self._head,
            meter=self._meter,
        )
        counted: set[int] = set()
        try:
            for mode in modes:
                say(f"{task.metadata.name}: {mode}")
                reset_peak_device_bytes()
                finished[mode] = ledger.write(mode, evaluator.evaluate(mode, ledger.meta(mode)))
                outcome.computed += 1
                for _, part in evaluator.texts.asked():
                    if part.encoding is not None and id(part) not in counted:
                        counted.add(id(part))
                        outcome.texts_encoded += part.encoding.encoded
                        outcome.texts_read += part.encoding.read
        finally:
            if not is_local(task):
                task.unload_data()

    def _combine(self, task: AbsTaskAggregate, named: set[str], outcome: RunOutcome) -> None:
        """The rows of a task that is the mean of its parts, where all of them are finished.

        Args:
            task: The aggregate.
            named: The tasks that the run was asked for; a part among them stands for itself.
            outcome: Gets the rows.
        """
        name = task.metadata.name
        ledger = self._ledgers[name]
        parts = [part.metadata.name for part in task.tasks]
        outcome.rows = [
            replace(row, part_of=name) if row.task in parts and row.task not in named else row
            for row in outcome.rows
        ]
        finished: dict[str, StoredResult] = {}
        kept: set[str] = set()
        unfinished = []
        for mode in ledger.experiments:
            results = [self._finished.get(part, {}).get(mode) for part in parts]
            whole = [result for result in results if result is not None]
            if len(whole) < len(parts):
                unfinished.append(f"{mode} {len(whole)}")
                continue
            stored, combined = ledger.stored(mode), combine(task, whole)
            if stored is not None and says_the_same(stored, combined):
                finished[mode] = stored
                kept.add(mode)
            else:
                finished[mode] = ledger.write(mode, combined)
        if unfinished:
            outcome.failed.append(
                f"{name}: finished of its {len(parts)} parts are {', '.join(unfinished)}"
            )
        outcome.rows += ledger.rows(finished, kept=kept)
