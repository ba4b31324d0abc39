"""`harness plan`: which collections, model and machines are planned with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.components import at_least, one_of, parse, require
from harness.config.commands import EncoderRunConfig, parsed_modes
from harness.config.retrieval import AlignedSparseConfig, DenseConfig

_SIZES = ("layers", "width", "heads", "intermediate", "vocabulary")
_STEEPEST = 3.0


def _above_zero(name: str, value: float | None) -> None:
    require(
        value is None or (math.isfinite(value) and value > 0), f"{name}={value} must be above 0"
    )


@dataclass(kw_only=True)
class ShapeConfig:
    """A decoder's shape, given without any file; that of `model` where there are no layers.

    Attributes:
        name: What it is called.
        layers: Transformer layers.
        width: Width of the token states, and of the embedding.
        heads: Attention heads.
        key_value_heads: Heads of keys and values; as many as `heads` when absent.
        head_width: Width of a head; width over heads when absent.
        intermediate: Inner width of the feed-forward block.
        gated: Whether that block has three matrices instead of two.
        vocabulary: Entries of the vocabulary, which the LM head reads too.
        max_length: Tokens after which a text is cut.
    """

    name: str | None = None
    layers: int | None = None
    width: int | None = None
    heads: int | None = None
    key_value_heads: int | None = None
    head_width: int | None = None
    intermediate: int | None = None
    gated: bool = True
    vocabulary: int | None = None
    max_length: int | None = None

    @property
    def given(self) -> bool:
        """Whether it stands for itself and not for the model's."""
        return self.layers is not None

    def __post_init__(self) -> None:
        """Validate."""
        for name in (*_SIZES, "key_value_heads", "head_width", "max_length"):
            at_least(name, getattr(self, name), 1)
        some = [name for name in _SIZES if getattr(self, name) is not None]
        missing = [name for name in _SIZES if getattr(self, name) is None]
        require(
            not some or not missing,
            f"{missing[0] if missing else ''} is not set; a shape has {', '.join(_SIZES)}: take "
            "shape=custom, or start from shape=mistral_7b",
        )
        if self.width is not None and self.heads is not None:
            require(
                self.head_width is not None or self.width % self.heads == 0,
                f"heads={self.heads} do not divide width={self.width}; give head_width",
            )


@dataclass(kw_only=True)
class HardwareConfig:
    """What encodes.

    Attributes:
        name: What it is called.
        peak_flops: FLOP/s of its matrix products; measured here when absent.
        mfu: Share of that which encoding reaches; as measured in results when absent.
        price_per_hour: What an hour of it costs; no money is shown when absent.
    """

    name: str
    peak_flops: float | None = None
    mfu: float | None = None
    price_per_hour: float | None = None

    def __post_init__(self) -> None:
        """Validate."""
        _above_zero("peak_flops", self.peak_flops)
        _above_zero("mfu", self.mfu)
        require(self.mfu is None or self.mfu <= 1, f"mfu={self.mfu} is a share, such as 0.4")
        at_least("price_per_hour", self.price_per_hour, 0)


@dataclass(kw_only=True)
class SearcherConfig:
    """What searches. Rates that are absent are measured here.

    Attributes:
        name: What it is called.
        flops_per_second: Of dense scores.
        bytes_per_second: At which dense search reads its index.
        postings_per_second: At which sparse search goes through postings.
        batch: Queries that one reading of the dense index serves.
        price_per_hour: What an hour of it costs; no money is shown when absent.
    """

    name: str
    flops_per_second: float | None = None
    bytes_per_second: float | None = None
    postings_per_second: float | None = None
    batch: int = 1
    price_per_hour: float | None = None

    def __post_init__(self) -> None:
        """Validate."""
        for name in ("flops_per_second", "bytes_per_second", "postings_per_second"):
            _above_zero(name, getattr(self, name))
        at_least("batch", self.batch, 1)
        at_least("price_per_hour", self.price_per_hour, 0)


