"""A plan by hand: ten documents, two queries, round rates."""

import math

import pytest

from harness.cost.capacity import add_up, plan_collection
from harness.cost.closed_form import QuadraticFlops
from harness.cost.collection import Collection, TextCount, extrapolated
from harness.cost.fitting import fit_choice_flops, ridge_fit_flops
from harness.cost.footprint import store_bytes
from harness.cost.machinery import Embedder, Rates, SparseIndex

EMBEDDER = Embedder(
    forward=QuadraticFlops(linear=100.0, quadratic=2.0, constant=5.0), width=4, vocabulary=50
)
RATES = Rates(
    encode_flops_per_second=1000.0,
    dense_flops_per_second=80.0,
    bytes_per_second=160.0,
    postings_per_second=10.0,
)
INDEX = SparseIndex(kept=3, block=16, encodes_queries=False)
TEN = Collection(
    name="ten",
    documents=(TextCount(texts=10, distinct=9, tokens=8.0, terms=6.0),),
    query=TextCount(texts=2, distinct=2, tokens=3.0, terms=1.0),
    basis="given",
)


def plan(collection=TEN, embedder=EMBEDDER, index=INDEX, rates=RATES, shared=0.5, queries=20):
    return plan_collection(
        collection,
        embedder=embedder,
        index=index,
        rates=rates,
        shared_terms=shared,
        queries=queries,
        shard_vector_bytes=64 << 20,
    )


def test_documents_by_hand():
    found = plan()
    # Nine distinct texts of 5 + 8·100 + 64·2.
    assert found.encode_flops == 9 * 933
    assert found.encode_seconds == pytest.approx(8.397)
    assert found.encode_money is None
    # The head reads all ten: 2·4·50 each.
    assert found.head_flops == 10 * 400
    assert found.store_bytes["float32"] == store_bytes(9, 4, shard_vector_bytes=64 << 20)
    assert found.dense_bytes == {"float32": 160, "bfloat16": 80, "int8": 80}
    # 50·(1 - .94¹⁰) = 23 lists; 30 postings of 6, 4 and 3 bytes, scales for integers.
    assert found.sparse_bytes == {
        "float32": 23 * 4 + 24 * 4 + 180,
        "uint16": 23 * 4 + 24 * 4 + 120 + 92,
        "uint8": 23 * 4 + 24 * 4 + 90 + 92,
    }
    assert found.dense_build_bytes == 10 * (32 + 48) + 10 * 64
    assert found.sparse_build_bytes == 10 * (16 + 90) + (64 << 20)


def test_queries_by_hand():
    found = plan()
    dense, sparse = found.dense, found.sparse
    # 5 + 300 + 18 of the model; 2·4·10 of scores, which take 1 s, as reading 160 bytes does.
    assert (dense.encode_flops, dense.scoring_flops, dense.touched) == (323, 80, 10)
    assert dense.search_seconds == pytest.approx(1.0)
    assert dense.flops == 20 * 403
    assert dense.seconds == pytest.approx(20 * (0.323 + 1.0))
    # Half a term in common with each of ten documents.
    assert (sparse.encode_flops, sparse.touched, sparse.scoring_flops) == (0, 5, 10)
    assert sparse.search_seconds == pytest.approx(0.5)
    assert sparse.flops == 200
    # 4,000 more for the index and 393 less a query.
    assert found.break_even == math.ceil(4000 / 393) == 11
    assert (dense.money, sparse.money) == (None, None)


def test_dense_search_is_bound_by_what_takes_longer():
    slow = Rates(
        encode_flops_per_second=1000.0,
        dense_flops_per_second=80.0,
        bytes_per_second=16.0,
        postings_per_second=10.0,
    )
    assert plan(rates=slow).dense.search_seconds == pytest.approx(10.0)
    batched = Rates(**{**slow.__dict__, "batch": 5})
    assert plan(rates=batched).dense.search_seconds == pytest.approx(2.0)
    assert plan(rates=Rates(**{**slow.__dict__, "batch": 50})).dense.search_seconds == 1.0


