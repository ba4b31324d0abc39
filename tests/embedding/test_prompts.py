"""Prompts put together: copies, ends, limits, and where the text begins. MiniLM's tokens by hand:
[CLS] 101, [SEP] 102, a 1037, cat 4937, sat 2938, . 1012, b 1038, [ 1031, ] 1033."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.embedding.model import EmbeddingModel
from harness.embedding.prompts import Layout, shorten_by_words, tokenise
from harness.errors import BadInputError

A, CAT, SAT, B, STOP = 1037, 4937, 2938, 1038, 1012
CLS, SEP = 101, 102


@pytest.fixture(scope="module")
def tokenizer(minilm):
    return EmbeddingModel(minilm).tokenizer


def prompts(tokenizer, *texts, **layout):
    return tokenise(tokenizer, texts, Layout(**{"max_length": 512, **layout}))


def row(found, number=0):
    start, stop = int(found.text_start[number]), int(found.text_stop[number])
    ids = found.ids[number].tolist()
    return ids[:start], ids[start:stop], ids[stop:]


class TestCopies:
    PIECES = ("b ", " b ", " .")

    def test_the_last_copy_is_the_text(self, tokenizer):
        found = prompts(tokenizer, "a cat", pieces=self.PIECES)
        assert row(found) == ([CLS, B, A, CAT, B], [A, CAT], [STOP, SEP])

    def test_each_loses_the_same(self, tokenizer):
        for room, kept in ((11, 3), (10, 2), (9, 2), (8, 1), (7, 1)):
            found = prompts(tokenizer, "a cat sat", pieces=self.PIECES, max_length=room)
            text = [A, CAT, SAT][:kept]
            assert row(found) == ([CLS, B, *text, B], text, [STOP, SEP])

    def test_no_room(self, tokenizer):
        with pytest.raises(BadInputError, match="no room for the text"):
            prompts(tokenizer, "a cat sat", pieces=self.PIECES, max_length=6)


class TestTextLimit:
    @pytest.mark.parametrize("pieces", [("", ""), ("b ", ""), ("b ", " .")])
    @pytest.mark.parametrize("limit", [1, 2, 3, 9])
    def test_the_text_alone_is_cut(self, tokenizer, pieces, limit):
        whole = prompts(tokenizer, "a cat sat", pieces=pieces)
        found = prompts(tokenizer, "a cat sat", pieces=pieces, text_max_length=limit)
        text = [A, CAT, SAT][:limit]
        ids = whole.ids[0].tolist()
        place = ids.index(A)
        assert found.ids[0].tolist() == ids[:place] + text + ids[place + 3 :]
        if any(pieces):
            assert row(found)[1] == text

    def test_the_smaller_limit_holds(self, tokenizer):
        found = prompts(
            tokenizer, "a cat sat", pieces=("b ", " ."), text_max_length=2, max_length=5
        )
        assert row(found) == ([CLS, B], [A], [STOP, SEP])


class TestTokensApart:
    def test_a_piece_never_merges_with_the_text(self, tokenizer):
        # "##s" would join "cat"; as a piece of its own it is "#", "#", "s".
        together = prompts(tokenizer, "cat", pieces=("", "s"))
        apart = prompts(tokenizer, "cat", pieces=("", "s"), join_tokens=True)
        assert row(together)[1] == [8870]  # cats
        assert row(apart) == ([CLS], [CAT], [1055, SEP])

    def test_cut(self, tokenizer):
        found = prompts(tokenizer, "a cat sat", pieces=("[", "]"), join_tokens=True, max_length=6)
        assert row(found) == ([CLS, 1031], [A, CAT], [1033, SEP])
        with pytest.raises(BadInputError, match="no room for the text"):
            prompts(tokenizer, "a", pieces=("[", "]"), join_tokens=True, max_length=4)


class TestCounted:
    """As LLM2Vec finds the text: as many tokens from the end as it has on its own."""

    def test_without_a_template_special_tokens_in_front_are_left_out(self, tokenizer):
        found = prompts(tokenizer, "a cat", count_text=True)
        assert found.text_start.tolist() == [1]

    def test_a_token_that_splits_alone_takes_one_of_the_instruction(self, stories):
        from harness.config import ModelConfig

        tokenizer = EmbeddingModel(ModelConfig(path=str(stories))).tokenizer
        located = prompts(tokenizer, "Cats", pieces=("a:", ""))
        counted = prompts(tokenizer, "Cats", pieces=("a:", ""), count_text=True)
        alone = tokenizer("Cats", add_special_tokens=False)["input_ids"]
        ids = counted.ids[0].tolist()
        assert counted.text_start.tolist() == [len(ids) - len(alone)]
        assert counted.text_start[0] == located.text_start[0] - 1  # alone it begins with a space

    def test_the_cut_does_not_move_it(self, tokenizer):
        whole = prompts(tokenizer, "a cat sat", pieces=("b ", ""), count_text=True)
        cut = prompts(tokenizer, "a cat sat", pieces=("b ", ""), count_text=True, max_length=5)
        assert cut.text_start.tolist() == whole.text_start.tolist()
        assert cut.ids[0].tolist() == [CLS, B, A, CAT, SEP]


class TestEnds:
    def test_appended_and_put_in_front(self, tiny_llama):
        from harness.config import ModelConfig

        tokenizer = EmbeddingModel(ModelConfig(path=str(tiny_llama))).tokenizer
        for pieces in (("", ""), ("q ", "")):
            plain = prompts(tokenizer, "cat", "", pieces=pieces)
            found = prompts(tokenizer, "cat", "", pieces=pieces, needs_last="eos")
            assert [ids.tolist() for ids in found.ids] == [[*ids, 1] for ids in plain.ids]
            # <s> is there already
            found = prompts(tokenizer, "cat", "", pieces=pieces, needs_first="bos")
            assert [ids.tolist() for ids in found.ids] == [ids.tolist() for ids in plain.ids]

    def test_room_is_kept_for_it(self, tiny_llama):
        from harness.config import ModelConfig

        tokenizer = EmbeddingModel(ModelConfig(path=str(tiny_llama))).tokenizer
        found = prompts(tokenizer, "cat " * 50, needs_last="eos", max_length=12)
        assert len(found.ids[0]) == 12
        assert found.ids[0][-1] == 1

    def test_a_tokenizer_without_it(self, tokenizer):
        for name in ("bos", "eos"):
            side = "first" if name == "bos" else "last"
            with pytest.raises(BadInputError, match=f"pooling={name}: the tokenizer names no"):
                prompts(tokenizer, "cat", **{f"needs_{side}": name})


@given(
    texts=st.lists(st.text(max_size=20), max_size=5),
    pieces=st.sampled_from([("", ""), ("q: ", ""), ("[", "]"), ("a ", " b ", " c")]),
    join=st.booleans(),
    count=st.booleans(),
    limit=st.none() | st.integers(1, 12),
    room=st.integers(16, 40),
)
def test_whatever_the_texts(tokenizer, texts, pieces, join, count, limit, room):
    join = join and len(pieces) == 2
    layout = Layout(
        pieces=pieces, max_length=room, text_max_length=limit, join_tokens=join, count_text=count
    )
    found = tokenise(tokenizer, texts, layout)
    lengths = found.ids.lengths
    assert len(found.ids) == len(texts)
    assert (lengths <= room).all()
    assert (found.text_start >= 0).all()
    assert (found.text_start <= found.text_stop).all()
    assert (found.text_stop <= lengths).all()
    # one text at a time gives the same
    for number, text in enumerate(texts):
        alone = tokenise(tokenizer, [text], layout)
        np.testing.assert_array_equal(alone.ids[0], found.ids[number])
        assert alone.text_start[0] == found.text_start[number]
        assert alone.text_stop[0] == found.text_stop[number]


class TestShortenedByWords:
    """LLM2Vec's way, on texts of single-token words: words are tokens."""

    def test_by_hand(self, tokenizer):
        def shortened(count, limit, max_length=512):
            (text,) = shorten_by_words(tokenizer, ["cat " * count], limit, max_length=max_length)
            return len(text.split())

        assert shortened(10, 10) == 10
        assert shortened(10, 9) == 9  # int(10 · 9/10)
        assert shortened(10, 4) == 4
        # counted up to 20 only: int(100 · 10/20) = 50, 25, 12, then int(12 · 10/12) = 10
        assert shortened(100, 10, max_length=20) == 10

    def test_one_long_word_is_lost(self, tokenizer):
        assert shorten_by_words(tokenizer, ["?!" * 20], 10, max_length=512) == [""]

    def test_short_texts_keep_their_spaces(self, tokenizer):
        texts = ["a  cat \n", "", " sat"]
        assert shorten_by_words(tokenizer, texts, 10, max_length=512) == texts
        assert shorten_by_words(tokenizer, [], 10, max_length=512) == []
