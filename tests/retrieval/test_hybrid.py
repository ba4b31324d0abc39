"""Hybrid retrieval: real modes, fused, against a brute-force oracle."""

import numpy as np
import pytest

from harness.config import AlignedSparseConfig, DenseConfig, HybridConfig
from harness.embedding.ragged import Ragged
from harness.retrieval.aligned_sparse import AlignedSparseRetriever
from harness.retrieval.dense import DenseRetriever
from harness.retrieval.hybrid import HybridRetriever
from harness.retrieval.once import OnceRetriever
from harness.retrieval.retriever import SearchWork


@pytest.fixture
def hybrid(dependencies):
    def make(retrievers, **settings):
        config = HybridConfig(**{"modes": list(retrievers), **settings})
        return HybridRetriever(config, dependencies=dependencies(retrievers=retrievers))

    return make


def work(**changes):
    figures = {
        "encodes_documents": False,
        "encodes_queries": False,
        "head_reads_queries": False,
        "head_reads_documents": False,
        "scoring_flops": 100.0,
        "index_bytes": 10,
    }
    return SearchWork(**{**figures, **changes})


@pytest.mark.parametrize("depth", [4, 25, 1000])
def test_equals_a_brute_force_oracle(
    dependencies, fake_texts, fake_head, pairs, plain_ranking, hybrid, depth
):
    rng = np.random.default_rng(depth)
    words = [f"w{token}" for token in range(12)]
    embeddings = rng.integers(-3, 4, (30, 5))
    embeddings[[3, 17, 29]] = embeddings[8]  # equal documents
    asked = rng.integers(-3, 4, (6, 5))
    tokens = [rng.integers(1, 12, 3).tolist() for _ in asked]
    matrix = rng.integers(-3, 4, (12, 5))
    shared = dependencies(head=fake_head(matrix), words=words)
    modes = {
        "dense": DenseRetriever(DenseConfig(similarity="dot"), dependencies=shared),
        "sparse": AlignedSparseRetriever(
            AlignedSparseConfig(
                doc_top_k=4, doc_weight="relu", doc_norm="none", query_weight="binary"
            ),
            dependencies=shared,
        ),
    }
    retriever = hybrid(modes, depth=depth, weights=[3.0, 1.0])
    retriever.index(fake_texts(embeddings=embeddings, tokens=[[]] * 30))
    found = retriever.search(fake_texts(embeddings=asked, tokens=tokens), 10)

    dense = (asked @ embeddings.T).tolist()
    logits = embeddings @ matrix.T
    for row, query in enumerate(pairs(found)):
        sparse = []
        for document in logits:
            kept = sorted(range(1, 12), key=lambda token: (-document[token], token))[:4]
            sparse.append(sum(max(document[t], 0) for t in set(tokens[row]) & set(kept)) or None)
        expected = {}
        for scores, weight in ((dense[row], 0.75), (sparse, 0.25)):
            mode = plain_ranking(scores, depth)
            values = [score for _, score in mode]
            for document, score in mode:
                spread = max(values) - min(values)
                scaled = (score - min(values)) / spread if spread else 1.0
                expected[document] = expected.get(document, 0.0) + weight * scaled
        by_document = [np.float32(expected[d]) if d in expected else None for d in range(30)]
        wanted = plain_ranking(by_document, 10)
        np.testing.assert_allclose([s for _, s in query], [s for _, s in wanted], rtol=1e-6)
        assert [d for d, _ in query] == [d for d, _ in wanted]


def test_modes_are_searched_at_the_depth_of_fusion(fake_retriever, fake_texts, ranking, hybrid):
    parts = {name: fake_retriever(ranking([(0, 1.0)])) for name in ("a", "b")}
    queries = fake_texts(texts=["q"])
    hybrid(parts, depth=77).search(queries, 5)
    for part in parts.values():
        assert part.calls == [("search", queries, 77)]


def test_depth_cuts_before_scores_are_scaled(fake_retriever, fake_texts, ranking, pairs, hybrid):
    first = fake_retriever(ranking([(0, 4.0), (1, 3.0), (2, 0.0)]))
    second = fake_retriever(ranking([(2, 4.0), (1, 2.0), (0, 0.0)]))
    found = hybrid({"a": first, "b": second}, depth=2).search(fake_texts(texts=["q"]), 10)
    assert pairs(found) == [[(0, 0.5), (2, 0.5), (1, 0.0)]]


def test_settings_reach_the_fusion(fake_retriever, fake_texts, ranking, pairs, hybrid):
    parts = {
        "a": fake_retriever(ranking([(0, 4.0), (1, 3.0)])),
        "b": fake_retriever(ranking([(1, 9.0)])),
    }
    retriever = hybrid(parts, fusion="rrf", weights=[1.0, 3.0], rrf_k=0.0)
    assert pairs(retriever.search(fake_texts(texts=["q"]), 2)) == [[(1, 0.875), (0, 0.25)]]


