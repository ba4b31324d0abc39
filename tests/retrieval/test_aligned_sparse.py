"""Aligned sparse retrieval against plain Python, written from the paper's section 2."""

import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import Stemmer
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from harness.alignment.term_weights import TermWeights
from harness.config import (
    AlignedSparseConfig,
    InstructionConfig,
    LmHeadConfig,
    MeanPoolingConfig,
    ModelConfig,
    RidgeHeadConfig,
    TransformersBackendConfig,
    build,
    parse_component,
)
from harness.embedding.ragged import Ragged
from harness.errors import BadInputError
from harness.retrieval.aligned_sparse import AlignedSparseRetriever
from harness.retrieval.documents import weigh
from harness.retrieval.retriever import Dependencies

WORDS = ("[PAD]", ".", ",", "the", "of", *(f"word{i}" for i in range(5, 24)))
SETTINGS = [
    {
        "doc_weight": doc_weight,
        "doc_norm": doc_norm,
        "query_weight": query_weight,
        "scope": scope,
        "query_expansion": expansion,
    }
    for doc_weight, doc_norm, query_weight, scope, expansion in itertools.product(
        ("raw", "relu", "log1p", "binary"),
        ("none", "l2"),
        ("binary", "idf", "score"),
        ("vocabulary", "literal"),
        (0, 3),
    )
]

PAPER = {"doc_weight": "raw", "doc_norm": "none", "query_weight": "binary"}


def config_of(**settings):
    """The paper's own definition, with other settings."""
    return AlignedSparseConfig(**{**PAPER, **settings})


class Collection:
    """Documents and queries of small integers: logits are exact, ties are frequent."""

    def __init__(self, seed, documents=25, queries=8, width=4):
        rng = np.random.default_rng(seed)
        self.matrix = rng.integers(-3, 4, (len(WORDS), width))
        self.documents = rng.integers(-3, 4, (documents, width))
        self.document_tokens = [
            rng.integers(0, len(WORDS), rng.integers(0, 9)).tolist() for _ in range(documents)
        ]
        self.queries = rng.integers(-3, 4, (queries, width))
        self.query_tokens = [
            rng.integers(0, len(WORDS), rng.integers(0, 6)).tolist() for _ in range(queries)
        ]
        self.documents[3] = 0  # all of its weights are 0
        self.document_tokens[4] = self.query_tokens[0] = []  # empty texts
        for copy in (7, 20):
            self.documents[copy] = self.documents[1]
            self.document_tokens[copy] = self.document_tokens[1]


def plain_weight(logit, how):
    return {
        "raw": logit,
        "relu": max(logit, 0),
        "log1p": math.log1p(max(logit, 0)),
        "binary": 1,
    }[how]


def plain_top(logits, count, allowed):
    return sorted(allowed, key=lambda token: (-logits[token], token))[:count]


def unit(weights):
    norm = math.sqrt(sum(weight**2 for weight in weights.values()))
    return {token: weight / (norm or 1) for token, weight in weights.items()}


def plain_bm25(documents, allowed):
    """Each document's own terms by BM25 (k1 = 1.2, b = 0.75), L2-normalised."""
    documents = [[token for token in tokens if token in allowed] for tokens in documents]
    mean = sum(map(len, documents)) / len(documents)
    rows = []
    for tokens in documents:
        rows.append({})
        for token in set(tokens):
            holding = sum(token in other for other in documents)
            idf = math.log((len(documents) + 1) / (holding + 1))
            tf = tokens.count(token)
            rows[-1][token] = idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * len(tokens) / mean))
    return [unit(row) for row in rows]


def plain_mixture(aligned, literal, config):
    """The K largest of aligned and literal weights, both normalised."""
    aligned, share = unit(aligned), config.literal_share
    mixed = {
        token: (1 - share) * aligned.get(token, 0) + share * literal.get(token, 0)
        for token in aligned.keys() | literal.keys()
    }
    held = {token for token, weight in mixed.items() if weight}
    kept = {token: mixed[token] for token in plain_top(mixed, config.doc_top_k, held)}
    return unit(kept) if config.doc_norm == "l2" else kept


