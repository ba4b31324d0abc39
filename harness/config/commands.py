"""The commands, each whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.components import at_least, one_of, parse, parse_component, require
from harness.config.evaluation import CostConfig, TasksConfig

_METRICS = ("ndcg", "map", "mrr", "recall", "precision", "hit_rate")  # mteb's, of retrieval
_DEPTHS = ("1", "3", "5", "10", "20", "100", "1000")


@dataclass(kw_only=True)
class ReportConfig:
    """`harness report`: where results are and leaderboards go.

    Attributes:
        results_dir: The results folder.
        leaderboards_dir: Where the leaderboard is written.
        title: The page's title.
        debug: Whether errors show their traceback.
    """

    results_dir: str = "results"
    leaderboards_dir: str = "leaderboards"
    title: str = "Text embeddings, every retrieval mode"
    debug: bool = False

    def __post_init__(self) -> None:
        """Validate."""
        for folder in ("results_dir", "leaderboards_dir"):
            require(bool(getattr(self, folder).strip()), f"{folder} is empty; give a folder")


@dataclass(kw_only=True)
class EncoderRunConfig:
    """What commands that encode texts share. Groups hold the dataclass that their `kind` names.

    Attributes:
        task_instructions: Task name to its instruction, or to a mapping of `query` and `document`;
            `default` stands for tasks that are not listed and that mteb has no prompt for.
    """

    model: Any
    pooling: Any
    instruction: Any
    head: Any
    backend: Any
    tasks: Any
    task_instructions: dict[str, Any] = field(default_factory=dict)
    store_dir: str = ".harness/store"
    debug: bool = False

    def __post_init__(self) -> None:
        """Parse each group's component and validate what concerns several of them."""
        for group in ("model", "pooling", "instruction", "head", "backend"):
            setattr(self, group, parse_component(group, getattr(self, group), where=group))
        self.tasks = parse(TasksConfig, self.tasks, where="tasks")
        for task, texts in self.task_instructions.items():
            sides = texts if isinstance(texts, Mapping) else {"query": texts}
            require(
                set(sides) <= {"query", "document"}
                and all(isinstance(text, str) for text in sides.values()),
                f"task_instructions.{task}={texts!r} must be a text, or have texts for query and "
                "document",
            )
        require(bool(self.store_dir.strip()), "store_dir is empty; give a folder")


@dataclass(kw_only=True)
class InspectConfig(EncoderRunConfig):
    """`harness inspect`: what a model reads of one text, and the tokens it aligns to.

    Attributes:
        text: The text.
        side: Which template: `query`, `document` or `symmetric`.
        instructions: Instructions that are set side by side in the template's `{instruction}`.
        templates: Options of the instruction group that are set side by side.
        top_k: Aligned tokens shown.
        format: `table`, or `json` for one JSON object an instruction.
    """

    text: str
    side: str = "query"
    instructions: list[str] = field(default_factory=list)
    templates: list[str] = field(default_factory=list)
    top_k: int = 10
    format: str = "table"

    def __post_init__(self) -> None:
        """See `EncoderRunConfig`."""
        super().__post_init__()
        one_of("side", self.side, ("query", "document", "symmetric"))
        one_of("format", self.format, ("table", "json"))
        at_least("top_k", self.top_k, 1)


@dataclass(kw_only=True)
class RunConfig(EncoderRunConfig):
    """`harness run`, whole."""

    retrieval: Any = field(default_factory=dict)
    cost: Any
    metrics: list[str] = field(default_factory=list)
    results_dir: str = "results"
    leaderboards_dir: str = "leaderboards"
    baselines_dir: str = "results/baselines"
    format: str = "table"

    def __post_init__(self) -> None:
        """See `EncoderRunConfig`."""
        super().__post_init__()
        self.cost = parse(CostConfig, self.cost, where="cost")
        require(
            isinstance(self.retrieval, Mapping) and len(self.retrieval) > 0,
            "retrieval: choose modes, for instance retrieval=[dense,bm25]",
        )
        for name, mode in self.retrieval.items():
            require(
                not isinstance(mode, Mapping) or "kind" in mode,
                f"retrieval.{name} has settings but is no mode of this run: an experiment or an "
                f"override sets them; add {name} to retrieval=[...], or set ~retrieval.{name}",
            )
        self.retrieval = {
            str(name): parse_component("retrieval", mode, where=f"retrieval.{name}")
            for name, mode in self.retrieval.items()
        }
        for name, mode in self.retrieval.items():
            for part in getattr(mode, "modes", ()):
                require(
                    part in self.retrieval and part != name,
                    f"retrieval.{name}.modes names {part!r}, which this run does not have; add it "
                    f"to retrieval=[...] or set retrieval.{name}.modes",
                )
                require(
                    not hasattr(self.retrieval[part], "modes"),
                    f"retrieval.{name}.modes names {part!r}, itself a fusion; name its parts",
                )
        for folder in ("results_dir", "leaderboards_dir", "baselines_dir"):
            require(bool(getattr(self, folder).strip()), f"{folder} is empty; give a folder")
        one_of("format", self.format, ("table", "json"))
        for metric in self.metrics:
            name, _, depth = metric.partition("_at_")
            require(
                name in _METRICS and depth in _DEPTHS,
                f"metrics: {metric!r} is unknown; write NAME_at_K with NAME of "
                f"{', '.join(_METRICS)} and K of {', '.join(_DEPTHS)}",
            )
