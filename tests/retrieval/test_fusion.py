"""Fusion by hand-worked cases, and against a plain implementation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.retrieval.fusion import fuse
from harness.retrieval.ranking import Ranking


def fused(pairs, rankings, fusion, weights=None, top_k=10, **settings):
    weights = weights or [1.0] * len(rankings)
    return pairs(fuse(rankings, fusion=fusion, weights=weights, top_k=top_k, **settings))


def assert_pairs(found, expected):
    assert [[d for d, _ in query] for query in found] == [[d for d, _ in q] for q in expected]
    for query, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose([s for _, s in query], [s for _, s in wanted], rtol=1e-6)


def test_minmax_is_promptreps(ranking, pairs):
    # Dense (3, 2, 1) is (1, 0.5, 0); lexical (10, 5) is (1, 0); absent is 0; each weighs a half.
    dense = ranking([(0, 3.0), (1, 2.0), (2, 1.0)])
    lexical = ranking([(1, 10.0), (4, 5.0)])
    assert_pairs(
        fused(pairs, [dense, lexical], "minmax"), [[(1, 0.75), (0, 0.5), (2, 0.0), (4, 0.0)]]
    )


def test_minmax_of_each_query_by_itself(ranking, pairs):
    dense = ranking([(0, 3.0), (1, 2.0), (2, 1.0)], [(2, 100.0), (0, 0.0)])
    lexical = ranking([], [(0, 5.0), (1, 4.0), (2, 1.0)])
    expected = [[(0, 0.5), (1, 0.25), (2, 0.0)], [(0, 0.5), (2, 0.5), (1, 0.375)]]
    assert_pairs(fused(pairs, [dense, lexical], "minmax"), expected)


def test_minmax_with_negative_scores(ranking, pairs):
    first = ranking([(0, -1.0), (1, -3.0), (2, -5.0)])
    second = ranking([(2, 1.0), (1, -1.0)])
    expected = [[(0, 0.5), (2, 0.5), (1, 0.25)]]
    assert_pairs(fused(pairs, [first, second], "minmax"), expected)


def test_minmax_of_equal_scores_is_one(ranking, pairs):
    flat = ranking([(3, 7.0), (5, 7.0)])
    other = ranking([(5, 2.0), (1, 1.0)])
    assert_pairs(fused(pairs, [flat, other], "minmax"), [[(5, 1.0), (3, 0.5), (1, 0.0)]])
    single = ranking([(3, -7.0)])
    assert_pairs(fused(pairs, [single, other], "minmax"), [[(3, 0.5), (5, 0.5), (1, 0.0)]])


def test_minmax_over_three_modes_with_weights(ranking, pairs):
    modes = [ranking([(0, 1.0), (1, 0.0)]), ranking([(1, 1.0), (0, 0.0)]), ranking([(2, 4.0)])]
    expected = [[(1, 0.5), (2, 0.3), (0, 0.2)]]
    assert_pairs(fused(pairs, modes, "minmax", [2, 5, 3]), expected)


def test_zscore(ranking, pairs):
    # Mean 2, standard deviation √(2/3); mean 8, deviation 2.
    first = ranking([(0, 3.0), (1, 2.0), (2, 1.0)])
    second = ranking([(2, 10.0), (3, 6.0)])
    high = 1 / math.sqrt(2 / 3) / 2
    expected = [[(0, high), (1, 0.0), (2, 0.5 - high), (3, -0.5)]]
    assert_pairs(fused(pairs, [first, second], "zscore"), expected)


def test_zscore_of_equal_scores_is_zero(ranking, pairs):
    flat, other = ranking([(3, 7.0), (5, 7.0)]), ranking([(5, 3.0), (1, 1.0)])
    assert_pairs(fused(pairs, [flat, other], "zscore"), [[(5, 0.5), (3, 0.0), (1, -0.5)]])


def test_rrf(ranking, pairs):
    first = ranking([(0, 3.0), (1, 2.0), (2, 1.0)])
    second = ranking([(2, 1e9), (0, -1e9)])
    expected = [[(0, (1 / 61 + 1 / 62) / 2), (2, (1 / 63 + 1 / 61) / 2), (1, 1 / 62 / 2)]]
    assert_pairs(fused(pairs, [first, second], "rrf"), expected)


def test_rrf_with_another_constant_and_weights(ranking, pairs):
    first, second = ranking([(0, 3.0), (1, 2.0)]), ranking([(1, 9.0)])
    expected = [[(1, 0.75 / 1 + 0.25 / 2), (0, 0.25 / 1)]]
    assert_pairs(fused(pairs, [first, second], "rrf", [1, 3], rrf_k=0.0), expected)


@pytest.mark.parametrize("fusion", ["minmax", "zscore", "rrf"])
def test_weights_count_by_their_share(ranking, fusion):
    modes = [ranking([(0, 3.0), (1, 2.0), (2, 1.5)]), ranking([(2, 9.0), (1, 2.0)])]
    one = fuse(modes, fusion=fusion, weights=[0.25, 0.75], top_k=5)
    other = fuse(modes, fusion=fusion, weights=[2, 6], top_k=5)
    np.testing.assert_array_equal(one.documents, other.documents)
    np.testing.assert_array_equal(one.scores, other.scores)


def test_a_mode_that_weighs_nothing_still_finds_its_documents(ranking, pairs):
    modes = [ranking([(0, 3.0), (1, 2.0)]), ranking([(4, 9.0), (1, 2.0)])]
    expected = [[(0, 1.0), (1, 0.0), (4, 0.0)]]
    assert_pairs(fused(pairs, modes, "minmax", [1, 0]), expected)


@pytest.mark.parametrize("fusion", ["minmax", "zscore", "rrf"])
def test_a_mode_that_finds_nothing(ranking, pairs, fusion):
    some, none = ranking([(1, 3.0), (0, 1.0)], []), Ranking.empty(2, 3)
    alone = fused(pairs, [some], fusion)
    halved = [[(d, s / 2) for d, s in query] for query in alone]
    assert_pairs(fused(pairs, [some, none], fusion), halved)
    assert_pairs(fused(pairs, [none, some], fusion), halved)
    assert fused(pairs, [none, none], fusion) == [[], []]
    assert fused(pairs, [Ranking.empty(1, 0), Ranking.empty(1, 0)], fusion) == [[]]


def test_equal_sums_are_ordered_by_document(ranking, pairs):
    modes = [ranking([(9, 2.0), (4, 1.0)]), ranking([(4, 2.0), (9, 1.0)])]
    assert_pairs(fused(pairs, modes, "minmax"), [[(4, 0.5), (9, 0.5)]])


def test_no_queries():
    found = fuse([Ranking.empty(0, 3)] * 2, fusion="minmax", weights=[1, 1], top_k=4)
    assert found.documents.shape == (0, 4)


def test_top_k_cuts_and_pads(ranking, pairs):
    modes = [ranking([(0, 3.0), (1, 2.0), (2, 1.0)]), ranking([(0, 3.0)])]
    assert_pairs(fused(pairs, modes, "minmax", top_k=2), [[(0, 1.0), (1, 0.25)]])
    found = fuse(modes, fusion="minmax", weights=[1, 1], top_k=5)
    assert found.documents.tolist() == [[0, 1, 2, -1, -1]]
    assert found.scores[0, 3:].tolist() == [-np.inf] * 2
    assert found.documents.dtype == np.int32
    assert found.scores.dtype == np.float32


def plain(modes, fusion, weights, rrf_k):
    """One query's fused scores by document, with dictionaries."""
    fused = {}
    for mode, weight in zip(modes, weights, strict=True):
        scores = [score for _, score in mode]
        mean = sum(scores) / len(scores) if scores else 0
        deviation = math.sqrt(sum((s - mean) ** 2 for s in scores) / len(scores)) if scores else 0
        for rank, (document, score) in enumerate(mode, start=1):
            if fusion == "rrf":
                value = 1 / (rrf_k + rank)
            elif fusion == "minmax":
                spread = max(scores) - min(scores)
                value = (score - min(scores)) / spread if spread else 1.0
            else:
                value = (score - mean) / deviation if deviation else 0.0
            fused[document] = fused.get(document, 0.0) + value * weight / sum(weights)
    return fused


