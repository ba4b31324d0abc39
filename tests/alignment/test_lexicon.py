"""Lexicons of tokens and of words, by literal cases and against plain splitting."""

import itertools
import unicodedata
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.alignment.lexicon import (
    TokenLexicon,
    WordLexicon,
    stemmed,
    surface_words,
    words_of,
)
from harness.embedding.ragged import Ragged


class Corpus:
    """Texts with the views that are made of them; `computed` records these."""

    def __init__(self, *texts):
        self.texts = texts
        self.computed = []
        self._derived = {}

    def parts(self):
        yield self

    def derived(self, key, compute):
        if key not in self._derived:
            self.computed.append(key)
            self._derived[key] = compute()
        return self._derived[key]


def lexicon(*texts, stemmer=None, min_documents=1):
    return WordLexicon.of(Corpus(*texts), stemmer=stemmer, min_documents=min_documents)


def read(words, *texts):
    """The terms of each text by name."""
    found = words.literal(Corpus(*texts))
    return [[words.name(term) for term in found[row]] for row in range(len(found))]


def is_part_of_word(char):
    return char.isalnum() or char == "_" or unicodedata.category(char)[0] == "M"


def plain_words(text):
    """Runs of letters, digits, marks and underscores, as Python knows them, in lower case."""
    runs = itertools.groupby(text.lower(), is_part_of_word)
    return ["".join(run) for is_word, run in runs if is_word]


def allowed(words, **drop):
    filters = {"drop_special": False, "drop_punctuation": False, "drop_stopwords": False}
    return words.allowed(**{**filters, **drop}).tolist()


class TestWords:
    def test_lower_case_and_ascending(self):
        words = lexicon("The cat, the CAT!", "a Dog; 3 dogs")
        assert words.words == ["3", "a", "cat", "dog", "dogs", "the"]
        assert words.size == 6
        assert [words.name(term) for term in range(6)] == words.words
        assert words.stemmer is None

    def test_letters_and_digits_of_any_script(self):
        words = lexicon("Äpfel ÄPFEL naïve x_1 2019", "ΕΛΛΆΔΑ, Ελλάδα; Москва", "中文。½")
        assert words.words == ["2019", "naïve", "x_1", "½", "äpfel", "ελλάδα", "москва", "中文"]

    def test_repeats_stay_in_their_order_and_unknown_words_are_left_out(self):
        words = lexicon("b a c")
        found = words.literal(Corpus("A zebra, b? a!", "", "zebra", "c"))
        assert found.values.tolist() == [0, 1, 0, 2]
        assert found.values.dtype == np.int32
        assert found.offsets.tolist() == [0, 3, 3, 3, 4]

    def test_no_words(self):
        for words in (lexicon(), lexicon("", "?!")):
            assert words.size == 0
            assert words.literal(Corpus("a b", "")).offsets.tolist() == [0, 0, 0]
            assert allowed(words, drop_punctuation=True, drop_stopwords=True) == []

    @given(
        documents=st.lists(st.text(st.sampled_from("aAbB_1é ß.,\n"), max_size=12), max_size=6),
        queries=st.lists(st.text(st.sampled_from("aAbBcC_1é ß-"), max_size=12), max_size=4),
        least=st.integers(1, 3),
    )
    def test_equals_plain_splitting(self, documents, queries, least):
        held = [set(plain_words(text)) for text in documents]
        kept = {
            word for word in set().union(*held) if sum(word in words for words in held) >= least
        }
        words = lexicon(*documents, min_documents=least)
        assert words.words == sorted(kept)
        expected = [[word for word in plain_words(text) if word in kept] for text in queries]
        assert read(words, *queries) == expected

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
            ("كِتَاب", ["كِتَاب"]),
            ("e\u0301te\u0301 là", ["e\u0301te\u0301", "là"]),
        ],
    )
    def test_marks_are_parts_of_words(self, text, words):
        assert words_of(Corpus(text), None) == [words]

    # What this Python's Unicode does not know yet aside.
    @given(text=st.text(st.characters(exclude_categories=["C"]), max_size=30))
    def test_any_text_splits_as_python_knows_letters(self, text):
        assert words_of(Corpus(text), None) == [plain_words(text)]

    @pytest.mark.parametrize(
        ("least", "expected"), [(1, ["a", "b", "c"]), (2, ["a", "b"]), (3, ["a"]), (4, [])]
    )
    def test_min_documents_counts_documents_and_not_words(self, least, expected):
        assert lexicon("a b c c c c", "A b", "a a", min_documents=least).words == expected


