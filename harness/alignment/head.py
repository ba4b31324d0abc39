"""What a head is: it reads an embedding as token logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from harness.alignment.lexicon import Lexicon
    from harness.alignment.transforms import Transform
    from harness.embedding.texts import Texts


_BLOCK = 16_384  # rows held in float64 at a time


@dataclass(frozen=True)
class FitRecord:
    """What fitting a head took.

    Attributes:
        documents: Texts that it was fitted on.
        width: Columns of its design matrix, the constant one included.
        nonzeros: Non-zero entries of the target matrix.
        vocabulary: Columns of the target matrix that hold any; of the others nothing is learned.
        seconds: Wall time of the fit when it was computed.
        regularisation: λ.
        chosen: Whether λ was chosen on the corpus.
        criterion: By which it was; None where it was given.
        strengths: How many λ were tried.
        sample: Documents that each of them was judged on; 0 where it is by sums over all.
        sample_nonzeros: Non-zero entries of their rows of the target matrix.
        query_nonzeros: Words of the queries that were made of them.
    """

    documents: int
    width: int
    nonzeros: int
    vocabulary: int
    seconds: float
    regularisation: float
    chosen: bool
    criterion: str | None = None
    strengths: int = 0
    sample: int = 0
    sample_nonzeros: int = 0
    query_nonzeros: int = 0


class LogitReader(Protocol):
    """Logits of an embedding h over V terms: `project(h) @ matrix.T + bias`.

    Without a matrix `project(h)` is the logits.
    """

    @property
    def matrix(self) -> NDArray[np.float32] | None:
        """float32 (V, d), after `fit`; None where nothing is multiplied."""
        ...

    @property
    def bias(self) -> NDArray[np.float32] | None:
        """float32 (V,), or None."""
        ...

    @property
    def vocabulary(self) -> int:
        """V, after `fit`."""
        ...

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is multiplied with the matrix: float32 (n, d) from embeddings (n, d)."""
        ...


@dataclass(frozen=True)
class MatrixReader:
    """A matrix that reads vectors as they are.

    Attributes:
        matrix: float32 (V, d).
        bias: float32 (V,), or None.
    """

    matrix: NDArray[np.float32]
    bias: NDArray[np.float32] | None

    @property
    def vocabulary(self) -> int:
        """See `LogitReader`."""
        return len(self.matrix)

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """The vectors themselves."""
        return embeddings


class Head(LogitReader, Protocol):
    """A `LogitReader` that belongs to a model: it knows its terms, and may learn from a corpus."""

    needs_corpus: bool
    """Whether `fit` learns from the corpus; else it only checks."""
    transform: Transform
    """What an embedding goes through before it is read; part of `project`."""

    def identity(self) -> dict[str, Any]:
        """Everything about the head that can change a score, JSON-able."""
        ...

    def fit(self, corpus: Texts) -> None:
        """Prepare for the corpus that is indexed; a head with a matrix of its own loads it."""
        ...

    @property
    def lexicon(self) -> Lexicon:
        """The terms that the V columns stand for, after `fit`."""
        ...

    @property
    def flops_per_text(self) -> float:
        """FLOPs of reading one embedding, after `fit`."""
        ...

    @property
    def fit_record(self) -> FitRecord | None:
        """What the fit took; None when nothing was fitted."""
        ...

    def read(self, texts: Texts) -> NDArray[np.float32]:
        """The vectors of texts that the head reads, float32 (n, d).

        A backbone's own head reads pooled token states, whatever dense layers follow them.
        """
        ...


def normalise(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows divided by their L2 norms, float32; zero rows stay zero."""
    scaled = np.empty(vectors.shape, np.float32)
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK].astype(np.float64)
        block /= np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12)
        scaled[start : start + _BLOCK] = block
    return scaled
