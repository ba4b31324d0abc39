"""What bm25s makes of a corpus, from arrays instead of lists of words."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
from bm25s import scoring
from numpy.typing import NDArray
from scipy import sparse

from harness.embedding.ragged import Ragged
from harness.embedding.streamed_texts import PART
from harness.retrieval.word_files import WordFiles, merge_postings

_WORD = re.compile(r"\w\w+")  # what bm25s' own, with \b on both sides, finds too
_AT_ONCE = 4096  # texts that are held as words


@dataclass(frozen=True)
class CorpusWords:
    """The words of texts.

    Attributes:
        ids: Numbers of each text's words, in their order, repeats kept; in files where texts are.
        vocab: Word to number.
    """

    ids: Ragged | WordFiles
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
        numbers = _numbers()
        written = Ragged.concatenate(
            _split(texts[start : start + _AT_ONCE], numbers)
            for start in range(0, len(texts), _AT_ONCE)
        )
        of_word, vocab = _stems(numbers, stopwords, stemmer)
        ids = Ragged(of_word[written.values], written.offsets)
        return cls(ids.keep(ids.values >= 0), vocab)

    @classmethod
    def in_files(
        cls, texts: Sequence[str], folder: Path, *, stopwords: str | list[str], stemmer: Any = None
    ) -> CorpusWords:
        """The same of texts that are read a part at a time, the numbers in files; see `of`.

        Args:
            texts: The texts.
            folder: An empty folder.
            stopwords: See `bm25s.tokenize`.
            stemmer: See `bm25s.tokenize`.

        Raises:
            BadInputError: If the disk is full.
        """
        numbers = _numbers()

        def part(start: int, end: int) -> Ragged:
            return Ragged.concatenate(
                _split(texts[first : min(first + _AT_ONCE, end)], numbers)
                for first in range(start, end, _AT_ONCE)
            )

        count = len(texts)
        parts = (part(start, min(start + PART, count)) for start in range(0, count, PART))
        written = WordFiles(folder, parts)
        of_word, vocab = _stems(numbers, stopwords, stemmer)
        return cls(written.renumbered(of_word), vocab)


class WordIndex(bm25s.BM25):  # type: ignore[misc]  # it has no types
    """bm25s' index with the same scores, built for all documents at once."""

    def build_index_from_ids(
        self, unique_token_ids: list[int], corpus_token_ids: Ragged | WordFiles, **_: Any
    ) -> dict[str, Any]:
        """See `bm25s.BM25.build_index_from_ids`.

        Args:
            unique_token_ids: The numbers of the words.
            corpus_token_ids: Numbers of each document's words.
        """
        self.nonoccurrence_array = None
        words = len(unique_token_ids)
        if isinstance(corpus_token_ids, WordFiles):
            return self._merged(corpus_token_ids, words)
        lengths = corpus_token_ids.lengths
        counts = _counts(corpus_token_ids, words)
        frequency = np.bincount(counts.indices, minlength=words)
        idf = self._idf(frequency, len(lengths))
        postings = self._weighted(counts, lengths, idf, lengths.mean()).tocsc()
        return {
            "data": postings.data,
            "indices": postings.indices.astype(self.int_dtype),
            "indptr": postings.indptr.astype(np.int64),
            "num_docs": len(lengths),
        }

    def _merged(self, texts: WordFiles, words: int) -> dict[str, Any]:
        """The same index, its postings in files."""
        frequency, documents, total = np.zeros(words, np.int64), 0, 0
        for part in texts.parts():
            frequency += np.bincount(_counts(part, words).indices, minlength=words)
            documents, total = documents + len(part), total + len(part.values)
        idf, mean = self._idf(frequency, documents), np.float64(total / documents)
        chunks = (
            self._weighted(_counts(part, words), part.lengths, idf, mean) for part in texts.parts()
        )
        postings = merge_postings(chunks, frequency, texts.folder)
        return {**postings._asdict(), "num_docs": documents}

    def _idf(self, frequency: NDArray[np.int64], documents: int) -> NDArray[np.float32]:
        idf: NDArray[np.float32] = scoring._build_idf_array(
            dict(enumerate(frequency.tolist())),
            documents,
            scoring._select_idf_scorer(self.idf_method),
            self.dtype,
        )
        return idf

    def _weighted(
        self,
        counts: sparse.csr_array,
        lengths: NDArray[np.int64],
        idf: NDArray[np.float32],
        mean: np.float64,
    ) -> sparse.csr_array:
        """Counts turned into weights, in place.

        Args:
            counts: How often each text holds each word, CSR float32 (n, words).
            lengths: Words of each text, (n,).
            idf: Of each word, (words,).
            mean: Words of a text of the corpus.
        """
        saturated = scoring._select_tfc_scorer(self.method)(
            counts.data,
            np.repeat(lengths, np.diff(counts.indptr)),
            mean,
            self.k1,
            self.b,
            self.delta,
        )
        counts.data = (idf[counts.indices] * saturated).astype(self.dtype)
        return counts


def _counts(texts: Ragged, words: int) -> sparse.csr_array:
    """How often each text holds each word, CSR float32 (n, words)."""
    ones = np.ones(len(texts.values), np.float32)
    shape = (len(texts), words)
    counts = sparse.csr_array((ones, texts.values, texts.offsets), shape=shape, copy=True)
    counts.sum_duplicates()
    return counts


def _numbers() -> defaultdict[str, int]:
    """Gives each new word the next number."""
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    return numbers


def _stems(
    numbers: Mapping[str, int], stopwords: str | list[str], stemmer: Any
) -> tuple[NDArray[np.int32], dict[str, int]]:
    """The number of each word's stem, -1 for a stopword, (words,); and of each stem."""
    every = " ".join(numbers)
    stems, kept = (
        bm25s.tokenize(every, return_ids=False, show_progress=False, **settings)[0]
        for settings in ({"stopwords": [], "stemmer": stemmer}, {"stopwords": stopwords})
    )
    content = set(kept)
    vocab: dict[str, int] = {}
    of_word = [
        vocab.setdefault(stem, len(vocab)) if word in content else -1
        for word, stem in zip(numbers, stems, strict=True)
    ]
    return np.array(of_word, np.int32), vocab


def _split(texts: Sequence[str], numbers: defaultdict[str, int]) -> Ragged:
    """The numbers of the words of texts; new words get the next ones."""
    words = [_WORD.findall(text.lower()) for text in texts]
    offsets = np.zeros(len(words) + 1, np.int64)
    np.cumsum([len(row) for row in words], out=offsets[1:])
    values = np.fromiter(
        map(numbers.__getitem__, chain.from_iterable(words)), np.int32, int(offsets[-1])
    )
    return Ragged(values, offsets)
