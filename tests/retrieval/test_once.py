"""A mode is indexed once a corpus, and its queries are searched once a depth."""

import pytest

from harness.retrieval.once import OnceRetriever
from harness.retrieval.retriever import SearchWork

WORK = SearchWork(
    encodes_documents=False,
    encodes_queries=False,
    head_reads_queries=False,
    head_reads_documents=False,
    scoring_flops=1.0,
    index_bytes=2,
)


@pytest.fixture
def inner(fake_retriever, ranking):
    return fake_retriever(ranking([(0, 2.0), (1, 1.0)]), WORK)


def names(retriever):
    return [call[0] for call in retriever.calls]


def test_a_corpus_is_indexed_once(inner, fake_texts):
    once = OnceRetriever(inner)
    corpus, other = fake_texts(texts=["a", "b"]), fake_texts(texts=["a", "b"])
    once.index(corpus)
    once.index(corpus)
    assert inner.calls == [("index", corpus)]
    once.index(other)
    once.index(corpus)
    assert inner.calls == [("index", corpus), ("index", other), ("index", corpus)]


def test_a_corpus_that_could_not_be_indexed_is_tried_again(inner, fake_texts):
    once, corpus = OnceRetriever(inner), fake_texts(texts=["a"])
    index, inner.index = inner.index, None
    with pytest.raises(TypeError):
        once.index(corpus)
    inner.index = index
    once.index(corpus)
    assert names(inner) == ["index"]


def test_queries_are_searched_once_a_depth(inner, fake_texts, pairs):
    once, queries = OnceRetriever(inner), fake_texts(texts=["q"])
    once.index(fake_texts(texts=["a", "b"]))
    first = once.search(queries, 10)
    assert once.search(queries, 10) is first
    assert pairs(first) == [[(0, 2.0), (1, 1.0)]]
    assert pairs(once.search(queries, 1)) == [[(0, 2.0)]]
    assert names(inner) == ["index", "search", "search"]


def test_fresh_queries_are_searched_anew(inner, fake_texts):
    once = OnceRetriever(inner)
    once.index(fake_texts(texts=["a"]))
    for _ in range(3):
        once.search(fake_texts(texts=["q"]), 10)
    assert names(inner) == ["index", "search", "search", "search"]


def test_another_corpus_is_another_search(inner, fake_texts):
    once, queries = OnceRetriever(inner), fake_texts(texts=["q"])
    for _ in range(5):  # a freed corpus must not be taken for the next, at the same address
        once.index(fake_texts(texts=["a"]))
        once.search(queries, 10)
    assert names(inner) == ["index", "search"] * 5


def test_two_modes_keep_their_rankings_apart(fake_retriever, ranking, fake_texts, pairs):
    corpus, queries = fake_texts(texts=["a", "b"]), fake_texts(texts=["q"])
    modes = [OnceRetriever(fake_retriever(ranking([(row, 1.0)]))) for row in (0, 1)]
    for mode in modes:
        mode.index(corpus)
    assert [pairs(mode.search(queries, 5)) for mode in modes] == [[[(0, 1.0)]], [[(1, 1.0)]]]


def test_the_rest_is_passed_on(inner, fake_texts):
    once, queries = OnceRetriever(inner), fake_texts(texts=["q"])
    once.tokenise(queries)
    once.encode(queries)
    assert inner.calls == [("tokenise", queries), ("encode", queries)]
    assert once.work(queries) is once.work(queries, "candidates") is WORK
    assert inner.calls[2:] == [("work", queries, None), ("work", queries, "candidates")]


def test_candidates_are_reranked_each_time(inner, fake_texts, pairs):
    """They may be others the next time, and nothing but the texts is kept with the queries."""
    once, queries = OnceRetriever(inner), fake_texts(texts=["q"])
    for candidates in ("some", "others"):
        assert pairs(once.rerank(queries, candidates, 1)) == [[(0, 2.0)]]
    assert inner.calls == [("rerank", queries, "some", 1), ("rerank", queries, "others", 1)]


def test_explains_if_the_retriever_does(inner):
    class Explaining(type(inner)):
        def explain(self, queries, documents):
            return queries, documents

    explaining = Explaining()
    assert OnceRetriever(explaining).explains is explaining
    assert OnceRetriever(inner).explains is None