class TestStems:
    def test_words_of_one_stem_are_one_term(self):
        words = lexicon("Tom plays; he PLAYED", "playing dogs", stemmer="english")
        assert words.words == ["dog", "he", "play", "tom"]
        assert read(words, "Play, dogs play!", "Toms player") == [["play", "dog", "play"], ["tom"]]

    def test_min_documents_counts_stems(self):
        texts = ("plays here", "playing there", "played nowhere")
        assert lexicon(*texts, stemmer="english", min_documents=3).words == ["play"]
        assert lexicon(*texts, min_documents=2).words == []

    def test_other_languages(self):
        assert lexicon("Die Häuser", stemmer="german").words == ["die", "haus"]
        assert lexicon("Die Häuser", stemmer="english").words == ["die", "häuser"]

    def test_without_a_language_words_are_copied(self):
        words = [["Running", "dogs"], []]
        found = stemmed(words, None)
        assert found == words
        assert found[0] is not words[0]

    def test_an_unknown_language(self, refusal):
        message = refusal(lambda: lexicon("a", stemmer="klingon"))
        assert message.startswith("head.stemmer='klingon' is unknown; choose one of: arabic, ")
        assert message.endswith(", yiddish")
        assert ", english, " in message
        assert refusal(lambda: stemmed([], "klingon")) == message

    def test_split_and_stemmed_once_for_each_language(self):
        corpus = Corpus("Dogs")
        for _ in range(2):
            assert words_of(corpus, None) == [["dogs"]]
            assert words_of(corpus, "english") == [["dog"]]
        assert corpus.computed == [("words", None), ("words", "english")]


class TestAllowed:
    def test_only_words_without_a_letter_or_digit_are_punctuation(self):
        words = lexicon("_ __ a_ 7 é the")
        assert words.words == ["7", "_", "__", "a_", "the", "é"]
        assert allowed(words) == [True] * 6
        assert allowed(words, drop_special=True) == [True] * 6
        found = allowed(words, drop_punctuation=True)
        assert found == [True, False, False, True, True, True]

    def test_stopwords(self):
        words = lexicon("The other cats, others and _")
        assert words.words == ["_", "and", "cats", "other", "others", "the"]
        assert allowed(words, drop_stopwords=True) == [True, False, True, False, False, False]
        both = allowed(words, drop_stopwords=True, drop_punctuation=True)
        assert both == [False, False, True, False, False, False]

    def test_stopwords_by_their_stems(self):
        words = lexicon("Very bodies: becomes, becoming", stemmer="english")
        assert words.words == ["becom", "bodi", "veri"]
        assert allowed(words, drop_stopwords=True) == [False, True, False]

    def test_a_column_each(self):
        found = lexicon("the cat").allowed(
            drop_special=True, drop_punctuation=True, drop_stopwords=True
        )
        assert found.dtype == np.bool_
        assert found.tolist() == [True, False]


def test_surface_words_are_as_they_are_written():
    assert surface_words("Tom's RED-ball_2, naïve.") == ["Tom", "s", "RED", "ball_2", "naïve"]


class FakeTokenizer:
    all_special_ids = (0,)
    added_tokens_decoder: ClassVar = {}
    tokens = ("<s>", "▁the", "▁cat", ".", "s")

    def __len__(self):
        return len(self.tokens)

    def convert_ids_to_tokens(self, ids):
        return self.tokens[ids] if isinstance(ids, int) else [self.tokens[i] for i in ids]

    def convert_tokens_to_string(self, tokens):
        return "".join(tokens).replace("▁", " ")


class TestTokens:
    def test_a_padded_matrix_has_columns_that_are_never_allowed(self):
        tokens = TokenLexicon(FakeTokenizer(), 7)
        assert tokens.size == 7
        for drop, expected in (
            ({}, [1, 1, 1, 1, 1, 0, 0]),
            ({"drop_special": True}, [0, 1, 1, 1, 1, 0, 0]),
            ({"drop_stopwords": True}, [1, 0, 1, 1, 1, 0, 0]),
            ({"drop_punctuation": True}, [1, 1, 1, 0, 1, 0, 0]),
        ):
            assert allowed(tokens, **drop) == [bool(kept) for kept in expected]

    def test_names(self):
        tokens = TokenLexicon(FakeTokenizer(), 5)
        assert [tokens.name(term) for term in range(5)] == ["<s>", "␣the", "␣cat", ".", "s"]

    def test_literal_terms_are_the_texts_own_tokens(self):
        corpus = Corpus("cats")
        corpus.literal_tokens = Ragged.from_rows([[2, 4]])
        assert TokenLexicon(FakeTokenizer(), 5).literal(corpus) is corpus.literal_tokens
