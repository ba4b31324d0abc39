"""Weights of a text's own terms, by hand, against plain loops and scikit-learn."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from harness.alignment.term_weights import TermWeights
from harness.alignment.vocabulary import token_counts
from harness.embedding.ragged import Ragged

WEIGHTINGS = ("binary", "idf", "tf_idf", "bm25")
TEXTS = [[0, 1, 1, 2], [2, 0, 2], [0, 3], []]
IDF = [math.log(5 / 4), math.log(5 / 2), math.log(5 / 3), math.log(5 / 2), math.log(5)]


def counts(texts, size=5):
    return token_counts(Ragged.from_rows(texts), np.ones(size, np.bool_))


def normalised(rows):
    return [[value / (math.hypot(*row) or 1) for value in row] for row in rows]


def plain_rows(corpus, texts, weighting, size):
    """Weighted texts by loops over their terms."""
    mean = sum(map(len, corpus)) / len(corpus)
    rows = []
    for text in texts:
        row = [0.0] * size
        for term, tf in Counter(text).items():
            holding = sum(term in document for document in corpus)
            idf = math.log((len(corpus) + 1) / (holding + 1))
            row[term] = {
                "binary": 1.0,
                "idf": idf,
                "tf_idf": (1 + math.log(tf)) * idf,
                "bm25": idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * len(text) / mean)),
            }[weighting]
        rows.append(row)
    return normalised(rows)


def test_of_a_corpus():
    terms = TermWeights.of(counts(TEXTS))
    np.testing.assert_allclose(terms.idf, IDF, rtol=1e-6)
    assert terms.idf.dtype == np.float32
    assert terms.mean_length == 9 / 4


# By hand: the first text is 4 terms long, its corpus 9/4 on average, so a tf of BM25 saturates at
# 1.2·(0.25 + 0.75·16/9) = 1.9; the second at 1.2·(0.25 + 0.75·4/3) = 1.5, the third at
# 1.2·(0.25 + 0.75·8/9) = 1.1.
BY_HAND = {
    "binary": [[1, 1, 1, 0], [1, 0, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0]],
    "idf": [[IDF[0], IDF[1], IDF[2], 0], [IDF[0], 0, IDF[2], 0], [IDF[0], 0, 0, IDF[3]], [0] * 4],
    "tf_idf": [
        [IDF[0], (1 + math.log(2)) * IDF[1], IDF[2], 0],
        [IDF[0], 0, (1 + math.log(2)) * IDF[2], 0],
        [IDF[0], 0, 0, IDF[3]],
        [0] * 4,
    ],
    "bm25": [
        [2.2 / 2.9 * IDF[0], 4.4 / 3.9 * IDF[1], 2.2 / 2.9 * IDF[2], 0],
        [2.2 / 2.5 * IDF[0], 0, 4.4 / 3.5 * IDF[2], 0],
        [2.2 / 2.1 * IDF[0], 0, 0, 2.2 / 2.1 * IDF[3]],
        [0] * 4,
    ],
}


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_by_hand(weighting):
    own = counts(TEXTS, 4)
    found = TermWeights.of(own).rows(own, weighting)
    np.testing.assert_allclose(found.toarray(), normalised(BY_HAND[weighting]), rtol=1e-6)
    assert found.dtype == np.float32
    assert isinstance(found, sparse.csr_array)
    np.testing.assert_array_equal(own.toarray()[0], [1, 2, 1, 0])  # counts stay as they are


TEXT_LISTS = st.lists(st.lists(st.integers(0, 6), max_size=12), min_size=1, max_size=8)


@given(corpus=TEXT_LISTS.filter(any), texts=TEXT_LISTS, weighting=st.sampled_from(WEIGHTINGS))
def test_other_texts_are_weighted_by_the_corpus_as_plain_loops_do(corpus, texts, weighting):
    found = TermWeights.of(counts(corpus, 7)).rows(counts(texts, 7), weighting)
    expected = plain_rows(corpus, texts, weighting, 7)
    np.testing.assert_allclose(found.toarray(), expected, rtol=2e-6, atol=1e-7)


@given(corpus=TEXT_LISTS, weighting=st.sampled_from(WEIGHTINGS))
def test_rows_have_a_length_of_one_or_nothing(corpus, weighting):
    own = counts(corpus, 7)
    found = TermWeights.of(own).rows(own, weighting)
    assert (found.data > 0).all()  # no weight of 0 is stored
    holding = np.bincount(own.indices, minlength=7)
    for row, text in enumerate(corpus):
        terms = found.indices[found.indptr[row] : found.indptr[row + 1]].tolist()
        rare = {term for term in text if weighting == "binary" or holding[term] < len(corpus)}
        assert sorted(terms) == sorted(rare)
        norm = np.linalg.norm(found.toarray()[row].astype(np.float64))
        assert norm == (pytest.approx(1, abs=1e-6) if terms else 0)


def test_idf_and_tf_idf_equal_scikit_learn():
    """Its smooth idf is ours and 1 more, which keeps terms that all documents hold."""
    from sklearn.feature_extraction.text import TfidfTransformer

    rng = np.random.default_rng(0)
    own = counts([rng.integers(0, 30, rng.integers(1, 40)).tolist() for _ in range(50)], 30)
    terms = TermWeights.of(own)
    for weighting, sublinear in (("idf", False), ("tf_idf", True)):
        reference = TfidfTransformer(smooth_idf=True, sublinear_tf=sublinear)
        given = sparse.csr_matrix(own.astype(np.float64))
        given.data = given.data if sublinear else np.ones_like(given.data)
        reference.fit(given)
        np.testing.assert_allclose(terms.idf, reference.idf_ - 1, rtol=1e-5, atol=1e-7)
        reference.idf_ = reference.idf_ - 1
        expected = reference.transform(given).toarray()
        np.testing.assert_allclose(terms.rows(own, weighting).toarray(), expected, rtol=1e-5)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_nothing_to_weigh(weighting):
    none = counts([])
    terms = TermWeights.of(none)
    assert terms.mean_length == 0
    assert not terms.idf.any()
    assert terms.rows(none, weighting).shape == (0, 5)
    empty = TermWeights.of(counts([[], []]))
    assert empty.rows(counts([[], []]), weighting).nnz == 0
    np.testing.assert_allclose(empty.idf, math.log(3), rtol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 10])
def test_parts_of_a_corpus_weigh_as_the_whole(size):
    rng = np.random.default_rng(0)
    counts = sparse.csr_array(rng.integers(0, 3, (10, 6)).astype(np.float32))
    parts = [counts[start : start + size] for start in range(0, 10, size)]
    whole, summed = TermWeights.of(counts), TermWeights.of_parts(parts)
    np.testing.assert_array_equal(summed.idf, whole.idf)
    assert summed.mean_length == whole.mean_length == counts.sum() / 10