def plain_search(data, config, *, dropped=frozenset({0})):
    """Each query's scores of all documents; None where a document is not found."""
    allowed = set(range(len(data.matrix))) - dropped
    sets = [set(tokens) & allowed for tokens in data.document_tokens]
    logits = (data.documents @ data.matrix.T).tolist()
    documents = []
    for row, values in enumerate(logits):
        usable = sets[row] if config.scope == "literal" else allowed
        kept = plain_top(values, config.doc_top_k, usable)
        weights = {token: plain_weight(values[token], config.doc_weight) for token in kept}
        if config.doc_norm == "l2":
            weights = unit(weights)
        documents.append(weights)
    if config.literal_share:
        own_terms = plain_bm25(data.document_tokens, allowed)
        documents = [
            plain_mixture(aligned, literal, config)
            for aligned, literal in zip(documents, own_terms, strict=True)
        ]
    frequency = {token: sum(token in tokens for tokens in sets) for token in allowed}
    results = []
    for tokens, values in zip(
        data.query_tokens, (data.queries @ data.matrix.T).tolist(), strict=True
    ):
        query = set(tokens) & allowed
        usable = query if config.scope == "literal" else allowed
        query |= set(plain_top(values, config.query_expansion, usable))
        weights = {
            token: {
                "binary": 1,
                "idf": math.log((len(documents) + 1) / (frequency[token] + 1)),
                "score": plain_weight(values[token], config.doc_weight),
            }[config.query_weight]
            for token in query
        }
        scores = []
        for document in documents:
            shared = [weights[token] * document[token] for token in sorted(query & document.keys())]
            scores.append(math.fsum(shared) if any(shared) else None)
        results.append(scores)
    return results


@pytest.fixture
def sparse(dependencies, fake_head, fake_texts):
    """Indexes a collection; returns the retriever and the queries."""

    def make(data, **settings):
        retriever = AlignedSparseRetriever(
            config_of(**settings),
            dependencies=dependencies(head=fake_head(data.matrix), words=WORDS, name="sparse"),
        )
        corpus = fake_texts(embeddings=data.documents, tokens=data.document_tokens)
        retriever.index(corpus)
        return retriever, fake_texts(embeddings=data.queries, tokens=data.query_tokens)

    return make


def assert_same_ranking(found, scores, k):
    """Equal to rounding: the same scores by rank, each found document's own, ties by document."""
    assert len(found) <= k
    best = sorted((score for score in scores if score is not None), reverse=True)[:k]
    # A sum that cancels to about 0 may be found or not.
    certain = [score for score in best if abs(score) > 1e-6]
    np.testing.assert_allclose(
        [score for _, score in found if abs(score) > 1e-6], certain, rtol=1e-5, atol=1e-6
    )
    for document, score in found:
        assert score == pytest.approx(scores[document], rel=1e-5, abs=1e-6)
    assert found == sorted(found, key=lambda pair: (-pair[1], pair[0]))


@pytest.mark.parametrize(
    "settings", SETTINGS, ids=lambda settings: "-".join(map(str, settings.values()))
)
def test_every_combination_equals_plain_python(sparse, pairs, plain_ranking, settings):
    exact = settings["doc_weight"] != "log1p" and settings["doc_norm"] == "none"
    exact &= settings["query_weight"] != "idf"
    for seed, k in ((0, 1000), (1, 7), (2, 1)):
        data = Collection(seed)
        retriever, queries = sparse(data, doc_top_k=6, **settings)
        expected = plain_search(data, config_of(doc_top_k=6, **settings))
        found = pairs(retriever.search(queries, k))
        assert found[0] == [] or settings["query_expansion"] > 0  # a query without tokens
        for query, scores in zip(found, expected, strict=True):
            assert_same_ranking(query, scores, k)
            if exact:  # integers: not even the order of ties may differ
                assert query == plain_ranking([score or None for score in scores], k)


