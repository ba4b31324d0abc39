"""Words and scores against bm25s' own."""

import bm25s
import numpy as np
import pytest
import Stemmer
from hypothesis import given
from hypothesis import strategies as st

from harness.retrieval import word_index as module
from harness.retrieval.word_index import CorpusWords, WordIndex

SETTINGS = [
    {"stopwords": "en", "stemmer": Stemmer.Stemmer("english")},
    {"stopwords": "de", "stemmer": Stemmer.Stemmer("german")},
    {"stopwords": [], "stemmer": None},
    {"stopwords": ["cat", "the"], "stemmer": None},
]
WORDS = ["The", "the", "cat", "Cats", "running", "runs", "a", "x", "der", "Häuser", "haus", "ΣΑΣ"]
TEXTS = st.lists(
    st.lists(st.sampled_from([*WORDS, "a_b", "\u0130x", "n\u0303o", "!", "1 22"])).map(" ".join)
    | st.text(max_size=12),
    max_size=8,
)


def names(words):
    vocabulary = list(words.vocab)
    assert list(words.vocab.values()) == list(range(len(vocabulary)))
    return [[vocabulary[number] for number in words.ids[row]] for row in range(len(words.ids))]


@pytest.mark.parametrize("settings", SETTINGS)
@given(texts=TEXTS, at_once=st.integers(1, 9))
def test_words_are_those_of_bm25s(settings, texts, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_AT_ONCE", at_once)
        found = CorpusWords.of(texts, **settings)
    expected = bm25s.tokenize(texts, return_ids=False, show_progress=False, **settings)
    assert names(found) == expected


@pytest.mark.parametrize("method", ["lucene", "robertson", "atire"])
@given(
    texts=st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=9), min_size=1, max_size=12),
    k1=st.sampled_from([0.0, 0.9, 1.5]),
    b=st.sampled_from([0.0, 0.4, 1.0]),
)
def test_scores_are_those_of_bm25s(method, texts, k1, b):
    """Bit for bit, and in the same postings."""
    texts = [*texts, ["a", "b", "a"]]
    texts = [" ".join(letter * 2 for letter in text) for text in texts]
    words = CorpusWords.of(texts, stopwords=[])
    found = WordIndex(k1=k1, b=b, method=method)
    found.index(words)
    expected = bm25s.BM25(k1=k1, b=b, method=method)
    expected.index(names(words), show_progress=False)
    assert found.vocab_dict.keys() == expected.vocab_dict.keys()
    for word in found.vocab_dict.keys() - {""}:
        np.testing.assert_array_equal(found.get_scores([word]), expected.get_scores([word]))
        np.testing.assert_array_equal(postings(found, word), postings(expected, word))
    for part, array in expected.scores.items():
        assert np.asarray(found.scores[part]).dtype == np.asarray(array).dtype
    query = ["aa", "bb", "aa", "hh"] if "hh" in words.vocab else ["aa", "bb"]
    np.testing.assert_array_equal(found.get_scores(query), expected.get_scores(query))


def postings(index, word):
    number = index.vocab_dict[word]
    first, last = index.scores["indptr"][number : number + 2]
    return index.scores["indices"][first:last]


def test_indexing_leaves_the_words_as_they_are():
    words = CorpusWords.of(["bb aa bb cc", "aa"], stopwords=[])
    before = names(words)
    WordIndex().index(words)
    assert [words.ids[row].tolist() for row in range(2)] == [[0, 1, 0, 2], [1]]
    assert before == [["bb", "aa", "bb", "cc"], ["aa"]]