def test_money():
    priced = Rates(**{**RATES.__dict__, "encode_price": 3600.0})
    found = plan(rates=priced)
    assert found.encode_money == pytest.approx(8.397)
    # Searching has no price, so queries have none; where they search for nothing they have.
    assert (found.dense.money, found.sparse.money) == (None, None)
    both = Rates(**{**priced.__dict__, "search_price": 36.0})
    found = plan(rates=both)
    assert found.dense.money == pytest.approx(20 * (0.323 + 0.01))
    assert found.sparse.money == pytest.approx(20 * 0.005)
    assert Rates(**{**RATES.__dict__, "search_price": 36.0}).money(0.0, 100.0) == pytest.approx(1)


def test_queries_that_a_model_reads():
    index = SparseIndex(kept=3, block=16, encodes_queries=True)
    found = plan(index=index, shared=5.0)
    assert found.sparse.encode_flops == 323 + 400
    # Dearer in every respect.
    assert found.break_even == math.inf


def test_lengths_that_vary():
    varied = Embedder(**{**EMBEDDER.__dict__, "length_variation": 0.5})
    # E[L²] of the lengths 4 and 12 is 80 = 64·(1 + 0.25).
    assert varied.flops(8.0) == 5 + 800 + 160
    assert varied.flops(8.0) == (EMBEDDER.flops(4.0) + EMBEDDER.flops(12.0)) / 2


def test_a_fitted_head():
    fitted = Embedder(**{**EMBEDDER.__dict__, "fitted": True})
    fit = ridge_fit_flops(texts=10, width=5, nonzeros=60, vocabulary_size=50)
    assert plan(embedder=fitted).head_flops == 4000 + fit
    chosen = Embedder(**{**fitted.__dict__, "strengths": 13, "judged": 7, "judged_terms": 2})
    choice = fit_choice_flops(
        criterion="self_retrieval",
        strengths=13,
        width=5,
        vocabulary_size=50,
        sample=7,
        sample_nonzeros=42,
        query_nonzeros=14,
    )
    assert plan(embedder=chosen).head_flops == 4000 + fit + choice


def test_more_tokens_than_there_are():
    found = plan(index=SparseIndex(kept=99, block=16, encodes_queries=False))
    assert found.sparse_bytes["float32"] == 50 * 4 + 51 * 4 + 10 * 50 * 6


TWENTY = Collection(
    name="twenty",
    documents=(TextCount(texts=20, distinct=20, tokens=2.0, terms=0.0),),
    query=TextCount(texts=6, distinct=6, tokens=7.0, terms=5.0),
    basis="published",
)


def test_sums():
    first, second = plan(), plan(TWENTY)
    both = add_up("both", [first, second])
    assert (both.collection.count, both.collection.distinct) == (30, 29)
    assert both.collection.tokens == 9 * 8 + 20 * 2
    assert both.encode_flops == 9 * 933 + 20 * 213
    assert both.dense_bytes["float32"] == 480
    assert both.sparse_bytes["uint8"] == first.sparse_bytes["uint8"] + second.sparse_bytes["uint8"]
    assert both.sparse_build_bytes == second.sparse_build_bytes
    assert (both.dense, both.sparse, both.break_even, both.encode_money) == (None,) * 4
    priced = Rates(**{**RATES.__dict__, "encode_price": 3600.0})
    money = add_up("both", [plan(rates=priced), plan(TWENTY, rates=priced)]).encode_money
    assert money == pytest.approx(8.397 + 4.26)


def test_extrapolation_weighs_by_number():
    found = extrapolated([TEN, TWENTY], 300)
    assert (found.count, found.distinct, found.basis) == (300, 300, "extrapolated")
    assert found.tokens / 300 == pytest.approx((10 * 8 + 20 * 2) / 30)
    assert found.documents[0].terms == pytest.approx(2.0)
    # Two queries of 3 tokens and six of 7.
    assert found.query.tokens == pytest.approx(6.0)
    assert found.query.terms == pytest.approx(4.0)
    alone = Collection(name="a", documents=TEN.documents, query=None, basis="given")
    assert extrapolated([alone], 5).query is None
    assert plan(alone).dense is None
