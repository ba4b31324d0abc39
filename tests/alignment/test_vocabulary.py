"""Token filters, token sets and IDF, by literal cases."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken
from transformers import AutoTokenizer

from harness.alignment.vocabulary import allowed_tokens, inverse_document_frequency, token_sets
from harness.embedding.model import EmbeddingModel
from harness.embedding.ragged import Ragged


@pytest.fixture(scope="module")
def word_pieces(minilm):
    return EmbeddingModel(minilm).tokenizer


def allowed(tokenizer, size=None, **drop):
    filters = {"drop_special": False, "drop_punctuation": False, "drop_stopwords": False}
    return allowed_tokens(tokenizer, size or len(tokenizer), **{**filters, **drop})


def dropped(tokenizer, **drop):
    ids = np.flatnonzero(~allowed(tokenizer, **drop))
    return set(tokenizer.convert_ids_to_tokens(ids.tolist()))


def test_no_filter_keeps_all(word_pieces):
    assert allowed(word_pieces).all()
    assert len(allowed(word_pieces)) == 30522


def test_special_tokens(word_pieces):
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    assert dropped(word_pieces, drop_special=True) == special


def test_reserved_tokens_are_special_without_a_role(minilm, tmp_path):
    tokenizer = copy.deepcopy(EmbeddingModel(minilm).tokenizer)
    tokenizer.add_tokens([AddedToken("<|reserved_0|>", special=True), AddedToken("word")])
    tokenizer.save_pretrained(tmp_path)
    reloaded = AutoTokenizer.from_pretrained(tmp_path)
    gone = dropped(reloaded, drop_special=True)
    assert "<|reserved_0|>" in gone
    assert "word" not in gone


def test_punctuation(word_pieces):
    gone = dropped(word_pieces, drop_punctuation=True)
    assert {"!", '"', ",", ".", "?", "£", "©", "##!", "##/"} <= gone
    assert not gone & {"the", "##ing", "a", "1", "2015", "é", "α", "[CLS]", "##s", "½", "中"}


def test_stopwords_are_whole_words(word_pieces):
    gone = dropped(word_pieces, drop_stopwords=True)
    assert {"the", "of", "and", "i", "which", "twenty"} <= gone
    assert not gone & {"##the", "##a", "##i", "cat", "science", "[CLS]", "."}


def test_filters_add_up(word_pieces):
    together = allowed(word_pieces, drop_special=True, drop_punctuation=True, drop_stopwords=True)
    apart = (
        allowed(word_pieces, drop_special=True)
        & allowed(word_pieces, drop_punctuation=True)
        & allowed(word_pieces, drop_stopwords=True)
    )
    np.testing.assert_array_equal(together, apart)


def test_ids_that_the_tokenizer_has_not_are_never_allowed(word_pieces):
    padded = allowed(word_pieces, size=30522 + 6)
    assert padded[:30522].all()
    assert not padded[30522:].any()


def test_a_matrix_smaller_than_the_tokenizer(word_pieces):
    assert allowed(word_pieces, size=102, drop_special=True).tolist() == [False] + [True] * 99 + [
        False,
        False,
    ]


def test_sentencepiece(stories):
    from harness.config import ModelConfig

    tokenizer = EmbeddingModel(ModelConfig(path=str(stories))).tokenizer
    punctuation = dropped(tokenizer, drop_punctuation=True)
    assert {"<0x0A>", "<0x2C>", ".", ",", "▁"} <= punctuation  # newline and comma as bytes
    assert not punctuation & {"▁the", "he", "<0x41>", "<0xC3>"}  # A, and a part of é
    stopwords = dropped(tokenizer, drop_stopwords=True)
    assert {"▁the", "▁The", "▁and", "▁I"} <= stopwords
    assert not stopwords & {"he", "in", "it", "a"}  # inside words, as in s-he


def test_byte_level_tokens_are_read_as_text():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["Ġthe", "Ġ,", "Ċ", "Ġcat", "âĢľ", "Ã", "Ã©", "Ġ", "!", "the"]
    backend = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel()
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    assert dropped(tokenizer, drop_punctuation=True) == {"Ġ,", "Ċ", "âĢľ", "Ġ", "!"}
    assert dropped(tokenizer, drop_stopwords=True) == {"Ġthe"}


@given(
    rows=st.lists(st.lists(st.integers(0, 11), max_size=8), max_size=8),
    forbidden=st.sets(st.integers(0, 9)),
)
def test_token_sets(rows, forbidden):
    keep = np.array([token not in forbidden for token in range(10)])
    before = Ragged.from_rows(rows)
    values = before.values.copy()
    sets = token_sets(before, keep)
    dense = np.zeros((len(rows), 10), np.float32)
    for row, tokens in enumerate(rows):
        for token in tokens:
            if token < 10 and keep[token]:
                dense[row, token] = 1
    np.testing.assert_array_equal(sets.toarray(), dense)
    assert sets.dtype == np.float32
    assert sets.nnz == dense.sum()
    assert sets.has_sorted_indices
    np.testing.assert_array_equal(before.values, values)  # the tokens are somebody else's


def test_idf_by_hand():
    sets = token_sets(Ragged.from_rows([[0, 1], [0, 2, 2], [0]]), np.ones(4, np.bool_))
    expected = [0, math.log(4 / 2), math.log(4 / 2), math.log(4)]
    np.testing.assert_allclose(inverse_document_frequency(sets), expected, rtol=1e-6)
    assert inverse_document_frequency(sets).dtype == np.float32


def test_idf_of_no_documents():
    sets = token_sets(Ragged.from_rows([]), np.ones(3, np.bool_))
    assert inverse_document_frequency(sets).tolist() == [0, 0, 0]
