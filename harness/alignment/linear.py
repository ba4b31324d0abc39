"""Heads that are a matrix of the model: its LM head, or its input word embeddings."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.alignment.head import FitRecord, normalise
from harness.config import ModelConfig, identity
from harness.embedding.model import EmbeddingModel, TensorPlace
from harness.errors import BadInputError

if TYPE_CHECKING:
    from harness.config import LinearHeadConfig
    from harness.embedding.encoder import TextEncoder, Texts

_INPUT_EMBEDDINGS = (
    "model.embed_tokens.weight",
    "embed_tokens.weight",
    "transformer.wte.weight",
    "wte.weight",
    "model.decoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
    "gpt_neox.embed_in.weight",
    "shared.weight",
    "bert.embeddings.word_embeddings.weight",
    "roberta.embeddings.word_embeddings.weight",
    "mpnet.embeddings.word_embeddings.weight",
    "embeddings.word_embeddings.weight",
)
_LM_HEADS = ("lm_head.weight", "embed_out.weight", "output.weight")


class TiedHead:
    """The input word embeddings as an unembedding matrix, without bias."""

    def __init__(self, config: LinearHeadConfig, *, encoder: TextEncoder) -> None:
        self.config = config
        self._encoder = encoder
        self._source = encoder.model
        if config.path is not None:
            self._source = EmbeddingModel(ModelConfig(path=config.path), setting="head.path")

    fit_record: FitRecord | None = None
    bias: NDArray[np.float32] | None = None

    def identity(self) -> dict[str, Any]:
        """See `Head`; a matrix that does not fit is refused here, before any text is read.

        Raises:
            BadInputError: If there is no such matrix, the tokenizer knows more tokens, or the
                embeddings have another width.
        """
        rows, width = self._place.shape
        vocabulary = len(self._encoder.model.tokenizer)
        if rows < vocabulary:
            raise BadInputError(
                f"the head knows {rows:,} tokens and the tokenizer {vocabulary:,}; "
                "head.path must name a backbone with this tokenizer"
            )
        settings = self._encoder.model.settings
        # OPT's smallest project their states to another width.
        expected = settings.get("word_embed_proj_dim") or settings.get("hidden_size") or width
        self._check_width(width, expected)
        return {
            **identity(self.config),
            "path": None,
            "weights": self._source.weights_hash,
        }

    def fit(self, corpus: Texts) -> None:
        """Check the matrix against the embeddings."""
        self.identity()
        if len(corpus):
            self._check_width(self._place.shape[1], corpus.embeddings.shape[1])

    @cached_property
    def matrix(self) -> NDArray[np.float32]:
        """The matrix, read from the weights alone."""
        return self._place.read()

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """The embedding as the backbone gives it, unless `normalize` is set."""
        return normalise(embeddings) if self.config.normalize else embeddings

    @cached_property
    def _place(self) -> TensorPlace:
        found = self._source.find_tensor(self._names())
        if found is None:
            raise BadInputError(self._absent())
        return found

    def _names(self) -> tuple[str, ...]:
        return _INPUT_EMBEDDINGS

    def _check_width(self, width: int, expected: int) -> None:
        if width != expected:
            raise BadInputError(
                f"the head's matrix is {width} wide and the embeddings are {expected}; "
                "head.path must name the backbone that the model was trained from"
            )

    def _absent(self) -> str:
        return (
            f"head=tied: {self._source.folder} holds none of the known word embeddings; "
            "use head=ridge"
        )


class LmHead(TiedHead):
    """The unembedding matrix E_g of the generative backbone (paper section 1)."""

    def _names(self) -> tuple[str, ...]:
        """The LM head; the word embeddings where a generative model ties the two."""
        settings = self._source.settings
        generative = any(
            name.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration"))
            for name in settings.get("architectures") or ()
        )
        tied = generative and settings.get("tie_word_embeddings", True)
        return _LM_HEADS + (_INPUT_EMBEDDINGS if tied else ())

    def _absent(self) -> str:
        return (
            f"head=lm_head: {self._source.folder} holds no LM head; give head.path=BACKBONE, "
            "or use head=tied or head=ridge"
        )
