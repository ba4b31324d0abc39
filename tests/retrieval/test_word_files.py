"""bm25s' index merged from files against the same one made in memory."""

import numpy as np
import pytest
import Stemmer
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.embedding.ragged import Ragged
from harness.errors import BadInputError
from harness.retrieval import word_files, word_index
from harness.retrieval.word_files import WordFiles, WordPostings, merge_postings
from harness.retrieval.word_index import CorpusWords, WordIndex

TEXTS = st.lists(
    st.lists(st.sampled_from(["cat", "Cats", "the", "running", "runs", "fox", "ab", "!"])),
    min_size=1,
    max_size=30,
)


@settings(deadline=None)
@given(data=st.data(), texts=TEXTS.map(lambda texts: [" ".join(text) for text in texts]))
def test_every_array_is_that_of_an_index_in_memory(tmp_path_factory, data, texts):
    texts = [*texts, "cat fox"]
    own = {
        "stopwords": data.draw(st.sampled_from(["en", []])),
        "stemmer": data.draw(st.sampled_from([None, Stemmer.Stemmer("english")])),
    }
    method = data.draw(st.sampled_from(["lucene", "robertson", "atire"]))
    folder = tmp_path_factory.mktemp("words")
    found, expected = (WordIndex(k1=1.2, b=0.7, method=method) for _ in range(2))
    expected.index(CorpusWords.of(texts, **own))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_index, "_AT_ONCE", data.draw(st.integers(1, 5)))
        patch.setattr(word_index, "PART", data.draw(st.integers(1, 12)))
        patch.setattr(word_files, "MERGED_BYTES", data.draw(st.integers(1, 900)))
        patch.setattr(word_files, "_AT_ONCE", data.draw(st.integers(1, 9)))
        found.index(CorpusWords.in_files(texts, folder, **own))
        postings = WordPostings(*(found.scores[name] for name in WordPostings._fields))
        chosen = np.unique(data.draw(st.lists(st.integers(0, len(texts) - 1)))).astype(np.int64)
        rows = postings.rows(chosen, len(texts))
    assert found.vocab_dict == expected.vocab_dict
    assert found.scores.keys() == expected.scores.keys()
    for name, theirs in expected.scores.items():
        np.testing.assert_array_equal(found.scores[name], theirs)
        assert np.asarray(found.scores[name]).dtype == np.asarray(theirs).dtype
    dense = np.zeros((len(texts), len(postings.indptr) - 1), np.float32)
    for word in range(dense.shape[1]):
        own_postings = slice(postings.indptr[word], postings.indptr[word + 1])
        dense[postings.indices[own_postings], word] = postings.data[own_postings]
    np.testing.assert_array_equal(rows.toarray(), dense[chosen])
    kept = {path.name for path in folder.iterdir()}
    assert kept == {"words", "lengths", "data", "indices"}


def test_words_that_are_gone(tmp_path):
    parts = [Ragged.from_rows([[0, 1, 0], []]), Ragged.from_rows([[2]])]
    words = WordFiles(tmp_path, parts).renumbered(np.array([1, -1, 0], np.int32))
    found = [
        [row.tolist() for row in (part[n] for n in range(len(part)))] for part in words.parts()
    ]
    assert found == [[[1, 1], []], [[0]]]


def test_a_full_disk(tmp_path):
    with pytest.raises(BadInputError, match="make room, or give another folder as store_dir"):
        WordFiles(tmp_path / "missing", [])
    with pytest.raises(BadInputError, match="store_dir"):
        merge_postings([], np.zeros(1, np.int64), tmp_path / "missing")