def test_only_the_named_modes_are_fused(fake_retriever, fake_texts, ranking, hybrid):
    parts = {name: fake_retriever(ranking([(0, 1.0)])) for name in ("a", "b", "c")}
    retriever, corpus = hybrid(parts, modes=["a", "c"]), fake_texts(texts=["d"])
    queries = fake_texts(texts=["q"])
    retriever.index(corpus)
    retriever.tokenise(queries)
    retriever.encode(queries)
    for name in ("a", "c"):
        assert parts[name].calls == [
            ("index", corpus),
            ("tokenise", queries),
            ("encode", queries),
        ]
    assert not parts["b"].calls


def test_a_mode_of_the_run_is_neither_indexed_nor_searched_again(
    fake_retriever, fake_texts, ranking, hybrid
):
    inner = {name: fake_retriever(ranking([(0, 1.0)])) for name in ("a", "b")}
    parts = {name: OnceRetriever(retriever) for name, retriever in inner.items()}
    corpus, queries = fake_texts(texts=["d"]), fake_texts(texts=["q"])
    parts["a"].index(corpus)
    parts["a"].search(queries, 1000)
    for _ in range(2):
        retriever = hybrid(parts)
        retriever.index(corpus)
        retriever.search(queries, 10)
    for part in inner.values():
        assert [call[0] for call in part.calls] == ["index", "search"]


def test_work_is_the_parts_and_the_fusion(fake_retriever, hybrid, fake_texts):
    parts = {
        "a": fake_retriever(work=work(encodes_documents=True, encodes_queries=True)),
        "b": fake_retriever(work=work(head_reads_documents=True, scoring_flops=7.0)),
    }
    retriever = hybrid(parts, depth=50)
    retriever.index(fake_texts(texts=["d"] * 80))
    found = retriever.work(fake_texts(texts=["q"]))
    assert found.scoring_flops == 107 + 3 * 50 * 2
    retriever.index(fake_texts(texts=["d"] * 20))
    assert retriever.work(fake_texts(texts=["q"])).scoring_flops == 107 + 3 * 20 * 2
    assert found.index_bytes == 20
    assert (found.encodes_documents, found.encodes_queries) == (True, True)
    assert (found.head_reads_documents, found.head_reads_queries) == (True, False)


def test_work_on_candidates_counts_their_mean(fake_retriever, hybrid, fake_texts):
    """Two and five of twenty documents, each fused from two modes; at most four at depth 4."""
    candidates = Ragged.from_rows([[3, 1], [0, 2, 5, 6, 7]])
    parts = {name: fake_retriever(work=work()) for name in ("a", "b")}
    queries = fake_texts(texts=["q", "r"])
    for depth, fused in ((50, 3.5), (3, 3)):
        retriever = hybrid(parts, depth=depth)
        retriever.index(fake_texts(texts=["d"] * 20))
        assert retriever.work(queries, candidates).scoring_flops == 200 + 3 * fused * 2
    assert parts["a"].calls[-1] == ("work", queries, candidates)


def test_unknown_work_of_a_part_is_unknown_work(fake_retriever, hybrid, fake_texts):
    parts = {
        "a": fake_retriever(work=work()),
        "b": fake_retriever(work=work(scoring_flops=None)),
    }
    assert hybrid(parts).work(fake_texts(texts=["q"])).scoring_flops is None


def test_reranking_fuses_the_parts_rankings_of_candidates(
    fake_retriever, fake_texts, ranking, pairs, hybrid
):
    """Both have 1 point of 2; of equal ones the later stands first, as trec_eval puts them."""
    parts = {
        "a": fake_retriever(ranking([(4, 5.0), (2, 1.0)])),
        "b": fake_retriever(ranking([(2, 8.0), (4, 0.0)])),
    }
    queries, candidates = fake_texts(texts=["q"]), Ragged.from_rows([[2, 4]])
    found = hybrid(parts, depth=9).rerank(queries, candidates, 5)
    assert pairs(found) == [[(4, 0.5), (2, 0.5)]]
    for part in parts.values():
        assert part.calls == [("rerank", queries, candidates, 9)]


@pytest.mark.parametrize("fusion", ["minmax", "zscore"])
def test_reranking_all_documents_is_searching_them(
    dependencies, fake_texts, fake_head, pairs, hybrid, fusion
):
    rng = np.random.default_rng(5)
    shared = dependencies(head=fake_head(np.eye(6)), words=[f"w{token}" for token in range(6)])
    modes = {
        name: DenseRetriever(DenseConfig(similarity=name), dependencies=shared)
        for name in ("cosine", "dot")
    }
    retriever = hybrid(modes, fusion=fusion, weights=[1.0, 2.0])
    retriever.index(fake_texts(embeddings=rng.standard_normal((15, 6))))
    queries = fake_texts(embeddings=rng.standard_normal((4, 6)))
    searched = retriever.search(queries, 15)
    found = retriever.rerank(queries, Ragged.from_rows([range(15)] * 4), 15)
    assert found.documents.tolist() == searched.documents.tolist()
    np.testing.assert_allclose(found.scores, searched.scores, atol=1e-5)
