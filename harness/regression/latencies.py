"""Latencies of a run's modes, measured now: results that were kept tell of another commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.config import RunConfig, build
from harness.cost.hardware import synchroniser
from harness.cost.latency import probe
from harness.embedding.shared_store import local_store
from harness.evaluation.aggregates import parts_of
from harness.evaluation.costing import CostMeter
from harness.evaluation.downloads import DataLoader
from harness.evaluation.encoder import build_encoder, with_published_settings
from harness.evaluation.evaluators import RankingEvaluator, ranks
from harness.evaluation.heads import build_head
from harness.evaluation.ledger import Ledger
from harness.evaluation.tasks.instruction import task_instruction
from harness.evaluation.tasks.local import is_local
from harness.evaluation.tasks.resolve import resolve_tasks
from harness.evaluation.timing import Asking
from harness.progress import say
from harness.regression.snapshot import Snapshot, System
from harness.regression.times import TimedMode

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

    from harness.alignment.head import Head
    from harness.config import CostConfig
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.ragged import Ragged
    from harness.embedding.texts import Texts
    from harness.retrieval.retriever import Retriever

_NANO = 1e-9


def measure_latencies(config: RunConfig, snapshots: Mapping[System, Snapshot]) -> list[TimedMode]:
    """Time every mode of every task that ranks, one query at a time, as `cost.latency_*` say.

    Corpora are indexed once more, from the embeddings in the store.

    Args:
        config: The run.
        snapshots: What it had; what is not among them is not timed.
    """
    model = build(config.model)
    config = with_published_settings(config, model)
    encoder = build_encoder(config, model)
    head = build_head(config, encoder)
    tasks = resolve_tasks(config.tasks, cache_dir=local_store(config.store_dir) / "tasks")
    data = DataLoader()
    timed: list[TimedMode] = []
    for task in parts_of(tasks):
        if ranks(task):
            data.load(task)
            timed += _task_latencies(task, config, encoder, head, snapshots)
            if not is_local(task):
                task.unload_data()
    return timed


def _task_latencies(
    task: AbsTask,
    config: RunConfig,
    encoder: TextEncoder,
    head: Head,
    snapshots: Mapping[System, Snapshot],
) -> list[TimedMode]:
    own = encoder.for_task(task_instruction(task, config.task_instructions))
    ledger = Ledger(task, config, own, head)
    clock = _QueryClock(config.cost, own, head)
    evaluator = RankingEvaluator(task, config.retrieval, encoder=own, head=head, meter=clock)
    name = task.metadata.name
    timed = []
    for mode, experiment in ledger.experiments.items():
        snapshot = snapshots.get(System(name, experiment.model, mode))
        if snapshot is None:
            continue
        say(f"{name}: {mode}, latency")
        figures = evaluator.evaluate(mode, ledger.meta(mode)).cost
        timed += [TimedMode(snapshot, place, one["seconds"]) for place, one in figures.items()]
    return timed


class _QueryClock(CostMeter):
    """Measures nothing but how long each query takes."""

    def __init__(self, config: CostConfig, encoder: TextEncoder, head: Head) -> None:
        super().__init__(config, encoder, head)
        self._latency = config
        self._wait = synchroniser(encoder.backend.device)

    def measure(
        self,
        retriever: Retriever,
        corpus: Texts,
        queries: Texts,
        *,
        top_k: int,
        candidates: Ragged | None = None,
    ) -> dict[str, Any]:
        """Durations in seconds, `seconds`; see `CostMeter`."""
        asking = Asking(retriever, queries, top_k, candidates)
        record = probe(
            {
                "tokenise": lambda query: asking.tokenise([query]),
                "encode": asking.encode,
                "search": asking.search,
            },
            asking.some(min(self._latency.latency_queries, len(queries))),
            warmup=self._latency.latency_warmup,
            repetitions=self._latency.latency_repetitions,
            synchronise=self._wait,
        )
        return {"seconds": tuple((record.nanoseconds.sum(axis=1) * _NANO).tolist())}
