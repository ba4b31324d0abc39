"""The commands, each whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.components import at_least, one_of, parse, parse_component, require
from harness.config.evaluation import CostConfig, TasksConfig
from harness.config.retrieval import RetrievalConfig
from harness.config.sweep import SweepConfig

_METRICS = ("ndcg", "map", "mrr", "recall", "precision", "hit_rate")  # mteb's, of rankings
_OTHER_METRICS = (  # mteb's, of the other types
    *("accuracy", "f1", "f1_weighted", "precision", "recall", "ap", "hamming", "lrap"),
    *("v_measure", "ami", "nmi", "mse", "mae", "r2", "kendalltau", "rmse", "p-MRR"),
    *("pearson", "spearman", "max_accuracy", "max_f1", "max_ap"),
    *(f"{name}_{r}" for name in ("cosine", "dot") for r in ("pearson", "spearman")),
    *(f"{name}_{r}" for name in ("manhattan", "euclidean") for r in ("pearson", "spearman")),
    *(f"{name}_{m}" for name in ("similarity", "cosine", "dot") for m in ("accuracy", "f1", "ap")),
)
_LARGEST_THRESHOLD = 5.0
_MOST_RESAMPLES = 100_000
_DEPTHS = ("1", "3", "5", "10", "20", "100", "1000")


def check_published(published: str | None, names: Mapping[str, Any] | None) -> None:
    """Refuse settings of published scores that cannot be meant."""
    require(
        published is None or bool(published.strip()),
        "published is empty; give a folder of official mteb results, or null for none",
    )
    require(
        published is not None or not names,
        "published_names needs published=DIR, a folder of official mteb results",
    )
    for task, official in (names or {}).items():
        require(
            isinstance(official, str) and all(map(str.strip, official.split("/", 1))),
            f"published_names.{task}={official!r} names no task; write Task or Task/subset",
        )


@dataclass(kw_only=True)
class ReportConfig:
    """`harness report`: where results are and leaderboards go.

    Attributes:
        results_dir: The results folder.
        leaderboards_dir: Where the leaderboard is written.
        title: The page's title.
        published: A folder of official mteb results to set beside ours; None for none.
        published_names: Our task's name, such as that of a folder, to the official `Task` or
            `Task/subset`, where the names alone do not tell; None for none.
        published_models: Models whose official results are lines of their own; `all` for all.
        threshold: Share of dense that a mode is to reach.
        queries: How many queries the total of FLOPs has beside the corpus pass.
        resamples: Of the bootstraps and randomisation tests.
        seed: Of both.
        figures: Whether PNG and SVG figures are drawn.
        pages: Whether each system has a page of its own, with its queries.
        debug: Whether errors show their traceback.
    """

    results_dir: str = "results"
    leaderboards_dir: str = "leaderboards"
    title: str = "Text embeddings, every retrieval mode"
    published: str | None = None
    published_names: dict[str, Any] | None = None
    published_models: Any = field(default_factory=list)
    threshold: float = 0.8
    queries: int = 1_000_000
    resamples: int = 10_000
    seed: int = 0
    figures: bool = True
    pages: bool = True
    debug: bool = False

    def __post_init__(self) -> None:
        """Validate."""
        for folder in ("results_dir", "leaderboards_dir"):
            require(bool(getattr(self, folder).strip()), f"{folder} is empty; give a folder")
        check_published(self.published, self.published_names)
        named = self.published_models
        self.published_models = [named] if isinstance(named, str) else list(named or [])
        require(
            all(isinstance(name, str) and name.strip() for name in self.published_models),
            f"published_models={named} must be names such as BAAI/bge-base-en-v1.5, or all",
        )
        require(
            self.published is not None or not self.published_models,
            "published_models needs published=DIR, a folder of official mteb results",
        )
        at_least("threshold", self.threshold, 0)
        require(
            self.threshold <= _LARGEST_THRESHOLD,
            f"threshold={self.threshold:g} is a share of dense, such as 0.8 for 80 %",
        )
        at_least("queries", self.queries, 0)
        at_least("resamples", self.resamples, 100)
        require(
            self.resamples <= _MOST_RESAMPLES,
            f"resamples={self.resamples} is more than {_MOST_RESAMPLES:,}",
        )
        at_least("seed", self.seed, 0)


def parsed_modes(retrieval: Mapping[str, Any]) -> dict[str, RetrievalConfig]:
    """A run's modes by name, validated one by one and together.

    Raises:
        BadInputError: If a mode's settings are bad.
        ValueError: If settings belong to no mode, or a fusion names what it cannot fuse.
    """
    for name, mode in retrieval.items():
        require(
            not isinstance(mode, Mapping) or "kind" in mode,
            f"retrieval.{name} has settings but is no mode of this run: an experiment or an "
            f"override sets them; add {name} to retrieval=[...], or set ~retrieval.{name}",
        )
    modes: dict[str, RetrievalConfig] = {
        str(name): parse_component("retrieval", mode, where=f"retrieval.{name}")
        for name, mode in retrieval.items()
    }
    for name, fusion in modes.items():
        for part in getattr(fusion, "modes", ()):
            require(
                part in modes and part != name,
                f"retrieval.{name}.modes names {part!r}, which this run does not have; add it "
                f"to retrieval=[...] or set retrieval.{name}.modes",
            )
            require(
                not hasattr(modes[part], "modes"),
                f"retrieval.{name}.modes names {part!r}, itself a fusion; name its parts",
            )
    return modes


@dataclass(kw_only=True)
class EncoderRunConfig:
    """What commands that encode texts share. Groups hold the dataclass that their `kind` names.

    Attributes:
        task_instructions: Task name to its instruction, or to a mapping of `query` and `document`;
            `default` stands for tasks that are not listed and that mteb has no prompt for.
        store_dir: A folder, or an address of fsspec's such as `s3://bucket/folder`, whose mirror
            is below `.harness/mirror`.
        store_dtype: How the store keeps embeddings: `float32`, exact; `float16` or `bfloat16`,
            half of it, or `int8`, a quarter, with one scale an embedding. All modes read what the
            store keeps, so that it is part of a result's identity.
    """

    model: Any
    pooling: Any
    instruction: Any
    transform: Any
    head: Any
    backend: Any
    tasks: Any
    task_instructions: dict[str, Any] = field(default_factory=dict)
    store_dir: str = ".harness/store"
    store_dtype: str = "float32"
    debug: bool = False

    def __post_init__(self) -> None:
        """Parse each group's component and validate what concerns several of them."""
        for group in ("model", "pooling", "instruction", "transform", "head", "backend"):
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
        one_of("store_dtype", self.store_dtype, ("float32", "float16", "bfloat16", "int8"))


