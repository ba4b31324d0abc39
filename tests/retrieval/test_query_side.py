"""Query weights against a plain loop over sets, and what is read for them."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.alignment.lexicon import TokenLexicon
from harness.alignment.term_weights import TermWeights
from harness.alignment.vocabulary import token_counts
from harness.config import AlignedSparseConfig
from harness.embedding.ragged import Ragged
from harness.retrieval.query_side import QuerySide, query_matrix

SIZE = 12
MOST = (0, 1, 3)
QUERY_WEIGHTS = ("binary", "idf", "score")
DOC_WEIGHTS = ("raw", "relu", "log1p", "binary")
ALLOWED = np.array([False, True, True, False] + [True] * 8)


class Case:
    """Queries of small integers: logits are exact, ties are frequent; the second has no text."""

    def __init__(self, seed, fake_texts, fake_head, *, allowed=ALLOWED, queries=6):
        rng = np.random.default_rng(seed)
        self.tokens = [
            rng.integers(0, SIZE, rng.integers(0, 7)).tolist() if row != 1 else []
            for row in range(queries)
        ]
        self.embeddings = rng.integers(-2, 3, (queries, 3))
        self.matrix = rng.integers(-2, 3, (SIZE, 3))
        self.logits = (self.embeddings @ self.matrix.T).tolist()
        self.corpus = [rng.integers(0, SIZE, rng.integers(0, 9)).tolist() for _ in range(10)]
        self.allowed = allowed
        self.queries = fake_texts(tokens=self.tokens, embeddings=self.embeddings)
        self.head = fake_head(self.matrix)
        self.head.lexicon = TokenLexicon(None, SIZE)

    def side(self, most, *, scores=True, literal=False):
        terms = TermWeights.of(token_counts(Ragged.from_rows(self.corpus), self.allowed))
        return QuerySide.of(
            self.head, self.queries, self.allowed, terms, most=most, scores=scores, literal=literal
        )

    def plain(self, m, query_weight, doc_weight, *, literal=False):
        """Each query's weights by term."""
        allowed = set(np.flatnonzero(self.allowed).tolist())
        held = [set(document) & allowed for document in self.corpus]
        rows = []
        for tokens, logits in zip(self.tokens, self.logits, strict=True):
            own = set(tokens) & allowed
            usable = own if literal else allowed
            terms = own | set(sorted(usable, key=lambda term: (-logits[term], term))[:m])
            rows.append({})
            for term in terms:
                holding = sum(term in document for document in held)
                rows[-1][term] = {
                    "binary": 1.0,
                    "idf": math.log((len(held) + 1) / (holding + 1)),
                    "score": plain_weight(logits[term], doc_weight),
                }[query_weight]
        return rows


def plain_weight(logit, how):
    positive = max(logit, 0)
    return {"raw": logit, "relu": positive, "log1p": math.log1p(positive), "binary": 1}[how]


def setting(m, query_weight="binary", doc_weight="raw"):
    return AlignedSparseConfig(query_expansion=m, query_weight=query_weight, doc_weight=doc_weight)


def rows_of(matrix):
    """Rows as dictionaries; a weight of 0 counts as a term, as the index's work does."""
    return [
        dict(zip(matrix.indices[start:end].tolist(), matrix.data[start:end].tolist(), strict=True))
        for start, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)
    ]


@pytest.fixture
def case(fake_texts, fake_head):
    return lambda seed=0, **settings: Case(seed, fake_texts, fake_head, **settings)


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("doc_weight", DOC_WEIGHTS)
@pytest.mark.parametrize(("m", "query_weight"), itertools.product(MOST, QUERY_WEIGHTS))
def test_every_combination_equals_a_plain_loop(case, m, query_weight, doc_weight, literal):
    for seed in range(4):
        own = case(seed)
        config = setting(m, query_weight, doc_weight)
        expected = own.plain(m, query_weight, doc_weight, literal=literal)
        for most, scores in ((3, True), (m, query_weight == "score")):
            matrix = query_matrix(own.side(most, scores=scores, literal=literal), config)
            assert matrix.shape == (6, SIZE)
            assert matrix.dtype == np.float32
            for found, wanted in zip(rows_of(matrix), expected, strict=True):
                assert list(found) == sorted(wanted)  # columns ascend
                assert found == pytest.approx(wanted, rel=1e-6)


