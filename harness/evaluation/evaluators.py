"""One mode on one task: mteb evaluates, what it asked of the mode is measured and kept."""

from __future__ import annotations

import gc
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import mteb
from mteb._set_seed import _set_seed
from mteb.abstasks.retrieval import AbsTaskRetrieval

from harness.config import DenseConfig, RetrievalConfig, build
from harness.evaluation.bridge import ModeSearch
from harness.evaluation.explanations import explanations_table
from harness.evaluation.metrics import Qrels, QueryMetrics, per_query_metrics
from harness.evaluation.quiet import without_noise
from harness.evaluation.task_texts import Place, TaskTexts
from harness.evaluation.vector_bridge import ModeEncoder, wants_dense
from harness.retrieval.once import OnceRetriever
from harness.retrieval.ranking import Ranking, to_run
from harness.retrieval.retriever import Dependencies

if TYPE_CHECKING:
    import pyarrow as pa
    from mteb.abstasks import AbsTask
    from mteb.models.model_meta import ModelMeta
    from mteb.results import TaskResult

    from harness.alignment.head import Head
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.texts import Texts
    from harness.evaluation.costing import CostMeter

_BATCH = 1024  # texts that mteb hands over at a time; the encoder makes its own batches


@dataclass(frozen=True)
class Ranked:
    """What a mode ranked at one place, and how each query fared.

    Attributes:
        corpus: The documents.
        queries: The queries.
        ranking: Rows of the corpus for each query.
        qrels: Query id to document id to grade.
        metrics: Every metric of every query.
        explanations: See `explanations_table`; None where the mode explains nothing.
    """

    corpus: Texts
    queries: Texts
    ranking: Ranking
    qrels: Qrels
    metrics: QueryMetrics
    explanations: pa.Table | None = None


@dataclass(frozen=True)
class Evaluated:
    """One mode on one task.

    Attributes:
        result: mteb's scores.
        cost: `CostRecord` figures by `split/subset`.
        ranked: What was ranked, by place; empty where the task ranks nothing.
    """

    result: TaskResult
    cost: dict[str, dict[str, Any]]
    ranked: dict[Place, Ranked] = field(default_factory=dict)


def ranks(task: AbsTask) -> bool:
    """Whether a task ranks documents for queries, so that every retrieval mode applies."""
    return isinstance(task, AbsTaskRetrieval)


def applicable(task: AbsTask, modes: Mapping[str, RetrievalConfig]) -> dict[str, RetrievalConfig]:
    """The modes that can be scored on a task: all of them, or those that give a text a vector."""
    return {name: mode for name, mode in modes.items() if ranks(task) or mode.gives_vectors}


class Evaluator(ABC):
    """Evaluates modes of one task, which share its texts.

    Attributes:
        texts: What mteb asked for so far.
    """

    def __init__(
        self,
        task: Any,
        modes: Mapping[str, RetrievalConfig],
        *,
        encoder: TextEncoder,
        head: Head,
        meter: CostMeter,
    ) -> None:
        """Take what all modes of a task share.

        Args:
            task: An mteb task, its data loaded.
            modes: The run's modes by name; a fusion finds its parts among them.
            encoder: The task's encoder.
            head: The run's head.
            meter: Measures costs.
        """
        _set_modules_aside()
        self.texts = TaskTexts(encoder)
        self._task = task
        self._modes = modes
        self._encoder = encoder
        self._head = head
        self._meter = meter
        # All of them now, so that a setting that no mode can have is refused before any work.
        self._retrievers: dict[str, OnceRetriever] = {}
        for name, config in modes.items():
            built = self._build(name, config, self._retrievers)
            self._retrievers[name] = OnceRetriever(built)

    @abstractmethod
    def evaluate(self, mode: str, meta: ModelMeta) -> Evaluated:
        """Evaluate one mode."""

    def _build(self, mode: str, config: RetrievalConfig, retrievers: Mapping[str, Any]) -> Any:
        dependencies = Dependencies(
            name=mode, encoder=self._encoder, head=self._head, retrievers=retrievers
        )
        return build(config, dependencies=dependencies)