@pytest.mark.parametrize("k", [1, 5, 24, 100])
def test_k_up_to_more_than_the_vocabulary(sparse, pairs, plain_ranking, k):
    data = Collection(5)
    retriever, queries = sparse(data, doc_top_k=k)
    expected = plain_search(data, config_of(doc_top_k=k))
    for query, scores in zip(pairs(retriever.search(queries, 50)), expected, strict=True):
        assert query == plain_ranking([score or None for score in scores], 50)


def test_filters_apply_to_documents_queries_and_expansion(sparse, pairs, plain_ranking):
    data = Collection(8)
    settings = {"doc_top_k": 5, "query_expansion": 4}
    for filters, dropped in (
        ({}, {0}),
        ({"drop_special": False}, set()),
        ({"drop_punctuation": True}, {0, 1, 2}),
        ({"drop_stopwords": True}, {0, 3, 4}),
        ({"drop_punctuation": True, "drop_stopwords": True}, {0, 1, 2, 3, 4}),
    ):
        retriever, queries = sparse(data, **settings, **filters)
        expected = plain_search(data, config_of(**settings), dropped=dropped)
        for query, scores in zip(pairs(retriever.search(queries, 50)), expected, strict=True):
            assert query == plain_ranking([score or None for score in scores], 50)


class Literal(Collection):
    """Three documents and three tokens, [PAD] apart, whose logits are the embeddings."""

    def __init__(self, documents, query_tokens, queries=None, document_tokens=None):
        self.matrix = np.eye(4)[:, 1:]
        self.documents = np.array(documents)
        self.query_tokens = query_tokens
        self.queries = np.zeros((len(query_tokens), 3)) if queries is None else np.array(queries)
        self.document_tokens = document_tokens or [[]] * len(documents)


def test_the_score_is_the_sum_of_the_documents_values(sparse, pairs):
    data = Literal([[5, 3, 1], [1, 5, 3], [2, 2, 2]], [[1, 2, 2], [3], [0]])
    retriever, queries = sparse(data, doc_top_k=2)
    # The first keeps tokens 1 and 2, the second 2 and 3, the third 1 and 2, its first of equals.
    assert pairs(retriever.search(queries, 3)) == [
        [(0, 8.0), (1, 5.0), (2, 4.0)],
        [(1, 3.0)],
        [],
    ]


def test_negative_raw_weights_lower_a_score(sparse, pairs):
    data = Literal([[-1, -2, -4], [3, -2, -4]], [[1, 2], [3]])
    retriever, queries = sparse(data, doc_top_k=3)
    assert pairs(retriever.search(queries, 3)) == [[(1, 1.0), (0, -3.0)], [(0, -4.0), (1, -4.0)]]


@pytest.mark.parametrize("doc_norm", ["none", "l2"])
@pytest.mark.parametrize("doc_weight", ["relu", "log1p"])
def test_a_document_without_a_positive_weight_is_not_found(sparse, pairs, doc_weight, doc_norm):
    data = Literal([[-1, 0, -4], [0, 1, 0]], [[1, 2, 3]])
    retriever, queries = sparse(data, doc_weight=doc_weight, doc_norm=doc_norm)
    ((document, score),) = pairs(retriever.search(queries, 3))[0]
    one = math.log1p(1) if doc_weight == "log1p" and doc_norm == "none" else 1.0
    assert (document, score) == (1, pytest.approx(one))
    assert retriever.work(queries).scoring_flops == 2 * 1


def test_expansion_adds_what_the_query_aligns_to(sparse, pairs):
    data = Literal([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[1], [1]], queries=[[0, 0, 9], [9, 0, 0]])
    retriever, queries = sparse(data, doc_top_k=1, query_expansion=1)
    assert pairs(retriever.search(queries, 3)) == [[(0, 1.0), (2, 1.0)], [(0, 1.0)]]


def test_idf_is_of_the_corpus_text(sparse, pairs):
    data = Literal([[1, 1, 1]] * 3, [[1], [2], [3]], document_tokens=[[1, 2], [1, 2, 2], [1, 3]])
    retriever, queries = sparse(data, query_weight="idf")
    found = pairs(retriever.search(queries, 1))
    assert found[0] == []  # in every document: weighs nothing
    assert found[1] == [(0, pytest.approx(math.log(4 / 3)))]
    assert found[2] == [(0, pytest.approx(math.log(4 / 2)))]


