"""Ranking: retrieval modes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness.components import (
    ComponentConfig,
    at_least,
    component,
    identity,
    one_of,
    require,
)

_STOPWORD_LISTS = ("en", "de", "nl", "fr", "es", "pt", "it", "ru", "sv", "no", "zh")  # bm25s'


@dataclass(kw_only=True)
class RetrievalConfig(ComponentConfig):
    """What all retrieval modes share.

    Attributes:
        gives_vectors: Whether the mode gives a text a vector, so that it applies to tasks that do
            not retrieve: see `harness.retrieval.retriever.Vectoriser`.
        reads_embeddings: Whether embeddings themselves are compared, so that it matters whether
            the model normalises them.
        reads_head: Whether the head reads them as tokens.
        library: The package that searches, whose version can change a score; None where it is
            this one.
    """

    gives_vectors: ClassVar[bool] = False
    reads_embeddings: ClassVar[bool] = False
    reads_head: ClassVar[bool] = False
    library: ClassVar[str | None] = None

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
        similarity: `cosine`, `dot`, or `auto`, the model's own.
    """

    gives_vectors: ClassVar[bool] = True
    reads_embeddings: ClassVar[bool] = True

    kind: str = "dense"
    similarity: str = "auto"

    def label(self) -> str:
        """See `RetrievalConfig`."""
        return f"{self.kind}-{self.similarity}"

    def __post_init__(self) -> None:
        """Validate."""
        one_of("similarity", self.similarity, ("auto", "cosine", "dot"))


@component("retrieval", "aligned_sparse", "harness.retrieval.aligned_sparse:AlignedSparseRetriever")
@dataclass(kw_only=True)
class AlignedSparseConfig(RetrievalConfig):
    """Search over aligned tokens in an inverted index (paper section 2).

    Attributes:
        doc_top_k: K, aligned tokens kept of a document.
        query_expansion: M, aligned tokens added to a query's literal ones; 0 is inference-free.
        doc_weight: `raw` logits, `relu`, `log1p` of relu, or `binary`.
        doc_norm: `l2` normalises the kept weights of each document, `none` leaves them.
        literal_share: How much of a document's vector is its own terms by BM25 weights, from 0
            (aligned tokens alone) to below 1; both parts are L2-normalised, K holds for their sum.
        query_weight: `binary`, `idf` of the indexed corpus, or `score`, the query's own logits.
        scope: `vocabulary`, or `literal`: only tokens of the text itself (PromptReps).
        drop_special: Whether special tokens are left out.
        drop_punctuation: Whether tokens without a letter or digit are left out.
        drop_stopwords: Whether English stopwords are left out.
        index_weights: How the index keeps weights: `float32`, exact, 6 bytes a posting with its
            document; `uint16`, 4, or `uint8`, 3: integers of one scale a token, signed where `raw`
            weights are negative.
    """

    gives_vectors: ClassVar[bool] = True
    reads_head: ClassVar[bool] = True

    kind: str = "aligned_sparse"
    doc_top_k: int = 256
    query_expansion: int = 0
    doc_weight: str = "log1p"
    doc_norm: str = "l2"
    literal_share: float = 0.0
    query_weight: str = "idf"
    scope: str = "vocabulary"
    drop_special: bool = True
    drop_punctuation: bool = False
    drop_stopwords: bool = False
    index_weights: str = "float32"

    def label(self) -> str:
        """See `RetrievalConfig`."""
        norm = "-l2" if self.doc_norm == "l2" else ""
        literal = f"-literal{self.literal_share:g}" if self.literal_share else ""
        index = f"-{self.index_weights}" if self.index_weights != "float32" else ""
        return (
            f"{self.kind}-k{self.doc_top_k}-m{self.query_expansion}"
            f"-{self.doc_weight}{norm}{literal}-{self.query_weight}{index}"
        )

    def scored(self) -> dict[str, Any]:
        """See `RetrievalConfig`: `index_weights` where they are not the weights themselves."""
        settings = identity(self)
        if self.index_weights == "float32":
            del settings["index_weights"]
        return settings

    def __post_init__(self) -> None:
        """Validate."""
        self.doc_norm = {"true": "l2", "false": "none"}.get(self.doc_norm.lower(), self.doc_norm)
        at_least("doc_top_k", self.doc_top_k, 1)
        at_least("query_expansion", self.query_expansion, 0)
        one_of("doc_weight", self.doc_weight, ("raw", "relu", "log1p", "binary"))
        one_of("doc_norm", self.doc_norm, ("none", "l2"))
        one_of("query_weight", self.query_weight, ("binary", "idf", "score"))
        one_of("scope", self.scope, ("vocabulary", "literal"))
        one_of("index_weights", self.index_weights, ("float32", "uint16", "uint8"))
        require(
            0 <= self.literal_share < 1,
            f"literal_share={self.literal_share} must be at least 0 and below 1",
        )


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

    library: ClassVar[str | None] = "bm25s"

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