@given(
    seed=st.integers(0, 2**32 - 1), m=st.integers(0, 5), query_weight=st.sampled_from(QUERY_WEIGHTS)
)
def test_a_side_with_more_gives_what_one_with_just_enough_gives(
    fake_texts, fake_head, seed, m, query_weight
):
    own = Case(seed, fake_texts, fake_head)
    matrices = [
        query_matrix(own.side(most), setting(m, query_weight)) for most in (m, m + 1, SIZE + 5)
    ]
    for matrix in matrices[1:]:
        np.testing.assert_array_equal(matrix.indptr, matrices[0].indptr)
        np.testing.assert_array_equal(matrix.indices, matrices[0].indices)
        np.testing.assert_array_equal(matrix.data, matrices[0].data)


def test_a_side_is_not_changed_by_what_is_made_of_it(case):
    side = case().side(3)
    before = [side.sets.toarray(), side.logits.toarray(), side.idf.copy()]
    for m, query_weight in itertools.product(MOST, QUERY_WEIGHTS):
        query_matrix(side, setting(m, query_weight))
    for copy, now in zip(
        before, [side.sets.toarray(), side.logits.toarray(), side.idf], strict=True
    ):
        np.testing.assert_array_equal(copy, now)
    assert (side.sets.data == 1).all()


def test_by_hand(fake_texts, fake_head):
    """The first query is {1}, its logits are 5, -3, 2 and 4; the second is empty."""
    head = fake_head([[5], [-3], [2], [4]])
    head.lexicon = TokenLexicon(None, 4)
    corpus = token_counts(Ragged.from_rows([[0, 1], [0], [0, 1], [2]]), np.ones(4, np.bool_))
    side = QuerySide.of(
        head,
        fake_texts(tokens=[[1, 1], []], embeddings=[[1], [-1]]),
        np.ones(4, np.bool_),
        TermWeights.of(corpus),
        most=2,
        scores=True,
    )
    assert query_matrix(side, setting(0)).toarray().tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]
    assert query_matrix(side, setting(1)).toarray().tolist() == [[1, 1, 0, 0], [0, 1, 0, 0]]
    assert query_matrix(side, setting(2)).toarray().tolist() == [[1, 1, 0, 1], [0, 1, 1, 0]]
    scores = query_matrix(side, setting(2, "score")).toarray()
    assert scores.tolist() == [[5, -3, 0, 4], [0, 3, -2, 0]]
    scores = query_matrix(side, setting(2, "score", "relu")).toarray()
    assert scores.tolist() == [[5, 0, 0, 4], [0, 3, 0, 0]]
    idf = query_matrix(side, setting(1, "idf")).toarray()
    np.testing.assert_allclose(idf[0], [math.log(5 / 4), math.log(5 / 3), 0, 0], rtol=1e-6)


class TestWhatIsRead:
    def test_no_model_runs_where_nothing_asks_for_it(self, case):
        own = case()
        side = own.side(0, scores=False)
        assert own.queries.asked == ["literal_tokens"]
        assert side.expansion is None
        assert side.logits is None

    @pytest.mark.parametrize(("most", "scores"), [(1, False), (0, True), (3, True)])
    def test_a_model_runs_where_terms_are_added_or_weighed_by_it(self, case, most, scores):
        own = case()
        side = own.side(most, scores=scores)
        assert "embeddings" in own.queries.asked
        assert (side.expansion is not None) == (most > 0)
        assert (side.logits is not None) == scores

    def test_logits_are_those_of_all_terms_that_a_setting_may_ask_for(self, case):
        own = case()
        side = own.side(3)
        widest = query_matrix(side, setting(3))
        np.testing.assert_array_equal(side.logits.indices, widest.indices)
        rows = np.repeat(np.arange(6), np.diff(widest.indptr))
        np.testing.assert_array_equal(side.logits.data, np.array(own.logits)[rows, widest.indices])


def test_fewer_terms_than_are_asked_for(case):
    allowed = np.zeros(SIZE, np.bool_)
    allowed[[4, 7]] = True
    own = case(allowed=allowed)
    for query_weight in QUERY_WEIGHTS:
        found = rows_of(query_matrix(own.side(3), setting(3, query_weight)))
        assert [sorted(row) for row in found] == [[4, 7]] * 6
        assert found == [pytest.approx(row) for row in own.plain(3, query_weight, "raw")]


def test_no_queries(case):
    own = case(queries=0)
    for m, query_weight in itertools.product(MOST, QUERY_WEIGHTS):
        assert query_matrix(own.side(3), setting(m, query_weight)).shape == (0, SIZE)
