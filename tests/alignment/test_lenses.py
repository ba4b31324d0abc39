"""Lists of aligned tokens side by side: literal cases, the definitions as plain sums."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.alignment.inspection import AlignedToken
from harness.alignment.lenses import (
    ComparedToken,
    Overlap,
    compare_tokens,
    comparison_frame,
    cosine,
    rank_biased_overlap,
    same_ids,
    token_text,
)
from harness.alignment.lexicon import WordLexicon

# The example of Webber, Moffat and Zobel 2010: two lists, cut at seven.
LEFT, RIGHT = list("abcdefg"), list("zcavwxy")

rankings = st.lists(st.integers(0, 12), unique=True, max_size=9)


def aligned(*tokens):
    """Tokens by descending weight; ids are those of the first letters."""
    return [
        AlignedToken(id=ord(token[-1]), token=token, weight=10.0 - rank, literal=False)
        for rank, token in enumerate(tokens)
    ]


def endless(first, second, p, depth=3000):
    """RBO of the two lists, extended at every depth as RBO_ext assumes: a plain sum."""
    short, long = sorted((first, second), key=len)
    total, agreement = 0.0, 0.0
    for d in range(1, depth):
        if d <= len(long):
            common = len(set(short[:d]) & set(long[:d]))
            if d > len(short):  # the short list goes on to agree at the rate of its end
                at_end = len(set(short) & set(long[: len(short)]))
                common += (d - len(short)) * at_end / len(short)
            agreement = common / d
        total += (1 - p) * p ** (d - 1) * agreement
    return total


def test_two_lists_token_by_token():
    first, second = aligned("␣a", "b", "c"), aligned("c", "d", "␣a")
    found = compare_tokens([first, second])
    assert found.tokens == (
        ComparedToken("␣a", ranks=(1, 3), weights=(10.0, 8.0)),
        ComparedToken("b", ranks=(2, None), weights=(9.0, None)),
        ComparedToken("c", ranks=(3, 1), weights=(8.0, 10.0)),
        ComparedToken("d", ranks=(None, 2), weights=(None, 9.0)),
    )
    assert [token.shared for token in found.tokens] == [True, False, True, False]
    assert found.groups() == {(0, 1): ["␣a", "c"], (0,): ["b"], (1,): ["d"]}
    # agreements 0, 0, 2/3: 0.1 · 0.81 · 2/3 + 0.729 · 2/3 = 0.81 · 2/3
    assert found.overlaps == (
        Overlap(0, 1, common=2, at_k=2 / 3, jaccard=2 / 4, rbo=pytest.approx(0.54)),
    )


def test_three_lists():
    found = compare_tokens([aligned("a", "b"), aligned("b", "c"), aligned("c", "b")])
    assert found.groups() == {(0, 1, 2): ["b"], (1, 2): ["c"], (0,): ["a"]}
    assert [token.token for token in found.tokens if token.shared] == ["b"]
    assert [(o.first, o.second, o.common, o.at_k, o.jaccard) for o in found.overlaps] == [
        (0, 1, 1, 1 / 2, 1 / 3),
        (0, 2, 1, 1 / 2, 1 / 3),
        (1, 2, 2, 1.0, 1.0),
    ]


def test_lists_of_two_tokenizers_are_compared_by_text():
    words = [AlignedToken(3, "apple", 0.9, True), AlignedToken(4, "##ly", 0.5, False)]
    pieces = [
        AlignedToken(9, "␣Apple", 7.0, True),
        AlignedToken(3, "I", 6.0, False),
        AlignedToken(8, "apple", 5.0, True),
        AlignedToken(7, "ly", 4.0, False),
    ]
    found = compare_tokens([words, pieces], by_text=True)
    assert found.tokens == (
        ComparedToken("apple", ranks=(1, 1), weights=(0.9, 7.0)),  # not its second one
        ComparedToken("ly", ranks=(2, 4), weights=(0.5, 4.0)),
        ComparedToken("i", ranks=(None, 2), weights=(None, 6.0)),
    )
    assert found.overlaps[0].at_k == 2 / 3
    assert compare_tokens([words, pieces]).groups() == {  # by id, 3 would be one token
        (0, 1): ["apple"],
        (0,): ["##ly"],
        (1,): ["␣Apple", "apple", "ly"],
    }


@pytest.mark.parametrize(
    ("token", "text"),
    [("␣Apple", "apple"), ("##ing", "ing"), ("##", "##"), ("␣", "␣"), ("a##", "a##"), ("É", "é")],
)
def test_the_text_of_a_token(token, text):
    assert token_text(token) == text


def test_ids_that_mean_the_same_under_every_head():
    words = WordLexicon(["apple", "pear"], stemmer=None)
    more = WordLexicon(["apple", "quince", "rice"], stemmer=None)
    apple, pear = AlignedToken(0, "apple", 1.0, False), AlignedToken(1, "pear", 1.0, False)
    assert same_ids([[apple, pear], [apple]], [words, words])
    assert same_ids([[apple], [apple]], [words, more])
    assert not same_ids([[apple], [pear]], [words, more])  # 1 is another word
    assert not same_ids([[AlignedToken(2, "rice", 1.0, False)]], [more, words])  # 2 is no word


def test_fewer_than_two_lists_are_refused():
    with pytest.raises(ValueError, match="two lists or more"):
        compare_tokens([aligned("a")])


def test_lists_without_tokens():
    assert compare_tokens([[], []]).overlaps == (Overlap(0, 1, 0, 1.0, 1.0, 1.0),)
    assert compare_tokens([aligned("a"), []]).overlaps == (Overlap(0, 1, 0, 0.0, 0.0, 0.0),)


def test_rank_biased_overlap_by_hand():
    # Agreements 0, 0, 2/3, 2/4, 2/5, 2/6, 2/7; p = 0.9:
    # 0.1 · (0.54 + 0.3645 + 0.26244 + 0.19683 + 0.151840) + 0.4782969 · 2/7
    assert rank_biased_overlap(LEFT, RIGHT) == pytest.approx(0.151561 + 0.136656, abs=1e-6)
    # Even lists: a at 1, nothing at 2; p = 1/2: 1/2 · 1 + 1/4 · 1/2 + 1/4 · 1/2
    assert rank_biased_overlap("ab", "ac", persistence=0.5) == 0.75
    # Uneven: below its end the short list goes on to agree, so all depths agree
    assert rank_biased_overlap("a", "ab") == pytest.approx(1.0)
    # (X_2 - X_1) / 2 + X_1 / 1 with X_1 = 0, X_2 = 1: depths 0, then 1/2 for ever
    assert rank_biased_overlap("b", "ab", persistence=0.5) == 0.25


@given(rankings, rankings, st.sampled_from([0.3, 0.9, 0.98]))
def test_rank_biased_overlap_is_the_endless_sum(first, second, p):
    expected = endless(first, second, p) if first and second else float(first == second)
    found = rank_biased_overlap(first, second, persistence=p)
    assert found == pytest.approx(expected, abs=1e-9)
    assert found == rank_biased_overlap(second, first, persistence=p)
    assert -1e-12 <= found <= 1 + 1e-12


@given(rankings.filter(bool))
def test_a_list_overlaps_itself_wholly_and_no_other(items):
    assert rank_biased_overlap(items, items) == pytest.approx(1.0)
    assert rank_biased_overlap(items, [100 + item for item in items]) == 0.0


@given(st.lists(rankings, min_size=2, max_size=4))
def test_every_token_of_every_list_is_told_once(lists):
    made = [
        [AlignedToken(item, f"t{item}", float(-rank), False) for rank, item in enumerate(items)]
        for items in lists
    ]
    found = compare_tokens(made)
    assert {token.token for token in found.tokens} == {f"t{i}" for items in lists for i in items}
    for number, items in enumerate(lists):
        held = [token for token in found.tokens if token.ranks[number] is not None]
        held.sort(key=lambda token: token.ranks[number])
        assert [token.token for token in held] == [f"t{item}" for item in items]
    assert sum(len(names) for names in found.groups().values()) == len(found.tokens)
    assert len(found.overlaps) == math.comb(len(lists), 2)
    for overlap in found.overlaps:
        one, two = set(lists[overlap.first]), set(lists[overlap.second])
        assert overlap.common == len(one & two)
        if one | two:
            assert overlap.jaccard == len(one & two) / len(one | two)
            assert overlap.at_k == len(one & two) / max(len(one), len(two))


def test_the_frame_has_a_row_for_each_token_of_each_list():
    found = compare_tokens([aligned("a", "b"), aligned("b", "c")])
    frame = comparison_frame(
        found, variants=["topic", "mood"], text_ids=["x", "x"], texts=["A text"] * 2
    )
    assert frame.columns.tolist() == [
        *("variant", "text_id", "text", "rank", "token", "weight", "shared")
    ]
    assert frame.to_numpy().tolist() == [
        ["topic", "x", "A text", 1, "a", 10.0, False],
        ["topic", "x", "A text", 2, "b", 9.0, True],
        ["mood", "x", "A text", 1, "b", 10.0, True],
        ["mood", "x", "A text", 2, "c", 9.0, False],
    ]


@pytest.mark.parametrize(
    ("second", "expected"),
    [([3, 4], 1.0), ([-6, -8], -1.0), ([-4, 3], 0.0), ([5, 0], 0.6), ([0, 0], 0.0)],
)
def test_cosine(second, expected):
    vectors = np.array([[3, 4], second], np.float32)
    assert cosine(*vectors) == pytest.approx(expected, abs=1e-12)
    assert abs(cosine(*vectors)) <= 1.0
