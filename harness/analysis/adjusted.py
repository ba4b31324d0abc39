"""A head whose embeddings are moved along one direction (paper section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.alignment.spectrum import adjust

if TYPE_CHECKING:
    from harness.alignment.head import FitRecord, Head
    from harness.alignment.lexicon import Lexicon
    from harness.embedding.texts import Texts


class AdjustedHead:
    """A fitted head that reads h + λu_1 where it read h, h what it multiplies with its matrix."""

    needs_corpus = False
    fit_record: FitRecord | None = None

    def __init__(self, head: Head, direction: NDArray[np.float32], weight: float) -> None:
        """Adjust a head.

        Args:
            head: Fitted.
            direction: u_1, float32 (d,).
            weight: λ.
        """
        self.transform = head.transform
        self._head = head
        self._direction = direction
        self._weight = weight

    def identity(self) -> dict[str, Any]:
        """See `Head`."""
        adjusted = {"weight": self._weight, "direction": self._direction.tolist()}
        return {"of": self._head.identity(), "adjusted": adjusted}

    def fit(self, corpus: Texts) -> None:
        """See `Head`: the head is fitted already."""

    @property
    def matrix(self) -> NDArray[np.float32] | None:
        """See `Head`."""
        return self._head.matrix

    @property
    def bias(self) -> NDArray[np.float32] | None:
        """See `Head`."""
        return self._head.bias

    @property
    def vocabulary(self) -> int:
        """See `Head`."""
        return self._head.vocabulary

    @property
    def lexicon(self) -> Lexicon:
        """See `Head`."""
        return self._head.lexicon

    @property
    def flops_per_text(self) -> float:
        """See `Head`: d additions more."""
        return self._head.flops_per_text + len(self._direction)

    def read(self, texts: Texts) -> NDArray[np.float32]:
        """See `Head`."""
        return self._head.read(texts)

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Head`: h + λu_1."""
        return adjust(self._head.project(embeddings), self._direction, self._weight)
