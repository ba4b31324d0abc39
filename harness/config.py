"""Every setting as a typed, validated dataclass: one per component, one per command.

A component is a pair: the dataclass here, registered under its group and kind, and the class that
it names as `implementation`. A bad value raises `BadInputError` before anything is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omegaconf import ListConfig

from harness.components import (
    ComponentConfig,
    at_least,
    build,
    component,
    identity,
    one_of,
    parse,
    parse_component,
    require,
    unscored,
)

# Who parses a configuration needs the dataclasses below registered, so the functions are had here.
__all__ = ["ComponentConfig", "build", "identity", "parse", "parse_component"]

_STOPWORD_LISTS = ("en", "de", "nl", "fr", "es", "pt", "it", "ru", "sv", "no", "zh")  # bm25s'
_METRICS = ("ndcg", "map", "mrr", "recall", "precision", "hit_rate")  # mteb's, of retrieval
_DEPTHS = ("1", "3", "5", "10", "20", "100", "1000")


@component("model", "huggingface", "harness.embedding.model:EmbeddingModel")
@dataclass(kw_only=True)
class ModelConfig(ComponentConfig):
    """A Hugging Face model, from a folder, an installed package or the hub.

    Attributes:
        name: `organisation/model`, as in results and tables; from `path` when absent.
        path: A local folder, or `pkg://package/folder` inside an installed package; without it
            `name` is looked up on the hub.
        revision: The hub revision; a folder is identified by its content instead.
        max_length: Longest input in tokens, template and special tokens included; the model's own
            limit when absent.
        normalize: Whether the model's embedding is L2-normalised (matters to `similarity=dot`).
        trust_remote_code: Whether code shipped with the model may run.
    """

    kind: str = "huggingface"
    name: str | None = None
    path: str | None = None
    revision: str | None = None
    max_length: int | None = None
    normalize: bool = False
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        """Validate."""
        require(
            bool(self.name or self.path), "name: give model.name=org/model or model.path=FOLDER"
        )
        at_least("max_length", self.max_length, 8)


@dataclass(kw_only=True)
class PoolingConfig(ComponentConfig):
    """What all poolings share.

    Attributes:
        include_instruction: Whether tokens of the instruction template are pooled too.
    """

    include_instruction: bool = True


@component("pooling", "mean", "harness.embedding.pooling:MeanPooling")
@dataclass(kw_only=True)
class MeanPoolingConfig(PoolingConfig):
    """The mean of the token states."""

    kind: str = "mean"


@component("pooling", "weighted_mean", "harness.embedding.pooling:WeightedMeanPooling")
@dataclass(kw_only=True)
class WeightedMeanPoolingConfig(PoolingConfig):
    """The mean weighted by position 1, 2, 3, … (SGPT)."""

    kind: str = "weighted_mean"


@component("pooling", "last_token", "harness.embedding.pooling:LastTokenPooling")
@dataclass(kw_only=True)
class LastTokenPoolingConfig(PoolingConfig):
    """The state of the last token."""

    kind: str = "last_token"


@component("pooling", "cls", "harness.embedding.pooling:ClsPooling")
@dataclass(kw_only=True)
class ClsPoolingConfig(PoolingConfig):
    """The state of the first token."""

    kind: str = "cls"


@component("instruction", "template", "harness.embedding.instructions:Template")
@dataclass(kw_only=True)
class InstructionConfig(ComponentConfig):
    """What surrounds a text before it is tokenised, by side.

    Attributes:
        query: Template of a query; `{text}` stands for the text and occurs once.
        document: Template of a document.
    """

    kind: str = "template"
    query: str = "{text}"
    document: str = "{text}"

    def __post_init__(self) -> None:
        """Validate."""
        for side in ("query", "document"):
            template = getattr(self, side)
            require(template.count("{text}") == 1, f"{side}={template!r} must hold {{text}} once")


@dataclass(kw_only=True)
class LinearHeadConfig(ComponentConfig):
    """What heads made of a model's own matrix share.

    Attributes:
        path: Folder of another backbone whose matrix is read; the model's own when absent.
        normalize: Whether the embedding is L2-normalised before it is multiplied.
    """

    path: str | None = None
    normalize: bool = False


@component("head", "lm_head", "harness.alignment.linear:LmHead")
@dataclass(kw_only=True)
class LmHeadConfig(LinearHeadConfig):
    """The unembedding matrix of the generative backbone (paper section 1)."""

    kind: str = "lm_head"


@component("head", "tied", "harness.alignment.linear:TiedHead")
@dataclass(kw_only=True)
class TiedHeadConfig(LinearHeadConfig):
    """The input word embeddings, read as an unembedding matrix."""

    kind: str = "tied"


@component("head", "ridge", "harness.alignment.ridge:RidgeHead")
@dataclass(kw_only=True)
class RidgeHeadConfig(ComponentConfig):
    """A closed-form head, fitted on the indexed corpus (paper section 7).

    Attributes:
        regularisation: λ of the ridge regression.
    """

    kind: str = "ridge"
    regularisation: float = 0.1

    def __post_init__(self) -> None:
        """Validate."""
        require(
            math.isfinite(self.regularisation) and self.regularisation > 0,
            f"regularisation={self.regularisation} must be above 0",
        )


@dataclass(kw_only=True)
class RetrievalConfig(ComponentConfig):
    """What all retrieval modes share."""

    def label(self) -> str:
        """A short readable summary, part of the name of the results' folder."""
        return self.kind

    def scored(self) -> dict[str, Any]:
        """The settings that can change a score, those without effect left out."""
        return identity(self)


