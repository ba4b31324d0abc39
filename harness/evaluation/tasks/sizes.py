"""How large a task is before anything is downloaded, and what encoding it would cost."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mteb.abstasks.aggregated_task import AbsTaskAggregate
from mteb.abstasks.classification import AbsTaskClassification
from mteb.abstasks.clustering import AbsTaskClustering
from mteb.abstasks.multilabel_classification import AbsTaskMultilabelClassification
from mteb.abstasks.regression import AbsTaskRegression
from mteb.abstasks.text.bitext_mining import AbsTaskBitextMining

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

    from harness.cost.flops import QuadraticFlops

_QUERIES = "queries_text_statistics"
_RETRIEVAL = ("documents_text_statistics", _QUERIES)
_PAIR = ("text1_statistics", "text2_statistics")
_SINGLE = ("text_statistics",)
# Which of mteb's statistics are of texts that are encoded; a summarised text, say, is not.
_ENCODED = {
    "Retrieval": _RETRIEVAL,
    "Reranking": _RETRIEVAL,
    "InstructionRetrieval": _RETRIEVAL,
    "InstructionReranking": _RETRIEVAL,
    "STS": _PAIR,
    "PairClassification": _PAIR,
    "BitextMining": ("sentence1_statistics", "sentence2_statistics"),
    "Summarization": ("human_summaries_statistics", "machine_summaries_statistics"),
    "Classification": _SINGLE,
    "MultilabelClassification": _SINGLE,
    "Regression": _SINGLE,
    "Clustering": _SINGLE,
}


@dataclass(frozen=True)
class TaskSize:
    """How many texts a task encodes, over its splits and subsets.

    Attributes:
        type: mteb's type of the task.
        splits: The splits that are evaluated.
        subsets: The subsets that are evaluated.
        documents: Texts that mteb hands to an encoder, queries apart: a collection's documents;
            both texts of every pair; test texts and, at most, the training texts drawn for them;
            the texts that a clustering task draws; human and machine summaries.
        queries: A collection's queries; 0 for types that have none.
        characters: Characters of documents and queries.
        lengths: (number of texts, mean characters of one) of each kind of text, split and subset;
            equal texts count once where the statistics tell, because they are encoded once.
    """

    type: str
    splits: tuple[str, ...]
    subsets: tuple[str, ...]
    documents: int
    queries: int
    characters: int
    lengths: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Estimate:
    """What encoding a task would take; None where it cannot be told.

    Attributes:
        tokens: Tokens of the texts, special tokens left aside.
        encode_flops: FLOPs of their forward passes.
        seconds: The time of these.
    """

    tokens: int
    encode_flops: float | None
    seconds: float | None


@dataclass(frozen=True)
class _Texts:
    """Texts of one kind, in one split and subset."""

    count: int
    distinct: int
    mean_characters: float
    queries: bool = False

    def at_most(self, count: int) -> _Texts:
        count = min(count, self.count)
        return _Texts(count, min(count, self.distinct), self.mean_characters, self.queries)


def task_size(task: AbsTask) -> TaskSize | None:
    """A task's size from the statistics that mteb ships, or from its data where it is loaded.

    Args:
        task: The task, with the splits and subsets that are to be evaluated.

    Returns:
        The size, of an aggregate the sum over its parts; None where mteb has no statistics of a
        split or subset.
    """
    if isinstance(task, AbsTaskAggregate):
        return _aggregate_size(task)
    try:
        texts = list(_task_texts(task))
    except KeyError:
        return None
    return TaskSize(
        type=task.metadata.type,
        splits=tuple(task.eval_splits),
        subsets=tuple(task.hf_subsets),
        documents=sum(part.count for part in texts if not part.queries),
        queries=sum(part.count for part in texts if part.queries),
        characters=sum(round(part.count * part.mean_characters) for part in texts),
        lengths=tuple((part.distinct, part.mean_characters) for part in texts),
    )


def estimate(
    size: TaskSize,
    *,
    forward: QuadraticFlops | None,
    max_length: int,
    characters_per_token: float,
    flops_per_second: float | None,
) -> Estimate:
    """What encoding texts of these lengths would take, each kind taken at its mean length.

    Args:
        size: The texts.
        forward: FLOPs of one text by its tokens.
        max_length: Tokens after which a text is cut.
        characters_per_token: How many characters a token stands for.
        flops_per_second: The rate at which texts are encoded.
    """
    lengths = [
        (count, min(mean / characters_per_token, max_length)) for count, mean in size.lengths
    ]
    flops = None
    if forward is not None:
        flops = sum(count * float(forward.at(tokens)) for count, tokens in lengths)
    seconds = None
    if flops is not None and flops_per_second is not None:
        seconds = flops / flops_per_second
    tokens = round(sum(count * tokens for count, tokens in lengths))
    return Estimate(tokens=tokens, encode_flops=flops, seconds=seconds)


def _aggregate_size(task: AbsTaskAggregate) -> TaskSize | None:
    parts = [size for size in map(task_size, task.tasks) if size is not None]
    if len(parts) < len(task.tasks):
        return None
    return TaskSize(
        type=task.metadata.type,
        splits=tuple(dict.fromkeys(split for part in parts for split in part.splits)),
        subsets=tuple(dict.fromkeys(subset for part in parts for subset in part.subsets)),
        documents=sum(part.documents for part in parts),
        queries=sum(part.queries for part in parts),
        characters=sum(part.characters for part in parts),
        lengths=tuple(length for part in parts for length in part.lengths),
    )


def _task_texts(task: AbsTask) -> Iterator[_Texts]:
    statistics = _Statistics(task)
    columns = _ENCODED[task.metadata.type]
    for split in task.eval_splits:
        places = [statistics.of(split, subset) for subset in task.hf_subsets]
        if isinstance(task, AbsTaskBitextMining) and task.parallel_subsets:
            yield from _parallel_texts(task, places)
            continue
        for place in places:
            for column in columns:
                texts = _texts(place[column], queries=column == _QUERIES)
                yield texts.at_most(_most_evaluated(task, texts.count))
    if isinstance(task, AbsTaskClassification) and task.train_split not in task.eval_splits:
        for subset in task.hf_subsets:
            place = statistics.of(task.train_split, subset)
            texts = _texts(place["text_statistics"])
            yield texts.at_most(_most_trained(task, place))


def _texts(statistics: Mapping[str, Any] | None, *, queries: bool = False) -> _Texts:
    if statistics is None:
        raise KeyError("no statistics of texts")
    mean, distinct = statistics["average_text_length"], statistics["unique_texts"]
    # Some of mteb's files have no count, and all have the total.
    count = round(statistics["total_text_length"] / mean) if mean else distinct
    return _Texts(count, min(distinct, count), mean, queries)


def _parallel_texts(task: AbsTask, places: Iterable[Mapping[str, Any]]) -> Iterator[_Texts]:
    """One column a language, which is encoded once for all of its pairs."""
    columns: dict[str, Mapping[str, Any]] = {}
    for subset, place in zip(task.hf_subsets, places, strict=True):
        for language, column in zip(subset.split("-"), _ENCODED["BitextMining"], strict=True):
            columns.setdefault(language, place[column])
    yield from map(_texts, columns.values())


def _most_evaluated(task: AbsTask, count: int) -> int:
    """How many of a split's texts are drawn."""
    if isinstance(task, AbsTaskClustering):
        if task.max_fraction_of_documents_to_embed is not None:
            return int(task.max_fraction_of_documents_to_embed * count)
        if task.max_document_to_embed is not None:
            return min(count, task.max_document_to_embed)
    if isinstance(task, AbsTaskMultilabelClassification) and task.max_eval_samples is not None:
        return min(count, task.max_eval_samples)
    return count