@dataclass(kw_only=True)
class InspectConfig(EncoderRunConfig):
    """`harness inspect`: what a model reads of one text, and the tokens it aligns to.

    Attributes:
        text: The text.
        other: A second text, which is compared with the first; None for none.
        side: Which template: `query`, `document` or `symmetric`.
        instructions: Instructions that are set side by side in the template's `{instruction}`.
        templates: Options of the instruction group that are set side by side.
        models: Options of the model group, or references as `model.path`, that are set side by
            side; the configured model alone when empty.
        top_k: Aligned tokens shown.
        figure: A file, its suffix left out: what is compared is drawn there; None for none.
        format: `table`, or `json` for one JSON object a variant.
    """

    text: str
    other: str | None = None
    side: str = "query"
    instructions: list[str] = field(default_factory=list)
    templates: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    top_k: int = 10
    figure: str | None = None
    format: str = "table"

    def __post_init__(self) -> None:
        """See `EncoderRunConfig`."""
        super().__post_init__()
        one_of("side", self.side, ("query", "document", "symmetric"))
        one_of("format", self.format, ("table", "json"))
        at_least("top_k", self.top_k, 1)
        several = max(map(len, (self.instructions, self.templates, self.models))) > 1
        require(
            self.figure is None or several or self.other is not None,
            f"figure={self.figure} has nothing to compare: give other=..., or several "
            "instructions, templates or models",
        )
        for setting in ("instructions", "templates", "models"):
            names = getattr(self, setting)
            twice = next((name for name in names if names.count(name) > 1), None)
            require(twice is None, f"{setting} names {twice!r} twice; name it once")


@dataclass(kw_only=True)
class RunConfig(EncoderRunConfig):
    """`harness run`, whole.

    Attributes:
        retrieval: Modes by name.
        cost: How cost is measured.
        metrics: More metrics in the table than the main one.
        results_dir: The results folder.
        leaderboards_dir: Where leaderboards are written.
        baselines_dir: Where baselines are kept.
        published: See `ReportConfig`.
        published_names: See `ReportConfig`.
        check_published: Whether a difference from a published score beyond the tolerance fails.
        published_tolerance: The largest absolute difference, in units of the metric.
        info: Only list the tasks, with their sizes and what encoding them would take.
        sweep: What it does as a job of a sweep.
        format: `table`, or `json` for one JSON object a row.
    """

    retrieval: Any = field(default_factory=dict)
    cost: Any
    metrics: list[str] = field(default_factory=list)
    results_dir: str = "results"
    leaderboards_dir: str = "leaderboards"
    baselines_dir: str = "results/baselines"
    published: str | None = None
    published_names: dict[str, Any] | None = None
    check_published: bool = False
    published_tolerance: float = 0.002
    info: bool = False
    sweep: Any = field(default_factory=dict)
    format: str = "table"

    def __post_init__(self) -> None:
        """See `EncoderRunConfig`."""
        super().__post_init__()
        self.sweep = parse(SweepConfig, self.sweep, where="sweep")
        self.cost = parse(CostConfig, self.cost, where="cost")
        require(
            isinstance(self.retrieval, Mapping) and len(self.retrieval) > 0,
            "retrieval: choose modes, for instance retrieval=[dense,bm25]",
        )
        self.retrieval = parsed_modes(self.retrieval)
        require(
            self.sweep.mode is None or self.sweep.mode in self.retrieval,
            f"sweep.mode={self.sweep.mode} is no mode of this run; name one of: "
            f"{', '.join(self.retrieval)}",
        )
        for folder in ("results_dir", "leaderboards_dir", "baselines_dir"):
            require(bool(getattr(self, folder).strip()), f"{folder} is empty; give a folder")
        one_of("format", self.format, ("table", "json"))
        check_published(self.published, self.published_names)
        at_least("published_tolerance", self.published_tolerance, 0)
        require(
            not self.check_published or self.published is not None,
            "check_published=true needs published=DIR, a folder of official mteb results",
        )
        for metric in self.metrics:
            name, _, depth = metric.partition("_at_")
            require(
                (name in _METRICS and depth in _DEPTHS) or metric in _OTHER_METRICS,
                f"metrics: {metric!r} is unknown; write NAME_at_K with NAME of "
                f"{', '.join(_METRICS)} and K of {', '.join(_DEPTHS)}, or one of "
                f"{', '.join(_OTHER_METRICS)}",
            )
