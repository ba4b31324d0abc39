"""Embedding to tokens: heads."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.components import ComponentConfig, component, require


@component("head", "auto", "harness.alignment.resolve:head_of")
@dataclass(kw_only=True)
class AutoHeadConfig(ComponentConfig):
    """The masked-language-model head, else the LM head, else `ridge`; `identity` for `splade`."""

    kind: str = "auto"


@dataclass(kw_only=True)
class LinearHeadConfig(ComponentConfig):
    """What heads made of a model's own matrix share.

    Attributes:
        path: Another backbone whose matrix is read: a folder, `pkg://package/folder`, or
            `hub://organisation/model@revision`, of which only the file with the matrix is fetched;
            when absent `model.backbone`, else the model itself.
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


@component("head", "mlm", "harness.alignment.mlm:MlmHead")
@dataclass(kw_only=True)
class MlmHeadConfig(LinearHeadConfig):
    """An encoder's masked-language-model head: its transform, matrix and bias."""

    kind: str = "mlm"


@component("head", "identity", "harness.alignment.identity:IdentityHead")
@dataclass(kw_only=True)
class IdentityHeadConfig(ComponentConfig):
    """For embeddings that are token weights themselves (`pooling=splade`)."""

    kind: str = "identity"


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
