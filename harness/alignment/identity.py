"""The head of embeddings that are token weights already, as SPLADE's are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.alignment.lexicon import Lexicon, TokenLexicon
from harness.alignment.transforms import NoTransform
from harness.config import NoTransformConfig, identity
from harness.errors import BadInputError

if TYPE_CHECKING:
    from harness.alignment.head import FitRecord
    from harness.alignment.transforms import Transform
    from harness.config import IdentityHeadConfig
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.texts import Texts


class IdentityHead:
    """logits = embedding, V wide; nothing is multiplied."""

    needs_corpus = False
    fit_record: FitRecord | None = None
    bias: NDArray[np.float32] | None = None
    matrix: NDArray[np.float32] | None = None
    flops_per_text = 0.0

    def __init__(
        self,
        config: IdentityHeadConfig,
        *,
        encoder: TextEncoder,
        transform: Transform | None = None,
    ) -> None:
        self.config = config
        self.transform = transform or NoTransform(NoTransformConfig())
        self._encoder = encoder
        self._width = 0
        if self.transform.needs_corpus or self.transform.needs_matrix:
            raise BadInputError(
                "head=identity reads token weights, which no transform is made for; set "
                "transform=none, or choose another head"
            )

    def identity(self) -> dict[str, Any]:
        """See `Head`."""
        return identity(self.config)

    def fit(self, corpus: Texts) -> None:
        """Check that embeddings are as wide as the vocabulary.

        Raises:
            BadInputError: If they are not.
        """
        self._width = self.read(corpus).shape[1] if len(corpus) else self.vocabulary
        known = len(self._encoder.model.tokenizer)
        if self._width < known:
            raise BadInputError(
                f"head=identity: embeddings are {self._width} wide and the tokenizer knows "
                f"{known:,} tokens; it belongs to pooling=splade"
            )

    @property
    def vocabulary(self) -> int:
        """See `Head`."""
        model = self._encoder.model
        return self._width or int(model.settings.get("vocab_size") or len(model.tokenizer))

    @property
    def lexicon(self) -> Lexicon:
        """See `Head`: the tokenizer's tokens."""
        return TokenLexicon(self._encoder.model.tokenizer, self.vocabulary)

    def read(self, texts: Texts) -> NDArray[np.float32]:
        """See `Head`: token weights, whatever follows them."""
        return texts.pooled

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """The embedding itself."""
        return embeddings
