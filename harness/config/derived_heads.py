"""Heads that are made of another head."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.components import (
    ComponentConfig,
    at_least,
    component,
    one_of,
    parse_component,
    require,
)
from harness.errors import BadInputError

_WITH_A_MATRIX = ("auto", "lm_head", "tied", "mlm", "ridge")


@dataclass(kw_only=True)
class DerivedHeadConfig(ComponentConfig):
    """What heads made of another one share.

    Attributes:
        of: The other head, with its settings.
    """

    of: Any = field(default_factory=lambda: {"kind": "auto"})

    def __post_init__(self) -> None:
        """Parse the other head."""
        if isinstance(self.of, ComponentConfig):
            return
        try:
            self.of = parse_component("head", self.of, where="of")
        except BadInputError as error:  # who parses this head knows where it stands
            raise ValueError(str(error)) from error


@component("head", "whole_word", "harness.alignment.whole_word:WholeWordHead")
@dataclass(kw_only=True)
class WholeWordHeadConfig(DerivedHeadConfig):
    """Whole words of the indexed corpus, from the logits of their tokens.

    Attributes:
        subwords: What a written form's logit is of those of its tokens: `mean`, `sum` or `max`.
        forms: What a word's logit is of those of its written forms: `max` or `sum`.
        stemmer: A Snowball language by whose stems words are told apart, or null.
        min_documents: Words that fewer documents hold are left out.
    """

    kind: str = "whole_word"
    subwords: str = "mean"
    forms: str = "max"
    stemmer: str | None = None
    min_documents: int = 1

    def __post_init__(self) -> None:
        """See `DerivedHeadConfig`."""
        super().__post_init__()
        one_of("subwords", self.subwords, ("mean", "sum", "max"))
        one_of("forms", self.forms, ("max", "sum"))
        at_least("min_documents", self.min_documents, 1)
        setting, of = "of", self.of
        while isinstance(of, CompressedHeadConfig):
            setting, of = f"{setting}.of", of.of
        require(
            not isinstance(of, WholeWordHeadConfig),
            f"{setting}.kind=whole_word reads words, not tokens; choose a head of tokens with "
            f"head@head.{setting}=...",
        )
        require(
            getattr(of, "unit", "token") == "token",
            f"{setting}.unit=word reads words, not tokens; set head.{setting}.unit=token, or use "
            "head=ridge head.unit=word alone",
        )


@component("head", "compressed", "harness.alignment.compressed:CompressedHead")
@dataclass(kw_only=True)
class CompressedHeadConfig(DerivedHeadConfig):
    """A head whose matrix is kept at low rank, in int8, or both.

    Attributes:
        rank: Leading singular vectors of the matrix that are kept; null for all.
        int8: Whether each row of what is multiplied is rounded to 127 steps either side of 0.
    """

    kind: str = "compressed"
    rank: int | None = 64
    int8: bool = False

    def __post_init__(self) -> None:
        """See `DerivedHeadConfig`."""
        super().__post_init__()
        at_least("rank", self.rank, 1)
        require(
            self.rank is not None or self.int8,
            "rank=null compresses nothing while int8=false; give a rank, int8=true, or both",
        )
        require(
            self.of.kind in _WITH_A_MATRIX,
            f"of.kind={self.of.kind} has no matrix that can be compressed; choose one of: "
            f"{', '.join(_WITH_A_MATRIX)}",
        )


def innermost_head(config: ComponentConfig) -> ComponentConfig:
    """The head that is not made of another one."""
    while isinstance(config, DerivedHeadConfig):
        config = config.of
    return config
