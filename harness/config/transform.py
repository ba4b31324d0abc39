"""Embedding to embedding: transforms that need no training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.components import ComponentConfig, at_least, component, require


@component("transform", "none", "harness.alignment.transforms:NoTransform")
@dataclass(kw_only=True)
class NoTransformConfig(ComponentConfig):
    """The embedding as it is."""

    kind: str = "none"


@component("transform", "center", "harness.alignment.transforms:Center")
@dataclass(kw_only=True)
class CenterConfig(ComponentConfig):
    """The embedding less the mean of the indexed documents'."""

    kind: str = "center"


@component("transform", "all_but_top", "harness.alignment.transforms:AllButTop")
@dataclass(kw_only=True)
class AllButTopConfig(ComponentConfig):
    """Centred, then without the documents' leading principal components (Mu & Viswanath 2018).

    Attributes:
        components: How many are removed; d/100 when absent, as the authors advise.
    """

    kind: str = "all_but_top"
    components: int | None = None

    def __post_init__(self) -> None:
        """Validate."""
        at_least("components", self.components, 1)


@component("transform", "pc1", "harness.alignment.transforms:FirstComponent")
@dataclass(kw_only=True)
class FirstComponentConfig(ComponentConfig):
    """h + λu_1, u_1 the documents' first uncentred principal component (paper section 4).

    Exactly one of the settings is given.

    Attributes:
        weight: λ.
        reference: An embedder trained from this backbone: a folder, `pkg://package/folder`, or
            `hub://organisation/model@revision`. λ is v_1, how far it moves the documents along u_1.
    """

    kind: str = "pc1"
    weight: float | None = None
    reference: str | None = None

    def __post_init__(self) -> None:
        """Validate."""
        require(
            self.weight is not None or self.reference is not None,
            "weight is not set: give transform.weight=λ, or transform.reference=EMBEDDER to "
            "estimate it",
        )
        require(
            self.weight is None or self.reference is None,
            f"weight={self.weight} is not estimated from transform.reference={self.reference}; "
            "give one of the two",
        )
        require(
            self.weight is None or math.isfinite(self.weight),
            f"weight={self.weight} must be a finite number",
        )


@component("transform", "embed_filter", "harness.alignment.transforms:EmbedFilter")
@dataclass(kw_only=True)
class EmbedFilterConfig(ComponentConfig):
    """Without the leading right singular vectors of the head's matrix (arXiv 2606.07502).

    Attributes:
        drop: How many of them are removed; d/32 when absent, which is 128 of 4096.
        keep: How many after them are kept; all the rest when absent.
    """

    kind: str = "embed_filter"
    drop: int | None = None
    keep: int | None = None

    def __post_init__(self) -> None:
        """Validate."""
        at_least("drop", self.drop, 1)
        at_least("keep", self.keep, 1)