def _most_trained(task: AbsTaskClassification, place: Mapping[str, Any]) -> int:
    """A bound on the training texts that all experiments draw together."""
    if isinstance(task, AbsTaskRegression):
        return task.n_experiments * task.n_samples
    most = task.n_experiments * task.samples_per_label
    labels = place["label_statistics"]["labels"]
    return sum(min(label["count"], most) for label in labels.values())


class _Statistics:
    """mteb's descriptive statistics of a task: of its data if loaded, else those it ships."""

    def __init__(self, task: AbsTask) -> None:
        self._task = task
        self._shipped: Mapping[str, Any] = {}
        if not task.data_loaded:
            self._shipped = task.metadata.descriptive_stats or {}

    def of(self, split: str, subset: str) -> Mapping[str, Any]:
        """The statistics of one split and subset.

        Raises:
            KeyError: There are none.
        """
        if self._task.data_loaded:
            # Data without subsets lie under their split, or under "default".
            named = subset if subset in (self._task.dataset or {}) else None
            # Counting shows progress bars, which would stand between the lines of the command.
            with contextlib.redirect_stderr(io.StringIO()):
                loaded: Any = self._task._calculate_descriptive_statistics_from_split(
                    split, hf_subset=named
                )
            return dict(loaded)
        place: Mapping[str, Any] = self._shipped[split]
        subsets = place.get("hf_subset_descriptive_stats")
        if subsets is None and len(self._task.metadata.hf_subsets) > 1:
            raise KeyError(subset)
        return place if subsets is None else dict(subsets[subset])
