"""What bm25s makes of a corpus, from arrays instead of lists of words."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import bm25s
import numpy as np
from bm25s import scoring
from scipy import sparse

from harness.embedding.ragged import Ragged

_WORD = re.compile(r"\w\w+")  # what bm25s' own, with \b on both sides, finds too
_AT_ONCE = 4096  # texts that are held as words


@dataclass(frozen=True)
class CorpusWords:
    """The words of texts.

    Attributes:
        ids: Numbers of each text's words, in their order, repeats kept.
        vocab: Word to number.
    """

    ids: Ragged
    vocab: dict[str, int]

    @classmethod
    def of(
        cls, texts: Sequence[str], *, stopwords: str | list[str], stemmer: Any = None
    ) -> CorpusWords:
        """Split texts as `bm25s.tokenize` does, which sees each distinct word once.

        Args:
            texts: The texts.
            stopwords: See `bm25s.tokenize`.
            stemmer: See `bm25s.tokenize`.
        """
        numbers: defaultdict[str, int] = defaultdict()
        numbers.default_factory = numbers.__len__
        written = Ragged.concatenate(
            _split(texts[start : start + _AT_ONCE], numbers)
            for start in range(0, len(texts), _AT_ONCE)
        )
        every = " ".join(numbers)
        stems, kept = (
            bm25s.tokenize(every, return_ids=False, show_progress=False, **settings)[0]
            for settings in ({"stopwords": [], "stemmer": stemmer}, {"stopwords": stopwords})
        )
        content = set(kept)
        vocab: dict[str, int] = {}
        of_word = np.array(
            [
                vocab.setdefault(stem, len(vocab)) if word in content else -1
                for word, stem in zip(numbers, stems, strict=True)
            ],
            np.int32,
        )
        ids = Ragged(of_word[written.values], written.offsets)
        return cls(ids.keep(ids.values >= 0), vocab)


class WordIndex(bm25s.BM25):  # type: ignore[misc]  # it has no types
    """bm25s' index with the same scores, built for all documents at once."""

    def build_index_from_ids(
        self, unique_token_ids: list[int], corpus_token_ids: Ragged, **_: Any
    ) -> dict[str, Any]:
        """See `bm25s.BM25.build_index_from_ids`.

        Args:
            unique_token_ids: The numbers of the words.
            corpus_token_ids: Numbers of each document's words.
        """
        self.nonoccurrence_array = None
        lengths = corpus_token_ids.lengths
        counts = sparse.csr_array(
            (
                np.ones(len(corpus_token_ids.values), np.float32),
                corpus_token_ids.values,
                corpus_token_ids.offsets,
            ),
            shape=(len(lengths), len(unique_token_ids)),
            copy=True,
        )
        counts.sum_duplicates()
        frequency = np.bincount(counts.indices, minlength=counts.shape[1])
        idf = scoring._build_idf_array(
            dict(enumerate(frequency.tolist())),
            len(lengths),
            scoring._select_idf_scorer(self.idf_method),
            self.dtype,
        )
        saturated = scoring._select_tfc_scorer(self.method)(
            counts.data,
            np.repeat(lengths, np.diff(counts.indptr)),
            lengths.mean(),
            self.k1,
            self.b,
            self.delta,
        )
        counts.data = (idf[counts.indices] * saturated).astype(self.dtype)
        postings = counts.tocsc()
        return {
            "data": postings.data,
            "indices": postings.indices.astype(self.int_dtype),
            "indptr": postings.indptr.astype(np.int64),
            "num_docs": len(lengths),
        }


def _split(texts: Sequence[str], numbers: defaultdict[str, int]) -> Ragged:
    """The numbers of the words of texts; new words get the next ones."""
    words = [_WORD.findall(text.lower()) for text in texts]
    offsets = np.zeros(len(words) + 1, np.int64)
    np.cumsum([len(row) for row in words], out=offsets[1:])
    values = np.fromiter(
        map(numbers.__getitem__, chain.from_iterable(words)), np.int32, int(offsets[-1])
    )
    return Ragged(values, offsets)