def test_terms_of_queries_and_documents(sparse):
    data = Literal([[5, 3, 1], [1, 5, 3], [2, 2, 2]], [[1, 2, 2], [3], [0]])
    retriever, queries = sparse(data, doc_top_k=2)
    matches = retriever.explain(queries, Ragged.from_rows([[1, 0], [1], []]))
    assert matches.queries.toarray().tolist() == [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert matches.documents.toarray().tolist() == [[0, 0, 5, 3], [0, 5, 3, 0], [0, 0, 5, 3]]
    assert matches.scores.tolist() == [5, 8, 3]


@pytest.mark.parametrize("index_weights", ["float32", "uint8"])
def test_scores_are_the_sums_that_are_explained(sparse, pairs, index_weights):
    data = Collection(3)
    settings = {"doc_weight": "log1p", "doc_norm": "l2", "query_weight": "idf"}
    retriever, queries = sparse(data, doc_top_k=6, index_weights=index_weights, **settings)
    found = pairs(retriever.search(queries, 50))
    documents = Ragged.from_rows([[document for document, _ in query] for query in found])
    matches = retriever.explain(queries, documents)
    assert matches.scores.tolist() == [score for query in found for _, score in query]
    own = matches.queries[documents.row_numbers()].multiply(matches.documents)
    np.testing.assert_allclose(own.sum(axis=1), matches.scores, rtol=1e-6)


@pytest.mark.parametrize("query_weight", ["binary", "idf"])
@pytest.mark.parametrize("scope", ["vocabulary", "literal"])
def test_without_expansion_no_model_runs_for_a_query(sparse, query_weight, scope):
    retriever, queries = sparse(Collection(0), query_weight=query_weight, scope=scope)
    retriever.tokenise(queries)
    retriever.encode(queries)
    retriever.search(queries, 10)
    work = retriever.work(queries)
    assert set(queries.asked) == {"literal_tokens"}
    assert (work.encodes_queries, work.head_reads_queries) == (False, False)
    assert (work.encodes_documents, work.head_reads_documents) == (True, True)


@pytest.mark.parametrize("settings", [{"query_expansion": 1}, {"query_weight": "score"}])
def test_with_expansion_or_scores_a_model_runs_for_a_query(sparse, settings):
    retriever, queries = sparse(Collection(0), **settings)
    retriever.tokenise(queries)
    assert queries.asked == ["literal_tokens", "prompts"]
    retriever.encode(queries)
    assert queries.asked[2:] == ["embeddings"]
    work = retriever.work(queries)
    assert (work.encodes_queries, work.head_reads_queries) == (True, True)


def test_work_counts_postings(sparse):
    data = Literal([[5, 3, 1], [1, 5, 3], [2, 2, -1]], [[1, 2, 2], [3], []])
    retriever, queries = sparse(data, doc_top_k=2)
    work = retriever.work(queries)
    # Postings: token 1 in documents 0 and 2, token 2 in all, token 3 in document 1.
    assert work.scoring_flops == 2 * (2 + 3 + 1) / 3
    # Σ_v p_q(v)·p_d(v) over tokens 1, 2 and 3.
    assert work.splade_flops == pytest.approx((1 / 3) * (2 / 3) + (1 / 3) * 1 + (1 / 3) * (1 / 3))
    assert work.index_bytes == 6 * (4 + 2) + 3 * 4 + 4 * 4  # postings, tokens, offsets


@pytest.mark.parametrize(
    "settings",
    [{}, {"query_weight": "idf"}, {"query_weight": "score", "query_expansion": 3}],
    ids=["binary", "idf", "score"],
)
def test_reranking_equals_plain_python(sparse, pairs, settings):
    data = Collection(11)
    retriever, queries = sparse(data, doc_top_k=6, **settings)
    expected = plain_search(data, config_of(doc_top_k=6, **settings))
    candidates = [list(range(row, 25, 3)) for row in range(7)] + [[]]
    found = pairs(retriever.rerank(queries, Ragged.from_rows(candidates), 30))
    for own, ranked, scores in zip(candidates, found, expected, strict=True):
        wanted = sorted(((d, scores[d] or 0.0) for d in own), key=lambda pair: (-pair[1], -pair[0]))
        if "idf" not in settings.values():  # integers: not even the order of ties may differ
            assert ranked == wanted
        assert sorted(d for d, _ in ranked) == own
        np.testing.assert_allclose(
            [s for _, s in ranked], [s for _, s in wanted], rtol=1e-5, atol=1e-6
        )
    copies = dict(pairs(retriever.rerank(queries, Ragged.from_rows([[1, 7, 20]] * 8), 3))[1])
    assert list(copies) == [20, 7, 1]
    assert len(set(copies.values())) == 1


def test_work_on_candidates_counts_shared_tokens(sparse):
    """Of [1, 2] document 0 has both; of [3] document 1 has it and document 2 does not."""
    data = Literal([[5, 3, 1], [1, 5, 3], [2, 2, -1]], [[1, 2, 2], [3], []])
    retriever, queries = sparse(data, doc_top_k=2)
    candidates = Ragged.from_rows([[0], [1, 2], [0, 1, 2]])
    work = retriever.work(queries, candidates)
    assert work.scoring_flops == 2 * (2 + 1) / 3
    assert work.index_bytes == retriever.work(queries).index_bytes


def test_vectors_are_the_aligned_tokens(sparse, fake_texts):
    retriever, _ = sparse(Literal([[5, 3, 1]], []), doc_top_k=2)
    vectors = retriever.vectors(fake_texts(embeddings=[[1, 5, 3], [0, 0, 0], [9, -1, -2]]))
    assert vectors.toarray().tolist() == [[0, 0, 5, 3], [0, 0, 0, 0], [0, 9, -1, 0]]


def test_the_head_learns_before_vectors_are_read(dependencies, fake_head, fake_texts):
    head = fake_head(np.eye(4))
    retriever = AlignedSparseRetriever(
        config_of(doc_norm="l2"), dependencies=dependencies(head=head, words=WORDS[:4])
    )
    texts = fake_texts(embeddings=[[0, 3, 4, 0]], tokens=[[]])
    retriever.prepare(texts)
    assert head.fitted == [texts]
    np.testing.assert_allclose(retriever.vectors(texts).toarray(), [[0, 0.6, 0.8, 0]], rtol=1e-6)
    assert retriever.reads_head
    assert retriever.similarity == "cosine"


def test_no_queries(sparse):
    data = Literal([[1, 2, 3]], [])
    retriever, queries = sparse(data)
    assert retriever.search(queries, 5).documents.shape == (0, 1)
    work = retriever.work(queries)
    assert (work.scoring_flops, work.splade_flops) == (0, 0)


def test_another_corpus_weighs_the_same_queries_anew(sparse, fake_texts, pairs):
    data = Literal([[1, 1, 1]] * 2, [[1]], document_tokens=[[1], [2]])
    retriever, queries = sparse(data, query_weight="idf")
    assert pairs(retriever.search(queries, 1)) == [[(0, pytest.approx(math.log(3 / 2)))]]
    retriever.index(fake_texts(embeddings=[[1, 1, 1]] * 3, tokens=[[1], [2], [2]]))
    assert pairs(retriever.search(queries, 1)) == [[(0, pytest.approx(math.log(4 / 2)))]]


def test_two_modes_weigh_the_same_queries_apart(sparse, pairs):
    data = Literal([[1, 2, 3]], [[1]], queries=[[0, 0, 9]])
    plain, queries = sparse(data)
    expanded, _ = sparse(data, query_expansion=1)
    assert pairs(plain.search(queries, 1)) == [[(0, 1.0)]]
    assert pairs(expanded.search(queries, 1)) == [[(0, 4.0)]]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("doc_weight", ["raw", "relu", "log1p", "binary"])
def test_a_head_that_is_not_finite_is_refused(sparse, value, doc_weight):
    data = Literal([[1, 2, 3]], [[1]])
    data.matrix = data.matrix.copy()
    data.matrix[2] = value
    with pytest.raises(BadInputError, match=r"retrieval.sparse: .*NaN or infinite"):
        sparse(data, doc_weight=doc_weight)


def test_a_minus_infinite_or_nan_query_weight_is_refused(sparse):
    data = Literal([[1, 2, 3]], [[1]], queries=[[np.nan, 0, 0]])
    retriever, queries = sparse(data, query_weight="score")
    with pytest.raises(BadInputError, match=r"retrieval.sparse: .*NaN or infinite"):
        retriever.search(queries, 1)


class RealCollection(Collection):
    """Weights without ties, which rounding could break either way."""

    def __init__(self, seed):
        super().__init__(seed)
        rng = np.random.default_rng(seed)
        self.matrix = rng.standard_normal(self.matrix.shape)
        self.queries = rng.standard_normal(self.queries.shape)
        self.documents = rng.standard_normal(self.documents.shape)
        self.documents[3] = 0
        for copy in (7, 20):
            self.documents[copy] = self.documents[1]


@pytest.mark.parametrize("literal_share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("doc_norm", ["none", "l2"])
@pytest.mark.parametrize("doc_weight", ["raw", "relu", "log1p", "binary"])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"query_weight": "idf"},
        {"query_weight": "score", "query_expansion": 3, "drop_stopwords": True},
        {"scope": "literal"},
    ],
    ids=["binary", "idf", "score", "literal"],
)
def test_literal_terms_equal_plain_python(sparse, pairs, literal_share, doc_norm, doc_weight, more):
    settings = {
        "literal_share": literal_share,
        "doc_norm": doc_norm,
        "doc_weight": doc_weight,
        "doc_top_k": 6,
        **more,
    }
    for seed, k in ((0, 1000), (1, 4)):
        data = RealCollection(seed)
        retriever, queries = sparse(data, **settings)
        dropped = {0, 3, 4} if "drop_stopwords" in more else {0}
        expected = plain_search(data, config_of(**settings), dropped=dropped)
        for query, scores in zip(pairs(retriever.search(queries, k)), expected, strict=True):
            assert_same_ranking(query, scores, k)


