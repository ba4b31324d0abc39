"""The spectrum of backbone embeddings, and how an embedder departs from it (paper section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.alignment.aligned_tokens import AlignedTokens, aligned_tokens
from harness.alignment.head import MatrixReader
from harness.alignment.spectrum import (
    adjust,
    blocks_of,
    contributions,
    leading_directions,
    variation,
)
from harness.analysis.alignment import counts_of, long_table, own_tokens
from harness.errors import BadInputError

if TYPE_CHECKING:
    from harness.alignment.head import Head
    from harness.components import ComponentConfig
    from harness.embedding.ragged import Ragged
    from harness.embedding.texts import Texts

_MULTIPLES = (-0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
_NO_MATRIX = (
    "the spectrum is read through a head's matrix, which this head has not; choose "
    "head=lm_head, tied, mlm or ridge, or leave spectrum out of parts"
)
_DECODED = 8  # tokens that a direction is described by


@dataclass(frozen=True)
class SpectrumOf:
    """The decomposition of the same texts' embeddings.

    Vectors are what the head multiplies with its matrix: of an LM head the embedding as it is.

    Attributes:
        backbone: h, float32 (n, d).
        embedder: ĥ, float32 (n, d); None where the model has no other backbone.
        directions: u_j, float32 (r, d).
        table: One row a direction: component, singular_value, share, mean_projection, variation,
            tokens.
        first_variation: v_1; NaN without an embedder.
        mean_projection: The mean of h·u_1.
    """

    backbone: NDArray[np.float32]
    embedder: NDArray[np.float32] | None
    directions: NDArray[np.float32]
    table: pd.DataFrame
    first_variation: float
    mean_projection: float

    def weights(self, asked: Sequence[float]) -> list[float]:
        """The λ of a sweep, ascending, 0 and v_1 among them.

        Where none are asked for, multiples of v_1; without an embedder of minus the mean of h·u_1,
        which takes the texts' common part in u_1 away.
        """
        known = np.isfinite(self.first_variation)
        unit = self.first_variation if known else -self.mean_projection
        chosen = [*asked, 0.0, unit] if asked else [unit * multiple for multiple in _MULTIPLES]
        return sorted({float(weight) + 0.0 for weight in chosen})  # -0 becomes 0


def spectrum_of(
    head: Head,
    backbone: NDArray[np.float32],
    embedder: NDArray[np.float32] | None,
    *,
    components: int,
    seed: int,
) -> SpectrumOf:
    """Decompose backbone embeddings, uncentred, and see how far the embedder's moved.

    Args:
        head: The backbone's, fitted.
        backbone: Embeddings of n texts, float32 (n, d).
        embedder: The embedder's of the same texts, or None.
        components: Directions wanted.
        seed: Of the randomised decomposition.

    Raises:
        BadInputError: If the two differ in width, or the head has no matrix.
    """
    _matrix(head)  # refused before the work where there is none
    projected = head.project(backbone)
    moved = None if embedder is None else head.project(embedder)
    if moved is not None and moved.shape[1] != projected.shape[1]:
        raise BadInputError(
            f"spectrum.backbone: its embeddings are {projected.shape[1]} wide and the model's "
            f"{moved.shape[1]}; name the backbone that the model was trained from"
        )
    found = leading_directions(blocks_of(projected), min(components, *projected.shape), seed=seed)
    energy = float(np.square(projected, dtype=np.float64).sum())
    directions = found.directions
    moves = np.full(len(directions), np.nan)
    if moved is not None:
        moves = variation(moved, projected, directions)
    means = projected.mean(axis=0, dtype=np.float64) @ directions.T.astype(np.float64)
    table = pd.DataFrame(
        {
            "component": np.arange(1, len(directions) + 1),
            "singular_value": found.values,
            "share": np.square(found.values) / max(energy, 1e-300),
            "mean_projection": means,
            "variation": moves,
            "tokens": [" ".join(decoded(head, direction)) for direction in directions],
        }
    )
    return SpectrumOf(projected, moved, directions, table, float(moves[0]), float(means[0]))


def decoded(head: Head, direction: NDArray[np.float32], count: int = _DECODED) -> list[str]:
    """The tokens that a direction adds most to, largest first; special ones are left out."""
    allowed = head.lexicon.allowed(drop_special=True, drop_punctuation=False, drop_stopwords=False)
    scores = np.where(allowed, _matrix(head) @ direction, -np.inf)
    best = np.argsort(-scores, kind="stable")[: min(count, int(allowed.sum()))]
    return [head.lexicon.name(int(term)) for term in best]


def contributions_table(
    head: Head, found: SpectrumOf, texts: Texts, *, examples: int, top_k: int
) -> pd.DataFrame:
    """How much of each aligned token's logit u_1 gives and how much the rest, for some texts."""
    few = slice(0, examples)
    tokens = _read(head, found.backbone[few], top_k, texts)
    first, rest = contributions(found.backbone[few], found.directions[0], _matrix(head), tokens.ids)
    shown, literal = _few(head, texts, examples)
    return long_table(
        head, tokens.ids, literal, shown, {}, logit=first + rest, first=first, rest=rest
    )


def adjusted_table(
    head: Head, found: SpectrumOf, texts: Texts, *, weight: float, examples: int, top_k: int
) -> pd.DataFrame:
    """Aligned tokens of the backbone, of h + λu_1, and of the embedder where there is one."""
    few = slice(0, examples)
    backbone = found.backbone[few]
    states = {"backbone": backbone, "adjusted": adjust(backbone, found.directions[0], weight)}
    if found.embedder is not None:
        states["embedder"] = found.embedder[few]
    shown, literal = _few(head, texts, examples)
    parts = []
    for state, vectors in states.items():
        tokens = _read(head, vectors, top_k, texts)
        parts.append(
            long_table(head, tokens.ids, literal, shown, {"state": state}, weight=tokens.weights)
        )
    return pd.concat(parts, ignore_index=True)


def hits(head: Head, found: SpectrumOf, texts: Texts, *, weight: float, k: int) -> float:
    """Hit@K of h + λu_1."""
    adjusted = adjust(found.backbone, found.directions[0], weight)
    device = texts.encoder.backend.device
    counts = counts_of(
        head, adjusted, own_tokens(head, texts), k=k, device=device, reader=_reader(head)
    )
    return float(counts.hit.mean()) if len(counts.hit) else float("nan")


def _read(head: Head, projected: NDArray[np.float32], top_k: int, texts: Texts) -> AlignedTokens:
    allowed = head.lexicon.allowed(drop_special=True, drop_punctuation=False, drop_stopwords=False)
    return aligned_tokens(
        _reader(head), projected, top_k, allowed=allowed, device=texts.encoder.backend.device
    )


def _reader(head: Head) -> MatrixReader:
    return MatrixReader(_matrix(head), head.bias)


def _few(head: Head, texts: Texts, count: int) -> tuple[Texts, Ragged]:
    """The first texts, and their own terms."""
    few = texts.encoder.texts(texts.ids[:count], texts.texts[:count], texts.side)
    return few, head.lexicon.literal(few)


def refuse_without_matrix(config: ComponentConfig) -> None:
    """Refuse a head through which no spectrum can be read.

    Raises:
        BadInputError: If the head never has a matrix.
    """
    if config.kind in ("identity", "whole_word"):
        raise BadInputError(_NO_MATRIX)


def _matrix(head: Head) -> NDArray[np.float32]:
    if head.matrix is None:
        raise BadInputError(_NO_MATRIX)
    return head.matrix
