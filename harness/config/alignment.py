"""Embedding to tokens: heads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from harness.components import ComponentConfig, at_least, component, one_of, require

_CRITERIA = ("self_retrieval", "loo", "gcv")


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
        regularisation: λ of the ridge regression; or how it is chosen on the corpus alone:
            `self_retrieval`, `loo` (leave-one-out) or `gcv` (generalised cross-validation).
        target: How a document's own terms are weighted: `bm25`, `tf_idf`, `idf` or `binary`.
        unit: What the columns are: the tokenizer's `token`s or whole `word`s.
        stemmer: A Snowball language that stems words, or null; for `unit=word`.
        min_documents: Terms that fewer documents hold are left out.
        drop_stopwords: Whether English stopwords are left out of what is learned.
        corpus: A folder with the corpus.jsonl that the head is fitted on; null for the indexed one.
        seed: Of the documents and words that `self_retrieval` and `loo` draw.
    """

    kind: str = "ridge"
    regularisation: Any = "self_retrieval"
    target: str = "bm25"
    unit: str = "token"
    stemmer: str | None = None
    min_documents: int = 1
    drop_stopwords: bool = False
    corpus: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Validate."""
        value = self.regularisation
        number = isinstance(value, int | float) and not isinstance(value, bool)
        require(
            value in _CRITERIA if not number else math.isfinite(value) and value > 0,
            f"regularisation={value} must be a number above 0, or one of: {', '.join(_CRITERIA)}",
        )
        if number:
            self.regularisation = float(value)
        one_of("target", self.target, ("bm25", "tf_idf", "idf", "binary"))
        one_of("unit", self.unit, ("token", "word"))
        require(
            self.stemmer is None or self.unit == "word",
            f"stemmer={self.stemmer} needs unit=word; tokens have no stems",
        )
        at_least("min_documents", self.min_documents, 1)
        at_least("seed", self.seed, 0)
