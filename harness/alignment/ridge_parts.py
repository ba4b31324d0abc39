"""What a ridge head learns from: a corpus's embeddings and terms, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.alignment.ridge_fit import RidgeSums
from harness.alignment.term_weights import TermWeights
from harness.alignment.vocabulary import token_counts

if TYPE_CHECKING:
    from harness.alignment.lexicon import Lexicon
    from harness.embedding.ragged import Ragged
    from harness.embedding.texts import Texts

T = TypeVar("T")


class CorpusParts:
    """The inputs X and targets Y of a fit, part by part; a corpus in memory is one part.

    Attributes:
        learned: Columns that a target has a weight in, ascending, after `weigh`.
    """

    learned: NDArray[np.int64]

    def __init__(
        self,
        corpus: Texts,
        lexicon: Lexicon,
        *,
        read: Callable[[Texts], NDArray[np.float32]],
        project: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    ) -> None:
        """Take what they are made of.

        Args:
            corpus: The documents.
            lexicon: Their terms.
            read: A head's embeddings of texts.
            project: What X is of embeddings.
        """
        self._corpus, self._lexicon = corpus, lexicon
        self._read, self._project = read, project
        self._whole: dict[str, Any] = {}  # views of a corpus that is one part
        if next(corpus.parts()) is corpus:
            self._input(corpus)
            self._tokens(corpus)

    def weigh(self, allowed: NDArray[np.bool_], target: str, min_documents: int) -> None:
        """Learn how terms are weighted, and which of them.

        Args:
            allowed: Terms that may be learned, bool (V,).
            target: See `TermWeights.rows`.
            min_documents: How many documents hold a term that is learned.
        """
        self._allowed, self._target = allowed, target
        if min_documents > 1:
            frequency = sum(
                np.bincount(counts.indices, minlength=len(allowed)) for counts in self._counts()
            )
            self._allowed = allowed & (frequency >= min_documents)
            self._whole.pop("counts", None)
        self._terms = TermWeights.of_parts(self._counts())
        held = np.zeros(len(allowed), np.bool_)
        for part in self._corpus.parts():
            held[self._weighted(part).indices] = True
        self.learned = np.flatnonzero(held)  # a term that no document holds has the weight 0

    def sums(self) -> RidgeSums:
        """Over all documents."""
        width = self._input(next(self._corpus.parts())).shape[1]
        return RidgeSums.of_parts(
            ((self._input(part), self._targets(part)) for part in self._corpus.parts()),
            width,
            len(self.learned),
        )

    def rows_of(self) -> tuple[Any, Any]:
        """X and Y to be indexed by rows, of which few are held."""
        return _Rows(self, 0), _Rows(self, 1)

    def __len__(self) -> int:
        return len(self._corpus)

    def pick(self, rows: NDArray[np.int64], which: int) -> Any:
        """Some ascending rows of X (0) or of Y (1)."""
        found, start = [], 0
        for part in self._corpus.parts():
            own = slice(*np.searchsorted(rows, [start, start + len(part)]))
            make = self._targets if which else self._input
            if own.stop > own.start:
                found.append(make(part)[rows[own] - start])
            start += len(part)
        return sparse.csr_array(sparse.vstack(found)) if which else np.concatenate(found)

    def _counts(self) -> Iterator[sparse.csr_array]:
        return map(self._counted, self._corpus.parts())

    def _tokens(self, part: Texts) -> Ragged:
        return self._once("tokens", part, lambda: self._lexicon.literal(part))

    def _counted(self, part: Texts) -> sparse.csr_array:
        return self._once("counts", part, lambda: token_counts(self._tokens(part), self._allowed))

    def _weighted(self, part: Texts) -> sparse.csr_array:
        counts = self._counted(part)
        return self._once("weighted", part, lambda: self._terms.rows(counts, self._target))

    def _targets(self, part: Texts) -> sparse.csr_array:
        return self._once("targets", part, lambda: self._weighted(part)[:, self.learned])

    def _input(self, part: Texts) -> NDArray[np.float32]:
        return self._once("input", part, lambda: self._project(self._read(part)))

    def _once(self, name: str, part: Texts, make: Callable[[], T]) -> T:
        """A view of a part; kept where the part is the corpus."""
        if part is not self._corpus:
            return make()
        if name not in self._whole:
            self._whole[name] = make()
        kept: T = self._whole[name]
        return kept


class _Rows:
    """X or Y of all documents; see `CorpusParts.pick`."""

    def __init__(self, parts: CorpusParts, which: int) -> None:
        self._parts, self._which = parts, which

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, rows: NDArray[np.int64]) -> Any:
        return self._parts.pick(rows, self._which)