def test_half_literal_by_hand(sparse, pairs):
    """The second document's own term is in it alone and weighs 1; of both token 1 weighs 0.

    Its aligned tokens are [3, 4] / 5, so that token 1 gets 0.3, token 2 gets 0.4, token 3 gets 0.5.
    """
    data = Literal([[1, 0, 0], [3, 4, 0]], [[1], [2], [3]], document_tokens=[[1], [1, 3, 3]])
    retriever, queries = sparse(data, literal_share=0.5)
    found = pairs(retriever.search(queries, 2))
    assert found == [
        [(0, 0.5), (1, pytest.approx(0.3))],
        [(1, pytest.approx(0.4))],
        [(1, pytest.approx(0.5))],
    ]
    assert retriever.work(queries).scoring_flops == 2 * (2 + 1 + 1) / 3
    shorter, queries = sparse(data, literal_share=0.5, doc_top_k=2, doc_norm="l2")
    # Two aligned tokens and one own term; the two largest stay: [4, 5] / √41.
    assert pairs(shorter.search(queries, 2)) == [
        [(0, 1.0)],
        [(1, pytest.approx(4 / math.sqrt(41)))],
        [(1, pytest.approx(5 / math.sqrt(41)))],
    ]


def test_a_query_is_not_mixed_and_no_model_runs_for_it(sparse):
    retriever, queries = sparse(Collection(0), literal_share=0.5)
    retriever.search(queries, 10)
    assert set(queries.asked) == {"literal_tokens"}
    plain, same = sparse(Collection(0))
    mixed, aligned = (r._query_matrix(q) for r, q in ((retriever, queries), (plain, same)))
    np.testing.assert_array_equal(mixed.toarray(), aligned.toarray())