@component("retrieval", "dense", "harness.retrieval.dense:DenseRetriever")
@dataclass(kw_only=True)
class DenseConfig(RetrievalConfig):
    """Exact search over embeddings.

    Attributes:
        similarity: `cosine` or `dot`.
    """

    kind: str = "dense"
    similarity: str = "cosine"

    def label(self) -> str:
        """See `RetrievalConfig`."""
        return f"{self.kind}-{self.similarity}"

    def __post_init__(self) -> None:
        """Validate."""
        one_of("similarity", self.similarity, ("cosine", "dot"))


@component("retrieval", "aligned_sparse", "harness.retrieval.aligned_sparse:AlignedSparseRetriever")
@dataclass(kw_only=True)
class AlignedSparseConfig(RetrievalConfig):
    """Search over aligned tokens in an inverted index (paper section 2).

    Attributes:
        doc_top_k: K, aligned tokens kept of a document.
        query_expansion: M, aligned tokens added to a query's literal ones; 0 is inference-free.
        doc_weight: `raw` logits, `relu`, `log1p` of relu, or `binary`.
        doc_norm: `l2` normalises the kept weights of each document, `none` leaves them.
        query_weight: `binary`, `idf` of the indexed corpus, or `score`, the query's own logits.
        scope: `vocabulary`, or `literal`: only tokens of the text itself (PromptReps).
        drop_special: Whether special tokens are left out.
        drop_punctuation: Whether tokens without a letter or digit are left out.
        drop_stopwords: Whether English stopwords are left out.
    """

    kind: str = "aligned_sparse"
    doc_top_k: int = 128
    query_expansion: int = 0
    doc_weight: str = "raw"
    doc_norm: str = "none"
    query_weight: str = "binary"
    scope: str = "vocabulary"
    drop_special: bool = True
    drop_punctuation: bool = False
    drop_stopwords: bool = False

    def label(self) -> str:
        """See `RetrievalConfig`."""
        norm = "-l2" if self.doc_norm == "l2" else ""
        return (
            f"{self.kind}-k{self.doc_top_k}-m{self.query_expansion}"
            f"-{self.doc_weight}{norm}-{self.query_weight}"
        )

    def __post_init__(self) -> None:
        """Validate."""
        self.doc_norm = {"true": "l2", "false": "none"}.get(self.doc_norm.lower(), self.doc_norm)
        at_least("doc_top_k", self.doc_top_k, 1)
        at_least("query_expansion", self.query_expansion, 0)
        one_of("doc_weight", self.doc_weight, ("raw", "relu", "log1p", "binary"))
        one_of("doc_norm", self.doc_norm, ("none", "l2"))
        one_of("query_weight", self.query_weight, ("binary", "idf", "score"))
        one_of("scope", self.scope, ("vocabulary", "literal"))


@component("retrieval", "hybrid", "harness.retrieval.hybrid:HybridRetriever")
@dataclass(kw_only=True)
class HybridConfig(RetrievalConfig):
    """Fusion of two or more modes' rankings.

    Attributes:
        modes: Names of modes of the same run.
        fusion: `minmax` (PromptReps' definition), `zscore` or `rrf`.
        weights: One weight a mode; equal when absent.
        depth: Ranks of each mode that are fused.
        rrf_k: The constant of reciprocal rank fusion.
    """

    kind: str = "hybrid"
    modes: list[str] = field(default_factory=lambda: ["dense", "bm25"])
    fusion: str = "minmax"
    weights: list[float] | None = None
    depth: int = 1000
    rrf_k: float = 60.0

    def label(self) -> str:
        """See `RetrievalConfig`."""
        return f"{self.kind}-{self.fusion}-{'+'.join(self.modes)}"

    def __post_init__(self) -> None:
        """Validate."""
        require(len(self.modes) >= 2, f"modes={self.modes} must name two or more modes")
        require(len(set(self.modes)) == len(self.modes), f"modes={self.modes} names a mode twice")
        one_of("fusion", self.fusion, ("minmax", "zscore", "rrf"))
        at_least("depth", self.depth, 1)
        at_least("rrf_k", self.rrf_k, 0)
        if self.weights is not None:
            require(
                len(self.weights) == len(self.modes),
                f"weights={self.weights} must hold one weight for each of {self.modes}",
            )
            for weight in self.weights:
                at_least("weights", weight, 0)
            require(sum(self.weights) > 0, f"weights={self.weights} must not all be 0")

    def scored(self) -> dict[str, Any]:
        """See `RetrievalConfig`: weights by their share, `rrf_k` where it is used."""
        weights = self.weights or [1.0] * len(self.modes)
        settings = identity(self) | {"weights": [weight / sum(weights) for weight in weights]}
        if self.fusion != "rrf":
            del settings["rrf_k"]
        return settings


