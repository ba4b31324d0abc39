"""Heads that are a matrix of the model: its LM head, or its input word embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.alignment.head import FitRecord, normalise
from harness.alignment.lexicon import Lexicon, TokenLexicon
from harness.alignment.transforms import NoTransform
from harness.config import NoTransformConfig, identity
from harness.cost.flops import head_flops
from harness.embedding.locate import locate_tensors
from harness.embedding.tensors import TensorPlace, checked_folder, find_tensor
from harness.errors import BadInputError
from harness.files import read_json

if TYPE_CHECKING:
    from harness.alignment.transforms import Transform
    from harness.config import LinearHeadConfig
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.texts import Texts

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
    "distilbert.embeddings.word_embeddings.weight",
    "electra.embeddings.word_embeddings.weight",
    "albert.embeddings.word_embeddings.weight",
    "embeddings.word_embeddings.weight",
    "model.embeddings.tok_embeddings.weight",
    "embeddings.tok_embeddings.weight",
    "encoder.embed_tokens.weight",
    "model.language_model.embed_tokens.weight",
    "language_model.model.embed_tokens.weight",
)
_LM_HEADS = ("lm_head.weight", "embed_out.weight", "output.weight")


class TiedHead:
    """The input word embeddings as an unembedding matrix, without bias."""

    fit_record: FitRecord | None = None

    def __init__(
        self,
        config: LinearHeadConfig,
        *,
        encoder: TextEncoder,
        transform: Transform | None = None,
    ) -> None:
        self.config = config
        self.transform = transform or NoTransform(NoTransformConfig())
        self.needs_corpus = self.transform.needs_corpus
        self._encoder = encoder

    @cached_property
    def bias(self) -> NDArray[np.float32] | None:
        """See `Head`: none."""
        return None

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
        self._check_width(width, self._encoder.model.state_width or width)
        own = self._path is None
        return {
            **identity(self.config),
            "path": None,
            "weights": self._encoder.model.weights_hash if own else self._fingerprint,
            **self.transform.identity(),
        }

    def fit(self, corpus: Texts) -> None:
        """Check the matrix against the embeddings, and fit the transform."""
        self.identity()
        if len(corpus):
            self._check_width(self._place.shape[1], self.read(corpus).shape[1])
        if self.transform.needs_corpus or self.transform.needs_matrix:
            self.transform.fit(self.read(corpus), lambda: self.matrix, corpus)

    @cached_property
    def matrix(self) -> NDArray[np.float32]:
        """The matrix, read from the weights alone."""
        return self._place.read()

    @property
    def vocabulary(self) -> int:
        """See `Head`."""
        return self._place.shape[0]

    @property
    def lexicon(self) -> Lexicon:
        """See `Head`: the tokenizer's tokens."""
        return TokenLexicon(self._encoder.model.tokenizer, self.vocabulary)

    @property
    def flops_per_text(self) -> float:
        """See `Head`: 2·d·V, and the transform's."""
        rows, width = self._place.shape
        return float(head_flops(width, rows)) + self.transform.flops_per_text

    def read(self, texts: Texts) -> NDArray[np.float32]:
        """See `Head`: pooled token states."""
        return texts.pooled

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """The transformed embedding, not normalised unless `normalize` is set."""
        transformed = self.transform.apply(embeddings)
        return normalise(transformed) if self.config.normalize else transformed

    @cached_property
    def _source(self) -> Path:
        """The folder of the backbone whose matrix is read."""
        if self._path is None:
            return self._encoder.model.folder
        setting = "head.path" if self.config.path else "model.backbone"
        folder = locate_tensors(self._path, self._tensors, setting=setting)
        return checked_folder(folder, setting=setting)

    @property
    def _path(self) -> str | None:
        """Another backbone: the configured one, else the one that the model names."""
        return self.config.path or self._encoder.model.config.backbone

    def _tensors(self, folder: Path) -> Sequence[Sequence[str]]:
        """The tensors that are read of a backbone, each by the names that it may have."""
        return [self._names(folder)]

    @cached_property
    def _fingerprint(self) -> str:
        """What another backbone's head is, by its numbers."""
        return self._place.fingerprint

    @cached_property
    def _place(self) -> TensorPlace:
        found = find_tensor(self._source, self._names(self._source))
        if found is None:
            raise BadInputError(self._absent())
        return found

    def _names(self, folder: Path) -> tuple[str, ...]:
        """Names of the matrix, best first."""
        return _INPUT_EMBEDDINGS

    def _check_width(self, width: int, expected: int) -> None:
        if width != expected:
            raise BadInputError(
                f"the head's matrix is {width} wide and the embeddings are {expected}; "
                "head.path must name the backbone that the model was trained from"
            )

    def _absent(self) -> str:
        return f"head=tied: {self._source} holds none of the known word embeddings; use head=ridge"


class LmHead(TiedHead):
    """The unembedding matrix E_g of the generative backbone (paper section 1)."""

    def _names(self, folder: Path) -> tuple[str, ...]:
        """The LM head; the word embeddings where a generative model ties the two."""
        return lm_head_names(read_json(folder / "config.json"))

    def _absent(self) -> str:
        return (
            f"head=lm_head: {self._source} holds no LM head; give head.path=BACKBONE, "
            "or use head=tied or head=ridge"
        )


def lm_head_names(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Names under which a model with this `config.json` may keep its unembedding matrix."""
    generative = any(
        name.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration"))
        for name in settings.get("architectures") or ()
    )
    tied = generative and settings.get("tie_word_embeddings", True)
    return _LM_HEADS + (_INPUT_EMBEDDINGS if tied else ())