@given(data=st.data(), fusion=st.sampled_from(["minmax", "zscore", "rrf"]))
def test_equals_a_plain_implementation(ranking, pairs, plain_ranking, data, fusion):
    scores = st.floats(-100, 100, width=16)
    modes = data.draw(
        st.lists(
            st.lists(st.dictionaries(st.integers(0, 9), scores), min_size=2, max_size=2),
            min_size=1,
            max_size=3,
        )
    )
    weights = data.draw(st.tuples(*[st.integers(1, 4)] * len(modes)))
    k = data.draw(st.integers(1, 12))
    ordered = [
        [plain_ranking([query.get(d) for d in range(10)], 10) for query in mode] for mode in modes
    ]
    rankings = [ranking(*mode) for mode in ordered]
    found = fuse(rankings, fusion=fusion, weights=weights, top_k=k, rrf_k=60.0)
    for row, query in enumerate(pairs(found)):
        expected = plain([mode[row] for mode in ordered], fusion, weights, 60.0)
        assert len(query) == min(k, len(expected))
        best = sorted(expected.values(), reverse=True)[:k]
        np.testing.assert_allclose([s for _, s in query], best, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            [s for _, s in query], [expected[d] for d, _ in query], rtol=1e-5, atol=1e-6
        )
        assert query == sorted(query, key=lambda pair: (-pair[1], pair[0]))


def test_equal_sums_by_descending_document_where_asked(ranking, pairs):
    modes = [ranking([(0, 3.0), (5, 1.0)], [(2, 1.0)]), ranking([(5, 8.0), (0, 2.0)], [(7, 1.0)])]
    assert fused(pairs, modes, "minmax") == [[(0, 0.5), (5, 0.5)], [(2, 0.5), (7, 0.5)]]
    found = fused(pairs, modes, "minmax", descending_ties=True)
    assert found == [[(5, 0.5), (0, 0.5)], [(7, 0.5), (2, 0.5)]]