def test_other_texts_are_weighed_by_the_corpus_that_was_prepared(sparse, fake_texts):
    """Token 1 is in all documents and weighs nothing, in whatever text."""
    data = Literal([[1, 0, 0]] * 3, [], document_tokens=[[1], [1, 2], [1]])
    retriever, _ = sparse(data, literal_share=0.5)
    texts = fake_texts(embeddings=[[0, 0, 3], [0, 0, 0]], tokens=[[1, 2], []])
    expected = [[0, 0, 0.5, 0.5], [0, 0, 0, 0]]
    np.testing.assert_allclose(retriever.vectors(texts).toarray(), expected, rtol=1e-6)


def test_no_literal_share_is_the_aligned_tokens_alone(sparse):
    corpora = []
    for settings in ({}, {"literal_share": 0.0}):
        retriever, _ = sparse(Collection(3), doc_top_k=5, **settings)
        corpora.append(retriever.vectors(retriever._corpus).toarray())
    np.testing.assert_array_equal(*corpora)


def test_the_share_is_part_of_the_label_and_of_what_is_scored():
    plain, mixed = (config_of(doc_top_k=64, literal_share=share) for share in (0.0, 0.25))
    assert plain.label() == "aligned_sparse-k64-m0-raw-binary"
    assert mixed.label() == "aligned_sparse-k64-m0-raw-literal0.25-binary"
    assert mixed.scored() == plain.scored() | {"literal_share": 0.25}


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, math.nan])
def test_a_share_that_leaves_no_aligned_token_is_refused(refusal, share):
    mapping = {"kind": "aligned_sparse", "literal_share": share}
    message = refusal(lambda: parse_component("retrieval", mapping, where="retrieval.sparse"))
    assert message == f"retrieval.sparse.literal_share={share} must be at least 0 and below 1"


