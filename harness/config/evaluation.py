"""What is evaluated and measured: tasks, cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from omegaconf import ListConfig

from harness.components import at_least, one_of, require

# mteb's types whose tasks need nothing but texts and their embeddings.
TASK_TYPES = (
    "Retrieval",
    "Reranking",
    "InstructionRetrieval",
    "InstructionReranking",
    "STS",
    "PairClassification",
    "Classification",
    "MultilabelClassification",
    "Regression",
    "Clustering",
    "BitextMining",
    "Summarization",
)


@dataclass(kw_only=True)
class TasksConfig:
    """Which tasks are evaluated; the embedded one when nothing is named.

    `names`, `benchmark`, `all` and `path` add up; the settings after `empty_text` leave out.

    Attributes:
        names: mteb task names, or `PyDocRetrieval`, the embedded task; `STS17/en-en` or
            `STS17/en-en,es-es` for some of a task's subsets.
        benchmark: An mteb benchmark's name, such as `BEIR`.
        all: Every text task that `mteb.get_tasks()` lists: public and superseded by no other.
        path: Folders of one's own, see `local_task`: one, or a list.
        split: The split of these folders.
        empty_text: `refuse` stops at an empty text in a folder, `keep` goes on.
        stream_mib: A folder's corpus of so many MiB or more is read as a stream and stays on disk,
            with its embeddings and indexes; 0 for all of them, null for none. No score depends on
            it.
        types: Only tasks of these types, as mteb names them; upper and lower case are alike.
        languages: Only these languages, ISO 639-3 with or without a script (`eng`, `eng-Latn`):
            a multilingual task keeps the subsets that are wholly in them, any other task stays if
            it has one of them.
        eval_splits: Only these splits of a task; a task that has none of them is left out.
        exclude: Names of tasks that are left out.
        max_documents: Only tasks with at most so many texts beside their queries, by the sizes
            that mteb ships; a task of unknown size stays.
        max_characters: The same for the characters of all texts.
    """

    names: list[str] = field(default_factory=list)
    benchmark: str | None = None
    all: bool = False
    path: Any = None
    split: str = "test"
    empty_text: str = "refuse"
    stream_mib: int | None = 1024
    types: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    eval_splits: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)
    max_documents: int | None = None
    max_characters: int | None = None

    def __post_init__(self) -> None:
        """Validate."""
        one_of("empty_text", self.empty_text, ("refuse", "keep"))
        at_least("stream_mib", self.stream_mib, 0)
        require(self.path != [], "path is empty; give a folder, or leave it out")
        if self.path is None:
            self.path = []
        elif isinstance(self.path, list | ListConfig):
            self.path = [str(folder) for folder in self.path]
        else:
            self.path = [str(self.path)]
        types = {name.casefold(): name for name in TASK_TYPES}
        for name in self.types:
            one_of("types", types.get(name.casefold(), name), TASK_TYPES)
        self.types = [types[name.casefold()] for name in self.types]
        at_least("max_documents", self.max_documents, 1)
        at_least("max_characters", self.max_characters, 1)


@dataclass(kw_only=True)
class CostConfig:
    """How cost is measured.

    Attributes:
        latency_queries: Queries timed one at a time, per task and mode; 0 for none.
        latency_repetitions: How often each of them is timed.
        latency_warmup: Queries before them that do not count.
        cold_caches: Whether they are timed once more with the processor's caches emptied before
            each.
        batch_sizes: Queries are timed in batches of these sizes too.
        clients: Numbers of clients that ask at once, each its next query when the last is answered.
        load_seconds: Longest time that each number of clients is watched for.
        matmul_peak: Whether the device's matrix-multiply rate is measured, for MFU.
        table: Whether every figure is printed; results hold them all anyway.
    """

    latency_queries: int = 100
    latency_repetitions: int = 1
    latency_warmup: int = 10
    cold_caches: bool = False
    batch_sizes: list[int] = field(default_factory=list)
    clients: list[int] = field(default_factory=list)
    load_seconds: float = 10.0
    matmul_peak: bool = True
    table: bool = False

    def __post_init__(self) -> None:
        """Validate."""
        at_least("latency_queries", self.latency_queries, 0)
        at_least("latency_repetitions", self.latency_repetitions, 1)
        at_least("latency_warmup", self.latency_warmup, 0)
        require(
            math.isfinite(self.load_seconds) and self.load_seconds > 0,
            f"load_seconds={self.load_seconds} must be above 0",
        )
        for name in ("batch_sizes", "clients"):
            for number in getattr(self, name):
                at_least(name, number, 1)
            require(
                len(set(getattr(self, name))) == len(getattr(self, name)),
                f"{name}={getattr(self, name)} names a number twice",
            )
            require(
                not getattr(self, name) or self.latency_queries > 0,
                f"{name}={getattr(self, name)} times queries, and latency_queries=0 leaves none",
            )
        require(
            not self.cold_caches or self.latency_queries > 0,
            "cold_caches=true times queries, and latency_queries=0 leaves none",
        )