@dataclass(kw_only=True)
class PlanConfig(EncoderRunConfig):
    """`harness plan`, whole.

    Attributes:
        retrieval: Modes by name: dense and one of aligned tokens.
        shape: A shape that stands for the model's.
        hardware: What encodes.
        searcher: What searches.
        documents: So many documents instead of tasks; None for tasks, BEIR where none is named.
        tokens: Their mean length in tokens, prompt included.
        query_tokens: That of their queries.
        extrapolate: Documents of a last row; None for none.
        queries: Queries that are asked of each collection.
        characters_per_token: Characters that a token stands for.
        prompt_tokens: Tokens of special tokens and template of each text.
        length_variation: Standard deviation of lengths over their mean.
        postings: How the postings of a query are known: `zipf`, `uniform` or `measured`.
        zipf_exponent: Of the law that terms are drawn by.
        shared_terms: Terms that a query and a document have in common, given; None for `postings`.
        results_dir: The results that measured figures are taken of.
        format: `table`, or `json` for one JSON object a collection.
    """

    retrieval: Any = field(default_factory=dict)
    shape: Any = field(default_factory=dict)
    hardware: Any
    searcher: Any
    documents: int | None = None
    tokens: float | None = None
    query_tokens: float = 12.0
    extrapolate: int | None = None
    queries: int = 1_000_000
    characters_per_token: float = 4.5
    prompt_tokens: int = 2
    length_variation: float = 0.0
    postings: str = "zipf"
    zipf_exponent: float = 0.85
    shared_terms: float | None = None
    results_dir: str = "results"
    format: str = "table"

    @property
    def sparse(self) -> AlignedSparseConfig:
        """The mode of aligned tokens."""
        modes = [mode for mode in self.retrieval.values() if isinstance(mode, AlignedSparseConfig)]
        return modes[0]

    @property
    def dense(self) -> DenseConfig:
        """The dense mode, its defaults where the run has none."""
        modes = [mode for mode in self.retrieval.values() if isinstance(mode, DenseConfig)]
        return modes[0] if modes else DenseConfig()

    def __post_init__(self) -> None:
        """See `EncoderRunConfig`."""
        super().__post_init__()
        self.shape = parse(ShapeConfig, self.shape, where="shape")
        self.hardware = parse(HardwareConfig, self.hardware, where="hardware")
        self.searcher = parse(SearcherConfig, self.searcher, where="searcher")
        require(isinstance(self.retrieval, Mapping), "retrieval: take [dense,aligned_sparse]")
        self.retrieval = parsed_modes(self.retrieval)
        kinds = [mode.kind for mode in self.retrieval.values()]
        other = next((kind for kind in kinds if kind not in ("dense", "aligned_sparse")), None)
        require(
            other is None,
            f"retrieval: harness plan knows dense and aligned_sparse, not {other}; leave it out",
        )
        require(
            kinds.count("aligned_sparse") == 1, "retrieval: take [dense,aligned_sparse], once each"
        )
        require(
            (self.documents is None) == (self.tokens is None),
            "documents and tokens go together: documents=1000000 tokens=120",
        )
        at_least("documents", self.documents, 1)
        at_least("tokens", self.tokens, 1)
        at_least("query_tokens", self.query_tokens, 1)
        at_least("extrapolate", self.extrapolate, 1)
        at_least("queries", self.queries, 0)
        _above_zero("characters_per_token", self.characters_per_token)
        at_least("prompt_tokens", self.prompt_tokens, 0)
        at_least("length_variation", self.length_variation, 0)
        one_of("postings", self.postings, ("zipf", "uniform", "measured"))
        at_least("zipf_exponent", self.zipf_exponent, 0)
        require(
            self.zipf_exponent <= _STEEPEST,
            f"zipf_exponent={self.zipf_exponent:g} is more than {_STEEPEST:g}",
        )
        at_least("shared_terms", self.shared_terms, 0)
        require(bool(self.results_dir.strip()), "results_dir is empty; give a folder")
        one_of("format", self.format, ("table", "json"))
