"""A trained tokenizer: what it does not tell apart, and that it leaves nothing out."""

import json

import pytest

from harness.training.tokenizer import train_tokenizer
from tests.training.small import sentences, tokenizer


def ids(text):
    return tokenizer()(text)["input_ids"]


def test_neither_case_nor_a_leading_space_matters():
    assert ids("The CAT sat") == ids("the cat sat") == ids(" the cat sat")


def test_a_word_is_the_same_tokens_wherever_it_stands():
    begin, *cat = ids("cat")
    assert ids("the cat sat")[2 : 2 + len(cat)] == cat
    assert tokenizer().convert_ids_to_tokens([begin, *cat]) == ["<s>", "Ġcat"]


def test_composed_and_decomposed_letters_are_one():
    assert ids("caf\u00e9") == ids("cafe\u0301")


@pytest.mark.parametrize("text", ["naïve 東京 🙂", "\x00\x01\t\n", "ß ñ Ж", "日本", "a\u200db"])
def test_every_text_can_be_read_back(text):
    _, *tokens = ids(text)
    assert tokenizer().decode(tokens) == f" {text.lower()}"


def test_every_byte_is_a_token():
    vocabulary = tokenizer().get_vocab()
    from tokenizers.pre_tokenizers import ByteLevel

    assert len(ByteLevel.alphabet()) == 256
    assert set(ByteLevel.alphabet()) <= set(vocabulary)
    assert tokenizer().unk_token_id is None


def test_special_tokens():
    made = tokenizer()
    found = (made.pad_token_id, made.bos_token_id, made.eos_token_id, made.mask_token_id)
    assert found == (0, 1, 2, 3)
    assert ids("cat")[0] == 1
    assert 2 not in ids("cat")
    assert made("cat", "mat")["input_ids"] == [*ids("cat"), *ids("mat")]
    assert made.model_max_length == 64


def test_the_vocabulary_has_the_size_that_is_asked_for():
    assert len(tokenizer()) == 300
    assert sorted(tokenizer().get_vocab().values()) == list(range(300))


def test_the_same_text_makes_the_same_tokenizer():
    made = [train_tokenizer(sentences(), vocabulary=290, max_length=64) for _ in range(2)]
    one, other = (json.loads(each.backend_tokenizer.to_str()) for each in made)
    assert one == other