@component("retrieval", "bm25", "harness.retrieval.bm25:Bm25Retriever")
@dataclass(kw_only=True)
class Bm25Config(RetrievalConfig):
    """BM25 through bm25s, with the settings of mteb's baseline by default.

    Attributes:
        k1: Saturation of the term frequency.
        b: Strength of the length normalisation.
        method: bm25s' variant: `lucene`, `robertson` or `atire`.
        stemmer: A Snowball language, or null for none.
        stopwords: bm25s' stopword list, or null for none.
    """

    kind: str = "bm25"
    k1: float = 1.5
    b: float = 0.75
    method: str = "lucene"
    stemmer: str | None = "english"
    stopwords: str | None = "en"

    def label(self) -> str:
        """See `RetrievalConfig`."""
        return f"{self.kind}-k{self.k1:g}-b{self.b:g}"

    def __post_init__(self) -> None:
        """Validate."""
        at_least("k1", self.k1, 0)
        require(0 <= self.b <= 1, f"b={self.b} must lie between 0 and 1")
        one_of("method", self.method, ("lucene", "robertson", "atire"))
        if self.stopwords is not None:
            one_of("stopwords", self.stopwords, _STOPWORD_LISTS)


@component("backend", "transformers", "harness.embedding.transformers_backend:TransformersBackend")
@dataclass(kw_only=True)
class TransformersBackendConfig(ComponentConfig):
    """Batched inference with transformers.

    Attributes:
        device: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`, `mps`.
        dtype: `auto` (bfloat16 on a GPU, float32 elsewhere), `float32`, `bfloat16`, `float16`;
            part of the result's identity once resolved.
        attention: transformers' attention implementation; `auto` is its choice for the model.
        token_budget: Padded tokens in a batch; chosen by device when absent.
    """

    kind: str = "transformers"
    device: str = unscored("auto")
    dtype: str = "auto"
    attention: str = unscored("auto")
    token_budget: int | None = unscored(None)

    def __post_init__(self) -> None:
        """Validate."""
        one_of("dtype", self.dtype, ("auto", "float32", "bfloat16", "float16"))
        at_least("token_budget", self.token_budget, 1)


@dataclass(kw_only=True)
class TasksConfig:
    """Which tasks are evaluated; the embedded one when nothing is named.

    Attributes:
        names: mteb task names, or `PyDocRetrieval`, the embedded task.
        benchmark: An mteb benchmark's name, such as `BEIR`.
        path: BEIR folders: one, or a list.
        split: The split of the BEIR folders.
        empty_text: `refuse` stops at an empty text in a folder, `keep` goes on.
    """

    names: list[str] = field(default_factory=list)
    benchmark: str | None = None
    path: Any = None
    split: str = "test"
    empty_text: str = "refuse"

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
class RunConfig:
    """`harness run`, whole. Groups hold the dataclass that their `kind` names."""

    model: Any
    pooling: Any
    instruction: Any
    head: Any
    backend: Any
    retrieval: Any = field(default_factory=dict)
    tasks: Any
    cost: Any
    metrics: list[str] = field(default_factory=list)
    results_dir: str = "results"
    store_dir: str = ".harness/store"
    leaderboards_dir: str = "leaderboards"
    baselines_dir: str = "results/baselines"
    format: str = "table"
    debug: bool = False

    def __post_init__(self) -> None:
        """Parse each group's component and validate what concerns several of them."""
        for group in ("model", "pooling", "instruction", "head", "backend"):
            setattr(self, group, parse_component(group, getattr(self, group), where=group))
        self.tasks = parse(TasksConfig, self.tasks, where="tasks")
        self.cost = parse(CostConfig, self.cost, where="cost")
        require(
            isinstance(self.retrieval, Mapping) and len(self.retrieval) > 0,
            "retrieval: choose modes, for instance retrieval=[dense,bm25]",
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
        for folder in ("results_dir", "store_dir", "leaderboards_dir", "baselines_dir"):
            require(bool(getattr(self, folder).strip()), f"{folder} is empty; give a folder")
        one_of("format", self.format, ("table", "json"))
        for metric in self.metrics:
            name, _, depth = metric.partition("_at_")
            require(
                name in _METRICS and depth in _DEPTHS,
                f"metrics: {metric!r} is unknown; write NAME_at_K with NAME of "
                f"{', '.join(_METRICS)} and K of {', '.join(_DEPTHS)}",
            )
