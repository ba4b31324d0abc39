"""`harness analyze`: what is analysed, and the grid of the study."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.components import at_least, one_of, parse, parse_component, require
from harness.config.commands import EncoderRunConfig, parsed_modes
from harness.config.retrieval import AlignedSparseConfig
from harness.config.stages import StagesConfig

PARTS = ("rates", "tokens", "spectrum", "study", "stages")


@dataclass(kw_only=True)
class SpectrumConfig:
    """The spectrum of backbone embeddings, and how the embedder departs from it.

    Attributes:
        backbone: The generative model whose embeddings are decomposed, a reference as `model.path`;
            when absent `model.backbone`, else the model without its adapters; a model that has
            neither is its own, and nothing varies.
        attention: The backbone's attention, `causal` or `bidirectional`; its own when absent.
        components: Leading directions that are shown.
        weights: λ of the adjustment h + λu_1 that are tried; v_1 is always among them, and when
            absent multiples of v_1 from -0.5 to 2 are.
        examples: Texts whose contributions and adjusted tokens are shown.
    """

    backbone: str | None = None
    attention: str | None = None
    components: int = 10
    weights: list[float] = field(default_factory=list)
    examples: int = 6

    def __post_init__(self) -> None:
        """Validate."""
        at_least("components", self.components, 1)
        at_least("examples", self.examples, 0)
        if self.attention is not None:
            one_of("attention", self.attention, ("causal", "bidirectional"))
        require(
            all(math.isfinite(weight) for weight in self.weights),
            f"weights={self.weights} must be finite numbers",
        )


@dataclass(kw_only=True)
class StudyConfig:
    """The grid of settings of aligned sparse retrieval; every combination is scored.

    Attributes:
        heads: Name to a head's settings.
        transforms: Name to a transform's settings.
        documents: Mappings of doc_weight, doc_norm and literal_share: how documents are weighted.
        doc_top_k: K.
        query_expansion: M.
        query_weight: See `AlignedSparseConfig`.
        most_flops: The share of dense scoring FLOPs that a setting may take to be chosen.
    """

    heads: dict[str, Any] = field(default_factory=dict)
    transforms: dict[str, Any] = field(default_factory=dict)
    documents: list[Any] = field(default_factory=list)
    doc_top_k: list[int] = field(default_factory=list)
    query_expansion: list[int] = field(default_factory=list)
    query_weight: list[str] = field(default_factory=list)
    most_flops: float = 0.05

    def __post_init__(self) -> None:
        """Parse every head, transform and setting."""
        for name in ("doc_top_k", "query_expansion", "query_weight", "documents"):
            require(bool(getattr(self, name)), f"{name} is empty; give one or more values")
        require(bool(self.heads), "heads is empty; give name: {kind: ...}")
        require(bool(self.transforms), "transforms is empty; give none: {kind: none}")
        self.heads = {
            name: parse_component("head", head, where=f"study.heads.{name}")
            for name, head in self.heads.items()
        }
        self.transforms = {
            name: parse_component("transform", transform, where=f"study.transforms.{name}")
            for name, transform in self.transforms.items()
        }
        at_least("most_flops", self.most_flops, 0)
        parsed = []
        for settings in self.documents:
            require(
                isinstance(settings, Mapping)
                and set(settings) <= {"doc_weight", "doc_norm", "literal_share"},
                f"documents: {settings} must be of doc_weight, doc_norm and literal_share",
            )
            parsed.append(parse(AlignedSparseConfig, dict(settings), where="study.documents"))
        self.documents = parsed
        for k in self.doc_top_k:
            at_least("doc_top_k", k, 1)
        for m in self.query_expansion:
            at_least("query_expansion", m, 0)
        for weight in self.query_weight:
            one_of("query_weight", weight, ("binary", "idf", "score"))


@dataclass(kw_only=True)
class AnalyzeConfig(EncoderRunConfig):
    """`harness analyze`, whole.

    Attributes:
        retrieval: Modes by name; `aligned_sparse` judges λ, and all stand beside a study. The first
            of each kind says how stages are judged.
        parts: What is analysed: of `rates`, `tokens`, `spectrum`, `study` and `stages`.
        texts: A file with one text a line, instead of tasks.
        max_texts: Most texts of a side that rates, tokens and the spectrum see; drawn by `seed`.
        hit_k: K of Hit@K.
        top_k: Aligned tokens of a text in tables.
        spectrum: See `SpectrumConfig`.
        study: See `StudyConfig`.
        stages: See `StagesConfig`; that part reads their models and head, not `model` and `head`.
        seed: Of samples and resamples.
        analysis_dir: Where tables, figures and the page are written.
        format: `table`, or `json` for one JSON object a figure.
    """

    retrieval: Any = field(default_factory=dict)
    parts: list[str] = field(default_factory=lambda: ["rates", "tokens", "spectrum"])
    texts: str | None = None
    max_texts: int = 10_000
    hit_k: int = 10
    top_k: int = 10
    spectrum: Any = field(default_factory=dict)
    study: Any = None
    stages: Any = field(default_factory=dict)
    seed: int = 0
    analysis_dir: str = "analysis"
    format: str = "table"

    def __post_init__(self) -> None:
        """See `EncoderRunConfig`."""
        super().__post_init__()
        self.spectrum = parse(SpectrumConfig, self.spectrum, where="spectrum")
        self.retrieval = parsed_modes(self.retrieval)
        require(bool(self.parts), f"parts is empty; choose of: {', '.join(PARTS)}")
        for part in self.parts:
            one_of("parts", part, PARTS)
        if self.study is not None:
            self.study = parse(StudyConfig, self.study, where="study")
        require(
            "study" not in self.parts or self.study is not None,
            "parts has study, which has no grid; add experiment=aligned_study",
        )
        require(
            self.texts is None or "study" not in self.parts,
            "a study needs queries and judgements, which texts= has not; give tasks",
        )
        self.stages = parse(StagesConfig, self.stages, where="stages")
        require(
            "stages" not in self.parts or bool((self.stages.path or "").strip()),
            "parts has stages, which has no folder; set stages.path=FOLDER or add "
            "experiment=pydoc_llama_stages",
        )
        require(
            self.texts is None or "stages" not in self.parts,
            "stages need queries and judgements, which texts= has not; give tasks",
        )
        kinds = {mode.kind for mode in self.retrieval.values()}
        require(
            "study" not in self.parts or "dense" in kinds,
            "a study compares with dense retrieval; add dense to retrieval=[...]",
        )
        for name in ("max_texts", "hit_k", "top_k"):
            at_least(name, getattr(self, name), 1)
        at_least("seed", self.seed, 0)
        one_of("format", self.format, ("table", "json"))
        require(bool(self.analysis_dir.strip()), "analysis_dir is empty; give a folder")