def test_weigh():
    logits = np.array([[-2, 0, 3]], np.float32)
    assert weigh(logits, "raw").tolist() == [[-2, 0, 3]]
    assert weigh(logits, "relu").tolist() == [[0, 0, 3]]
    assert weigh(logits, "binary").tolist() == [[1, 1, 1]]
    np.testing.assert_allclose(weigh(logits, "log1p"), [[0, 0, math.log(4)]], rtol=1e-6)
    for how in ("raw", "relu", "log1p", "binary"):
        assert weigh(logits, how).dtype == np.float32


STORIES = [
    "Once upon a time there was a little girl named Lily.",
    "Tom had a red ball. He liked to play with it in the park.",
    "The dog was sad. It could not find the bone.",
    "",
    "Tom had a red ball. He liked to play with it in the park.",
    "Mom said we can go to the park and see the dog!",
]
QUESTIONS = ["Who plays in the park?", "a sad dog", "", "Lily"]


@pytest.fixture(scope="module")
def real(stories, tmp_path_factory):
    """The stories model with its LM head; builds a mode and returns it with its dependencies."""
    from harness.embedding.encoder import TextEncoder

    model, pooling = build(ModelConfig(path=str(stories))), MeanPoolingConfig()
    encoder = TextEncoder(
        model=model,
        pooling=pooling,
        template=build(InstructionConfig()),
        backend=build(TransformersBackendConfig(device="cpu"), model=model, pooling=build(pooling)),
        store_dir=tmp_path_factory.mktemp("store"),
    )
    return Dependencies(
        name="sparse", encoder=encoder, head=build(LmHeadConfig(), encoder=encoder), retrievers={}
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"doc_top_k": 40},
        {"doc_top_k": 40, "query_expansion": 3, "query_weight": "idf", "doc_norm": "l2"},
        {"doc_weight": "log1p", "scope": "literal", "query_weight": "score"},
    ],
)
def test_a_real_model_equals_plain_python(real, pairs, settings):
    config = config_of(**settings)
    retriever = build(config, dependencies=real)
    corpus = real.encoder.texts([str(i) for i in range(len(STORIES))], STORIES, "document")
    queries = real.encoder.texts([str(i) for i in range(len(QUESTIONS))], QUESTIONS, "query")
    retriever.index(corpus)
    found = pairs(retriever.search(queries, 4))

    tokenizer = real.encoder.model.tokenizer
    data = Literal([[0]], [[0]])
    data.matrix = real.head.matrix.astype(np.float64)
    data.documents = corpus.embeddings.astype(np.float64)
    data.queries = queries.embeddings.astype(np.float64)
    data.document_tokens = [tokenizer.encode(text, add_special_tokens=False) for text in STORIES]
    data.query_tokens = [tokenizer.encode(text, add_special_tokens=False) for text in QUESTIONS]
    expected = plain_search(data, config, dropped=set(tokenizer.all_special_ids))
    for query, scores in zip(found, expected, strict=True):
        assert_same_ranking(query, scores, 4)
    everything = [dict(query) for query in pairs(retriever.search(queries, len(STORIES)))]
    assert [query.get(1) for query in everything] == [query.get(4) for query in everything]


