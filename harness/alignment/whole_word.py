"""A head of whole words, from the logits of the tokens that they are written with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from harness.alignment.aligned_tokens import logit_blocks
from harness.alignment.derived import DerivedHead
from harness.alignment.lexicon import Lexicon, stemmed
from harness.alignment.word_forms import WordForms
from harness.errors import BadInputError

if TYPE_CHECKING:
    from harness.alignment.transforms import Transform
    from harness.config import WholeWordHeadConfig
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.texts import Texts

_BLOCK_BYTES = 64 << 20  # of token or form logits at a time


class WholeWordHead(DerivedHead):
    """The logit of a word from its written forms', theirs from their tokens'.

    Nothing is multiplied with an embedding but what the head of tokens does: `project` gives the
    words' logits.
    """

    matrix: NDArray[np.float32] | None = None
    bias: NDArray[np.float32] | None = None

    def __init__(
        self,
        config: WholeWordHeadConfig,
        *,
        encoder: TextEncoder,
        transform: Transform | None = None,
        other_corpus: Callable[[TextEncoder], Texts] | None = None,
    ) -> None:
        """See `DerivedHead`.

        Raises:
            BadInputError: If Snowball does not know the stemmer's language.
        """
        stemmed([], config.stemmer)
        super().__init__(config, encoder=encoder, transform=transform, other_corpus=other_corpus)
        self.config = config
        self.needs_corpus = True
        self._words: _Words | None = None

    def fit(self, corpus: Texts) -> None:
        """Fit the head of tokens, and find the words.

        Raises:
            BadInputError: If there are none.
        """
        self.of.fit(corpus)
        stemmer, least = self.config.stemmer, self.config.min_documents
        forms = corpus.derived(
            ("word forms", stemmer, least),
            lambda: WordForms.of(
                corpus, self._encoder.model.tokenizer, stemmer=stemmer, min_documents=least
            ),
        )
        if not forms.lexicon.size:
            raise BadInputError(
                f"head=whole_word finds no word in the {len(corpus):,} documents that are indexed; "
                "lower head.min_documents, or use a head of tokens"
            )
        self._words = _Words.of(forms, self._encoder.backend.device)

    @property
    def lexicon(self) -> Lexicon:
        """See `Head`: the words."""
        return self._fitted().forms.lexicon

    @property
    def vocabulary(self) -> int:
        """See `Head`."""
        return self.lexicon.size

    @property
    def flops_per_text(self) -> float:
        """See `Head`: the head of tokens', and 1 for each addition, comparison and division.

        P tokens become F forms in P - F of them, in F more for a mean; these become V words in
        F - V.
        """
        forms = self._fitted().forms
        combined = len(forms.pieces.values) - self.vocabulary
        if self.config.subwords == "mean":
            combined += len(forms.pieces)
        return self.of.flops_per_text + combined

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """The logits of the words, float32 (n, V)."""
        words = self._fitted()
        result = np.empty((len(embeddings), self.vocabulary), np.float32)
        size = max(_BLOCK_BYTES // (4 * max(self.of.vocabulary, len(words.forms.pieces))), 1)
        every = np.arange(len(embeddings))
        for start in range(0, len(embeddings), size):
            rows = every[start : start + size]
            for block, tokens in logit_blocks(
                self.of, embeddings, rows, self._encoder.backend.device
            ):
                forms = words.pieces.combine(tokens.T.contiguous(), self.config.subwords)
                logits = words.groups.combine(forms, self.config.forms)
                result[block] = logits.T.cpu().numpy()
        return result

    def _fitted(self) -> _Words:
        if self._words is None:
            raise RuntimeError("fit the head before its words are read")
        return self._words


@dataclass(frozen=True)
class _Groups:
    """Groups of rows, none of them empty; each becomes one row.

    Attributes:
        members: Rows, group by group.
        starts: Where each group begins among them.
    """

    members: torch.Tensor
    starts: torch.Tensor

    def combine(self, rows: torch.Tensor, how: str) -> torch.Tensor:
        """The `mean`, `sum` or `max` of each group's rows: (groups, n) from rows (m, n).

        NaN counts as infinity for `max`, which would lose it; neither is an index's weight.
        """
        if len(self.members) == len(self.starts):
            return rows[self.members]
        if how == "max":
            rows = rows.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
        return torch.nn.functional.embedding_bag(self.members, rows, self.starts, mode=how)


@dataclass(frozen=True)
class _Words:
    """The words of a corpus, and how their logits are put together, on the device.

    Attributes:
        forms: See `WordForms`.
        pieces: Tokens that become forms.
        groups: Forms that become words.
    """

    forms: WordForms
    pieces: _Groups
    groups: _Groups

    @classmethod
    def of(cls, forms: WordForms, device: str) -> _Words:
        return cls(
            forms=forms,
            pieces=_groups(forms.pieces.values, forms.pieces.offsets, device),
            groups=_groups(np.arange(len(forms.pieces)), forms.offsets, device),
        )


def _groups(
    members: NDArray[np.int32] | NDArray[np.int64], offsets: NDArray[np.int64], device: str
) -> _Groups:
    return _Groups(
        torch.from_numpy(members.astype(np.int64)).to(device),
        torch.from_numpy(offsets[:-1].copy()).to(device),
    )
