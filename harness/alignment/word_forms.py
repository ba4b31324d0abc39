"""How the words of a corpus are written, and the tokens that each way of writing takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.alignment.lexicon import WordLexicon, stemmed, surface_words
from harness.alignment.vocabulary import WORD_BEGINNINGS
from harness.embedding.ragged import Ragged

if TYPE_CHECKING:
    from harness.embedding.texts import Texts

_FORMS = 4  # of a word, the most frequent ones: the tail is typing errors and headlines
_PIECES = 16  # of a form; a longer one, hardly a word, is known by its beginning
_BEFORE = "a"  # stands in front of a form, so that it is inside a text
_AT_ONCE = 65_536  # forms that are tokenised together


@dataclass(frozen=True)
class WordForms:
    """W words, their F written forms and the tokens of these.

    Attributes:
        lexicon: The words.
        pieces: F rows of token ids, none of them empty; the forms of a word stand together.
        offsets: int64 (W + 1,): word w has the forms from offsets[w] to offsets[w + 1].
    """

    lexicon: WordLexicon
    pieces: Ragged
    offsets: NDArray[np.int64]

    @classmethod
    def of(
        cls, corpus: Texts, tokenizer: Any, *, stemmer: str | None, min_documents: int
    ) -> WordForms:
        """The words of a corpus that the tokenizer can write.

        A word keeps its most frequent forms, of equally frequent ones the smaller by code point.
        Forms that take the same tokens are one.

        Args:
            corpus: Documents.
            tokenizer: A fast Hugging Face tokenizer.
            stemmer: See `WordLexicon`.
            min_documents: Words that fewer documents hold are left out.
        """
        lexicon = WordLexicon.of(corpus, stemmer=stemmer, min_documents=min_documents)
        written = _written(corpus, lexicon)
        distinct = [form for forms in written.values() for form in forms]
        tokens = dict(zip(distinct, word_tokens(tokenizer, distinct), strict=True))
        words, pieces, counts = [], [], []
        for word, forms in written.items():
            kept = _most_frequent(forms, tokens)
            if kept:
                words.append(word)
                pieces.extend(kept)
                counts.append(len(kept))
        return cls(
            lexicon=WordLexicon(words, stemmer=stemmer),
            pieces=Ragged.from_rows(pieces),
            offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)]),
        )


def word_tokens(tokenizer: Any, words: Sequence[str]) -> Iterator[tuple[int, ...]]:
    """The first token ids of words as they stand inside a text, after a space.

    A token that is that space alone is none of the word's. A word that the tokenizer cannot write
    has no tokens.
    """
    before = _ids(tokenizer, [_BEFORE])[0]
    spaces = _space_tokens(tokenizer)
    for start in range(0, len(words), _AT_ONCE):
        chunk = words[start : start + _AT_ONCE]
        inside = _ids(tokenizer, [f"{_BEFORE} {word}" for word in chunk])
        for word, ids in zip(chunk, inside, strict=True):
            own = ids[len(before) :]
            if ids[: len(before)] != before:  # it merges across the space
                own = _ids(tokenizer, [word])[0]
            if own and own[0] in spaces:
                own = own[1:]
            yield () if tokenizer.unk_token_id in own else tuple(own[:_PIECES])


def _written(corpus: Texts, lexicon: WordLexicon) -> dict[str, dict[str, int]]:
    """How often each word of the lexicon is written how, forms ascending."""
    counts: Counter[str] = Counter()
    for text in corpus.texts:
        counts.update(surface_words(text))
    forms = sorted(counts)
    words = stemmed([[form.lower() for form in forms]], lexicon.stemmer)[0]
    written: dict[str, dict[str, int]] = {word: {} for word in lexicon.words}
    for form, word in zip(forms, words, strict=True):
        if word in written:
            written[word][form] = counts[form]
    for word, found in written.items():
        if not found:  # a whole text in lower case may fall into other words than its words do
            found[word] = 0
    return written


def _most_frequent(
    forms: Mapping[str, int], tokens: Mapping[str, tuple[int, ...]]
) -> list[tuple[int, ...]]:
    """The tokens of a word's most frequent forms, each once."""
    frequency: dict[tuple[int, ...], int] = {}
    for form, count in forms.items():
        if pieces := tokens[form]:
            frequency[pieces] = frequency.get(pieces, 0) + count
    return sorted(frequency, key=lambda pieces: -frequency[pieces])[:_FORMS]


def _ids(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    encoded: list[list[int]] = tokenizer(
        texts,
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )["input_ids"]
    return encoded


def _space_tokens(tokenizer: Any) -> set[int]:
    """Tokens that are a space alone; to some tokenizers the marks of it are letters."""
    vocabulary = tokenizer.get_vocab()
    marks = [mark for mark in (*WORD_BEGINNINGS, " ") if mark in vocabulary]
    return {
        vocabulary[mark] for mark in marks if not tokenizer.convert_tokens_to_string([mark]).strip()
    }