def words_in(text):
    return re.findall(r"\w+", text.lower())


@pytest.mark.parametrize(
    ("head", "settings"),
    [
        # Words of the same texts have equal logits but for rounding, so all are kept.
        ({}, {"doc_top_k": 500}),
        ({"min_documents": 2}, {"query_weight": "idf", "doc_weight": "relu", "doc_norm": "l2"}),
        (
            {"stemmer": "english", "target": "idf"},
            {"doc_top_k": 500, "query_weight": "score"},
        ),
        ({"stemmer": "english"}, {"doc_top_k": 500, "literal_share": 0.4, "drop_stopwords": True}),
    ],
    ids=["words", "two-documents", "stems", "literal"],
)
def test_whole_words_end_to_end(real, pairs, head, settings):
    """A head of words, fitted here by hand on a real model's embeddings, and its search."""
    fitted = build(RidgeHeadConfig(unit="word", regularisation=0.3, **head), encoder=real.encoder)
    config = config_of(**settings)
    retriever = build(config, dependencies=replace(real, head=fitted))
    corpus = real.encoder.texts([str(i) for i in range(len(STORIES))], STORIES, "document")
    questions = [*QUESTIONS, "PARKS and parks, zebras!"]
    queries = real.encoder.texts([str(i) for i in range(len(questions))], questions, "query")
    retriever.index(corpus)
    found = pairs(retriever.search(queries, 4))

    def terms(text):
        stem = Stemmer.Stemmer("english").stemWord if "stemmer" in head else str
        return [stem(word) for word in words_in(text)]

    held = [terms(text) for text in STORIES]
    words = sorted(
        word
        for word in set(itertools.chain.from_iterable(held))
        if sum(word in own for own in held) >= head.get("min_documents", 1)
    )
    column = {word: number for number, word in enumerate(words)}
    data = Literal([[0]], [[0]])
    data.document_tokens, data.query_tokens = (
        [[column[word] for word in terms(text) if word in column] for text in texts]
        for texts in (STORIES, questions)
    )
    data.documents, data.queries = (with_constant(texts.embeddings) for texts in (corpus, queries))
    counts = np.zeros((len(STORIES), len(words)))
    for row, own in enumerate(data.document_tokens):
        np.add.at(counts[row], own, 1)
    counts = csr_array(counts)
    targets = TermWeights.of(counts).rows(counts, head.get("target", "bm25")).toarray()
    x = data.documents
    data.matrix = np.linalg.solve(x.T @ x + 0.3 * np.eye(x.shape[1]), x.T @ targets).T

    dropped = set()
    if "drop_stopwords" in settings:
        dropped = {column[word] for word in terms(" ".join(ENGLISH_STOP_WORDS)) if word in column}
    expected = plain_search(data, config, dropped=dropped)
    assert fitted.lexicon.words == words
    assert all(any(query) for query in found[:2])
    for query, scores in zip(found, expected, strict=True):
        assert_same_ranking(query, scores, 4)


def with_constant(embeddings):
    rows = embeddings.astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return np.hstack([rows, np.ones((len(rows), 1))])
