"""What heads that are made of another head share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.config import RidgeHeadConfig, build, identity, innermost_head

if TYPE_CHECKING:
    from harness.alignment.head import FitRecord, Head
    from harness.alignment.transforms import Transform
    from harness.config import DerivedHeadConfig
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.texts import Texts


class DerivedHead:
    """Reads the vectors that another head reads; subclasses say what they make of its logits.

    Attributes:
        of: The other head.
    """

    def __init__(
        self,
        config: DerivedHeadConfig,
        *,
        encoder: TextEncoder,
        transform: Transform | None = None,
        other_corpus: Callable[[TextEncoder], Texts] | None = None,
    ) -> None:
        """Build the other head.

        Args:
            config: Its settings, with the other head's under `of`.
            encoder: See the other head.
            transform: What embeddings go through first, in the other head.
            other_corpus: See `RidgeHead`; only that takes it.
        """
        more: dict[str, Any] = {}
        if isinstance(innermost_head(config), RidgeHeadConfig):
            more["other_corpus"] = other_corpus
        self.of: Head = build(config.of, encoder=encoder, transform=transform, **more)
        self.transform = self.of.transform
        self.needs_corpus = self.of.needs_corpus
        self._settings = config
        self._encoder = encoder

    def identity(self) -> dict[str, Any]:
        """See `Head`; the other head's under `of`."""
        return {**identity(self._settings), "of": self.of.identity()}

    @property
    def fit_record(self) -> FitRecord | None:
        """See `Head`: the other head's."""
        return self.of.fit_record

    def read(self, texts: Texts) -> NDArray[np.float32]:
        """See `Head`: what the other head reads."""
        return self.of.read(texts)