class RankingEvaluator(Evaluator):
    """Tasks that rank: retrieval, reranking, and both with instructions."""

    def evaluate(self, mode: str, meta: ModelMeta) -> Evaluated:
        """See `Evaluator`."""
        search = ModeSearch(self._retrievers[mode], self.texts, meta)
        result = _evaluate(search, self._task)
        cost, ranked = {}, {}
        for place, corpus in search.corpora.items():
            queries = search.queries[place]
            search.retriever.index(corpus)  # with several places it has gone on to the next
            cost["/".join(place)] = self._meter.measure(
                search.retriever,
                corpus,
                queries,
                top_k=self._task._top_k,
                candidates=search.candidates.get(place),
            )
            # After the measurements, which it is no part of.
            ranked[place] = _explained(
                place,
                self._ranked(place, corpus, queries, search.rankings[place]),
                self._retrievers[mode],
            )
        return Evaluated(result, cost, ranked)

    def _ranked(self, place: Place, corpus: Texts, queries: Texts, ranking: Ranking) -> Ranked:
        split, subset = place
        qrels = self._task.dataset[subset][split]["relevant_docs"]
        metrics = per_query_metrics(
            to_run(ranking, queries.ids, corpus.ids),
            qrels,
            ignore_identical_ids=self._task.ignore_identical_ids,
            skip_first_result=self._task.skip_first_result,
        )
        return Ranked(corpus, queries, ranking, qrels, metrics)


def _explained(place: Place, ranked: Ranked, retriever: OnceRetriever) -> Ranked:
    """What was ranked, with explanations if the mode, which is indexed, can give some."""
    if retriever.explains is None:
        return ranked
    return replace(ranked, explanations=explanations_table(*place, ranked, retriever.explains))


class VectorEvaluator(Evaluator):
    """Tasks that compare, classify or group texts: everything that ranks nothing."""

    _texts_known = False

    def evaluate(self, mode: str, meta: ModelMeta) -> Evaluated:
        """See `Evaluator`."""
        config = self._modes[mode]
        encoder = self._mode_encoder(mode, config, meta)
        learns = self._head.needs_corpus or wants_dense(self._task)
        if encoder.vectoriser.reads_head and learns and not self._texts_known:
            # Which texts a task draws is told only by evaluating it.
            _evaluate(self._mode_encoder("dense", DenseConfig(), meta), self._task)
        result = _evaluate(encoder, self._task)
        self._texts_known = True
        return Evaluated(result, self._cost(encoder, result))

    def _mode_encoder(self, name: str, config: RetrievalConfig, meta: ModelMeta) -> ModeEncoder:
        return ModeEncoder(self._build(name, config, {}), self._task, self.texts, meta)

    def _cost(self, encoder: ModeEncoder, result: TaskResult) -> dict[str, dict[str, Any]]:
        """Costs by place; texts of a split that is not evaluated belong to all that are."""
        evaluated = set(result.scores)
        known = {subset for (_, subset), _ in self.texts.asked()}
        cost = {}
        for split, scores in result.scores.items():
            for subset in (score["hf_subset"] for score in scores):
                # Parallel data are encoded by language and scored by pair of languages.
                subsets = {subset} if subset in known else set(subset.split("-"))
                mine = [
                    part
                    for place, part in self.texts.asked()
                    if place[1] in subsets and (place[0] == split or place[0] not in evaluated)
                ]
                encoder.prepare(subset)  # with several subsets it has gone on to the next
                cost[f"{split}/{subset}"] = self._meter.measure_vectors(
                    encoder.vectoriser,
                    mine,
                    vector_bytes=sum(encoder.bytes_of.get(id(part), 0) for part in mine),
                )
        return cost


@cache
def _set_modules_aside() -> None:
    """Spare garbage collection the modules, most of what it goes over before each measurement.

    Before a task makes anything: that has cycles, and is to be collected after the task.
    """
    import sentence_transformers  # noqa: F401  # as mteb does in the first evaluation

    gc.freeze()


def _evaluate(model: ModeSearch | ModeEncoder, task: AbsTask) -> TaskResult:
    """Evaluate a task as if it were fresh, so that modes and reruns draw the same samples."""
    task.rng_state, task.np_rng = _set_seed(task.seed)
    with without_noise():
        evaluated = mteb.evaluate(
            model,
            task,
            cache=None,
            co2_tracker=False,
            show_progress_bar=False,
            encode_kwargs={"batch_size": _BATCH},
        )
    return evaluated.task_results[0]
