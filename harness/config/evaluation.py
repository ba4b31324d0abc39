"""What is evaluated and measured: tasks, cost."""

from __future__ import annotations

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
    types: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    eval_splits: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)
    max_documents: int | None = None
    max_characters: int | None = None

    def __post_init__(self) -> None:
        """Validate."""
        one_of("empty_text", self.empty_text, ("refuse", "keep"))
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
        latency_warmup: Queries before them that do not count.
        matmul_peak: Whether the device's matrix-multiply rate is measured, for MFU.
    """

    latency_queries: int = 100
    latency_warmup: int = 10
    matmul_peak: bool = True

    def __post_init__(self) -> None:
        """Validate."""
        at_least("latency_queries", self.latency_queries, 0)
        at_least("latency_warmup", self.latency_warmup, 0)
