"""What a head's columns stand for: a tokenizer's tokens, or whole words of the indexed corpus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import regex
from numpy.typing import NDArray

from harness.alignment.vocabulary import allowed_tokens, readable_token
from harness.embedding.ragged import Ragged
from harness.errors import BadInputError

if TYPE_CHECKING:
    from harness.embedding.texts import Texts

_WORD = regex.compile(r"[\p{L}\p{N}\p{M}_]+")  # marks are parts of words, unlike in re's \w


class Lexicon(Protocol):
    """The terms that a head's logits belong to, by column."""

    @property
    def size(self) -> int:
        """V."""
        ...

    def literal(self, texts: Texts) -> Ragged:
        """The terms that stand in each text, repeats kept; unknown ones are left out."""
        ...

    def allowed(
        self, *, drop_special: bool, drop_punctuation: bool, drop_stopwords: bool
    ) -> NDArray[np.bool_]:
        """Which terms may be kept, bool (V,); see `allowed_tokens`."""
        ...

    def name(self, term: int) -> str:
        """A term as a person reads it."""
        ...


class TokenLexicon:
    """The tokens of a tokenizer; a padded matrix has columns that no token belongs to."""

    def __init__(self, tokenizer: Any, size: int) -> None:
        self._tokenizer = tokenizer
        self._size = size

    @property
    def size(self) -> int:
        """See `Lexicon`."""
        return self._size

    def literal(self, texts: Texts) -> Ragged:
        """See `Lexicon`: token ids of the bare texts."""
        return texts.literal_tokens

    def allowed(
        self, *, drop_special: bool, drop_punctuation: bool, drop_stopwords: bool
    ) -> NDArray[np.bool_]:
        """See `Lexicon`."""
        return allowed_tokens(
            self._tokenizer,
            self._size,
            drop_special=drop_special,
            drop_punctuation=drop_punctuation,
            drop_stopwords=drop_stopwords,
        )

    def name(self, term: int) -> str:
        """See `Lexicon`."""
        return readable_token(self._tokenizer, term)


class WordLexicon:
    """Words in lower case, or their stems, in ascending order."""

    def __init__(self, words: Sequence[str], *, stemmer: str | None) -> None:
        """Take the words.

        Args:
            words: Distinct, ascending.
            stemmer: The Snowball language by which a text's words are stemmed, or None.
        """
        self.words = list(words)
        self.stemmer = stemmer
        self._columns = {word: column for column, word in enumerate(self.words)}

    @classmethod
    def of(cls, corpus: Texts, *, stemmer: str | None, min_documents: int = 1) -> WordLexicon:
        """The words that at least `min_documents` documents hold."""
        frequency: dict[str, int] = {}
        for part in corpus.parts():
            for words in words_of(part, stemmer):
                for word in set(words):
                    frequency[word] = frequency.get(word, 0) + 1
        kept = sorted(word for word, count in frequency.items() if count >= min_documents)
        return cls(kept, stemmer=stemmer)

    @property
    def size(self) -> int:
        """See `Lexicon`."""
        return len(self.words)

    def literal(self, texts: Texts) -> Ragged:
        """See `Lexicon`."""
        columns = self._columns
        return Ragged.from_rows(
            [
                [columns[word] for word in words if word in columns]
                for words in words_of(texts, self.stemmer)
            ]
        )

    def allowed(
        self, *, drop_special: bool, drop_punctuation: bool, drop_stopwords: bool
    ) -> NDArray[np.bool_]:
        """See `Lexicon`: words are neither special nor punctuation; `_` alone is."""
        kept = np.ones(len(self.words), np.bool_)
        if drop_punctuation:
            lettered = (any(char.isalnum() for char in word) for word in self.words)
            kept &= np.fromiter(lettered, np.bool_, len(self.words))
        if drop_stopwords:
            from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

            stop = set(stemmed([sorted(ENGLISH_STOP_WORDS)], self.stemmer)[0])
            kept &= np.fromiter((word not in stop for word in self.words), np.bool_, len(kept))
        return kept

    def name(self, term: int) -> str:
        """See `Lexicon`."""
        return self.words[term]


def words_of(texts: Texts, stemmer: str | None) -> list[list[str]]:
    """The words of each text in lower case, stemmed if a language is given, computed once."""
    return texts.derived(
        ("words", stemmer),
        lambda: stemmed([_WORD.findall(text.lower()) for text in texts.texts], stemmer),
    )


def surface_words(text: str) -> list[str]:
    """The words of a text as they are written."""
    words: list[str] = _WORD.findall(text)
    return words


def stemmed(texts: Sequence[Sequence[str]], stemmer: str | None) -> list[list[str]]:
    """Words by their Snowball stems; as they are where no language is given.

    Raises:
        BadInputError: If Snowball does not know the language.
    """
    if stemmer is None:
        return [list(words) for words in texts]
    import Stemmer

    if stemmer not in Stemmer.algorithms():
        raise BadInputError(
            f"head.stemmer={stemmer!r} is unknown; choose one of: "
            f"{', '.join(sorted(Stemmer.algorithms()))}"
        )
    language = Stemmer.Stemmer(stemmer)
    return [language.stemWords(words) for words in texts]
