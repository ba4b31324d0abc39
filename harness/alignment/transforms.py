"""What an embedding goes through before a head reads it; closed forms, nothing trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.alignment.affine import IDENTITY, Affine
from harness.alignment.spectrum import blocks_of, leading_directions, mean_of, variation
from harness.components import identity
from harness.errors import BadInputError

if TYPE_CHECKING:
    from harness.components import ComponentConfig
    from harness.config.transform import (
        AllButTopConfig,
        EmbedFilterConfig,
        FirstComponentConfig,
        NoTransformConfig,
    )
    from harness.embedding.texts import Texts

Matrix = Callable[[], NDArray[np.float32]]

_SEED = 0


class Transform(Protocol):
    """An affine map of embeddings (n, d)."""

    needs_corpus: bool
    """Whether `fit` learns from the documents' vectors."""

    needs_matrix: bool
    """Whether `fit` learns from the head's matrix."""

    def identity(self) -> dict[str, Any]:
        """Settings that can change a score, JSON-able, under `transform`; empty for none."""
        ...

    def fit(self, vectors: NDArray[np.float32], matrix: Matrix, texts: Texts | None = None) -> None:
        """Learn the map.

        Args:
            vectors: Of the documents that are indexed, float32 (n, d).
            matrix: Gives the head's matrix, float32 (V, d); called only where it is needed.
            texts: The documents, for a transform that reads them with another model.

        Raises:
            BadInputError: If what it learns from is empty, too small or not finite.
        """
        ...

    def apply(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embeddings (n, d) transformed, after `fit`: float32 (n, d)."""
        ...

    @property
    def flops_per_text(self) -> float:
        """FLOPs of transforming one embedding, after `fit`."""
        ...


class NoTransform:
    """Leaves embeddings as they are."""

    needs_corpus = False
    needs_matrix = False
    flops_per_text = 0.0

    def __init__(self, config: NoTransformConfig) -> None:
        self.config = config

    def identity(self) -> dict[str, Any]:
        """See `Transform`: what does nothing changes no identity."""
        return {}

    def fit(self, vectors: NDArray[np.float32], matrix: Matrix, texts: Texts | None = None) -> None:
        """See `Transform`."""

    def apply(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Transform`."""
        return IDENTITY.apply(vectors)


class _LearnedTransform:
    """A transform that `fit` makes; subclasses say how."""

    needs_corpus: ClassVar[bool] = True
    needs_matrix: ClassVar[bool] = False

    def __init__(self, config: ComponentConfig) -> None:
        self.config: Any = config
        self._affine: Affine | None = None

    def identity(self) -> dict[str, Any]:
        """See `Transform`."""
        return {"transform": identity(self.config)}

    def fit(self, vectors: NDArray[np.float32], matrix: Matrix, texts: Texts | None = None) -> None:
        """See `Transform`."""
        if self.needs_corpus and not len(vectors):
            raise BadInputError(
                f"transform={self.config.kind} cannot be fitted on an empty corpus; "
                "use transform=none"
            )
        self._affine = self._learn(vectors, matrix, texts)

    def apply(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Transform`."""
        return self._fitted().apply(vectors)

    @property
    def flops_per_text(self) -> float:
        """See `Transform`."""
        return self._fitted().flops_per_text

    def _learn(self, vectors: NDArray[np.float32], matrix: Matrix, texts: Texts | None) -> Affine:
        raise NotImplementedError

    def _fitted(self) -> Affine:
        if self._affine is None:
            raise RuntimeError("fit the transform before it is applied")
        return self._affine


class Center(_LearnedTransform):
    """h - m, m the documents' mean."""

    def _learn(self, vectors: NDArray[np.float32], matrix: Matrix, texts: Texts | None) -> Affine:
        return Affine(mean=mean_of(blocks_of(vectors))[0])


class AllButTop(_LearnedTransform):
    """h - m without its part in the documents' leading centred principal components."""

    config: AllButTopConfig

    def _learn(self, vectors: NDArray[np.float32], matrix: Matrix, texts: Texts | None) -> Affine:
        count, width = vectors.shape
        components = self.config.components or _share(width, 100)
        if components >= width:
            raise BadInputError(
                f"transform.components={components} leaves nothing of embeddings that are {width} "
                f"wide; give less than {width}"
            )
        if components >= count:
            raise BadInputError(
                f"transform.components={components} needs more than {components} documents, the "
                f"corpus has {count}; give fewer, or use transform=center"
            )
        blocks = blocks_of(vectors)
        mean, _ = mean_of(blocks)
        found = leading_directions(blocks, components, mean=mean, seed=_SEED)
        return Affine(mean=mean, basis=found.directions)


class FirstComponent(_LearnedTransform):
    """h + λu_1, λ given or the variation v_1 that a reference embedder shows."""

    config: FirstComponentConfig

    def __init__(
        self,
        config: FirstComponentConfig,
        *,
        reference_vectors: Callable[[Texts | None], NDArray[np.float32]] | None = None,
        reference_space: Mapping[str, Any] | None = None,
    ) -> None:
        """Take what λ is estimated from.

        Args:
            config: Its settings.
            reference_vectors: Gives the reference's embeddings of the documents that `fit` is
                given, in their order, float32 (n, d); where λ is not given.
            reference_space: Everything that decides these besides the texts: it stands for the
                reference's name in the identity.
        """
        super().__init__(config)
        self.reference_vectors = reference_vectors
        self.reference_space = reference_space

    def identity(self) -> dict[str, Any]:
        """See `Transform`."""
        settings = identity(self.config)
        if self.reference_space is not None:
            settings["reference"] = dict(self.reference_space)
        return {"transform": settings}

    def _learn(self, vectors: NDArray[np.float32], matrix: Matrix, texts: Texts | None) -> Affine:
        first = leading_directions(blocks_of(vectors), 1, seed=_SEED).directions
        weight = self.config.weight
        if weight is None:
            weight = self._variation(vectors, first, texts)
        return Affine(shift=weight * first[0].astype(np.float64))

    def _variation(
        self,
        vectors: NDArray[np.float32],
        first: NDArray[np.float32],
        texts: Texts | None,
    ) -> float:
        if self.reference_vectors is None:
            raise RuntimeError("pc1 needs the reference's vectors where λ is not given")
        reference = self.reference_vectors(texts)
        if reference.shape[1] != vectors.shape[1]:
            raise BadInputError(
                f"transform.reference={self.config.reference}: its embeddings are "
                f"{reference.shape[1]} wide and the model's are {vectors.shape[1]}; name an "
                "embedder that was trained from the same backbone"
            )
        with np.errstate(invalid="ignore"):  # refused below, in words
            weight = float(variation(reference, vectors, first)[0])
        if not np.isfinite(weight):
            raise BadInputError(
                f"transform.reference={self.config.reference}: λ is {weight}, because its "
                "embeddings are not finite; name another embedder, or give transform.weight"
            )
        return weight


class EmbedFilter(_LearnedTransform):
    """h without its part in the leading right singular vectors of the head's matrix."""

    needs_corpus = False
    needs_matrix = True
    config: EmbedFilterConfig

    def _learn(self, vectors: NDArray[np.float32], matrix: Matrix, texts: Texts | None) -> Affine:
        rows = matrix()
        count, width = rows.shape
        drop, keep = self.config.drop or _share(width, 32), self.config.keep
        known = min(count, width)
        if drop >= known:
            raise BadInputError(
                f"transform.drop={drop} leaves nothing of a head's matrix with {known} directions; "
                f"give less than {known}"
            )
        if keep is not None and drop + keep > known:
            raise BadInputError(
                f"transform.keep={keep} is more than the {known - drop} directions that "
                f"transform.drop={drop} leaves; give {known - drop} or less"
            )
        # The matrix decides every embedding alike, so it is worth the minutes of the exact way.
        found = leading_directions(
            blocks_of(rows), drop + (keep or 0), seed=_SEED, exact=True
        ).directions
        return Affine(basis=found[:drop]) if keep is None else Affine(basis=found[drop:], keep=True)


def _share(width: int, parts: int) -> int:
    return max(1, round(width / parts))
