"""What encoding, indexing and searching a collection would cost, by arithmetic alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.cost import footprint
from harness.cost.break_even import break_even_queries
from harness.cost.closed_form import head_flops
from harness.cost.collection import Collection
from harness.cost.machinery import Embedder, Rates, SparseIndex
from harness.cost.scoring import dense_scoring_flops


@dataclass(frozen=True, kw_only=True)
class ModeCost:
    """Queries in one mode.

    Attributes:
        encode_flops: Of one query, head included.
        scoring_flops: Of one query.
        touched: Postings of one query, or documents that it is compared with.
        encode_seconds: Of one query, in large batches.
        search_seconds: Of one query.
        corpus_flops: Of all documents: encoding, head and fit.
        flops: Of all queries that were asked about.
        seconds: Of these.
        money: Of these; None without prices.
    """

    encode_flops: float
    scoring_flops: float
    touched: float
    encode_seconds: float
    search_seconds: float
    corpus_flops: float
    flops: float
    seconds: float
    money: float | None


@dataclass(frozen=True, kw_only=True)
class CollectionPlan:
    """What a collection would cost.

    Attributes:
        collection: The collection.
        encode_flops: Forward passes of its distinct documents.
        encode_seconds: The time of these.
        encode_money: What that costs; None without a price.
        head_flops: Of the head's reading and fitting for aligned tokens.
        store_bytes: Of the embedding store by dtype; `float32` is what is written.
        dense_bytes: Of the dense index by dtype; `float32` is what is built.
        sparse_bytes: Of the inverted index by weights' type; all three are built.
        dense_build_bytes: Peak memory of making the dense index.
        sparse_build_bytes: Peak memory of making the sparse one.
        dense: Its queries; None where nothing is asked.
        sparse: The same.
        break_even: Queries from which on sparse took no more FLOPs in all; infinity for never.
    """

    collection: Collection
    encode_flops: float
    encode_seconds: float
    encode_money: float | None
    head_flops: float
    store_bytes: dict[str, int]
    dense_bytes: dict[str, int]
    sparse_bytes: dict[str, int]
    dense_build_bytes: int
    sparse_build_bytes: int
    dense: ModeCost | None = None
    sparse: ModeCost | None = None
    break_even: float | None = None


def plan_collection(
    collection: Collection,
    *,
    embedder: Embedder,
    index: SparseIndex,
    rates: Rates,
    shared_terms: float,
    queries: int,
    shard_vector_bytes: int,
) -> CollectionPlan:
    """What a collection would cost.

    Args:
        collection: The documents, one index for all; see `add_up` for several.
        embedder: The model.
        index: The sparse index.
        rates: The machines.
        shared_terms: Terms that a query and a document have in common, expected.
        queries: How many queries are asked.
        shard_vector_bytes: Bytes of vectors from which on a shard of the store is full.
    """
    count, distinct, width = collection.count, collection.distinct, embedder.width
    encode = sum(part.distinct * embedder.flops(part.tokens) for part in collection.documents)
    terms = sum(part.texts * part.terms for part in collection.documents) / max(count, 1)
    reading = head_flops(width, embedder.vocabulary)
    head = count * reading + embedder.fit_flops(count, terms)
    seconds = encode / rates.encode_flops_per_second
    kept = min(index.kept, embedder.vocabulary)
    lists = footprint.expected_lists(count, embedder.vocabulary, kept)
    plan = CollectionPlan(
        collection=collection,
        encode_flops=encode,
        encode_seconds=seconds,
        encode_money=rates.money(seconds),
        head_flops=head,
        store_bytes={
            dtype: footprint.store_bytes(
                distinct, width, shard_vector_bytes=shard_vector_bytes, dtype=dtype
            )
            for dtype in footprint.NUMBER_BYTES
        },
        dense_bytes={
            dtype: footprint.dense_index_bytes(count, width, dtype)
            for dtype in footprint.NUMBER_BYTES
        },
        sparse_bytes={
            weights: footprint.postings_bytes(
                count * kept, lists=lists, documents=count, block=index.block, weights=weights
            )
            for weights in footprint.WEIGHT_BYTES
        },
        dense_build_bytes=footprint.dense_build_bytes(count, width, normalised=embedder.normalised),
        sparse_build_bytes=footprint.sparse_build_bytes(count, width, kept),
    )
    if collection.query is None:
        return plan
    model = embedder.flops(collection.query.tokens)
    scanned = max(
        dense_scoring_flops(width, count) / rates.dense_flops_per_second,
        plan.dense_bytes["float32"] / rates.bytes_per_second / rates.batch,
    )
    dense = _mode(
        rates,
        queries,
        encode_flops=model,
        scoring_flops=dense_scoring_flops(width, count),
        touched=count,
        search_seconds=scanned,
        corpus_flops=encode,
    )
    postings = count * shared_terms
    sparse = _mode(
        rates,
        queries,
        encode_flops=model + reading if index.encodes_queries else 0.0,
        scoring_flops=2 * postings,
        touched=postings,
        search_seconds=postings / rates.postings_per_second,
        corpus_flops=encode + head,
    )
    even = break_even_queries(
        sparse.corpus_flops,
        sparse.encode_flops + sparse.scoring_flops,
        dense.corpus_flops,
        dense.encode_flops + dense.scoring_flops,
    )
    return replace(plan, dense=dense, sparse=sparse, break_even=even)


def add_up(name: str, plans: Sequence[CollectionPlan]) -> CollectionPlan:
    """Several collections, each with indexes of its own; nothing is asked of them together.

    The memory of building is that of the largest, since one is built after the other.
    """
    money = [plan.encode_money for plan in plans]
    return CollectionPlan(
        collection=Collection(
            name=name,
            documents=tuple(part for plan in plans for part in plan.collection.documents),
            query=None,
            basis="sum",
        ),
        encode_flops=sum(plan.encode_flops for plan in plans),
        encode_seconds=sum(plan.encode_seconds for plan in plans),
        encode_money=None if None in money else sum(each or 0.0 for each in money),
        head_flops=sum(plan.head_flops for plan in plans),
        store_bytes=_summed([plan.store_bytes for plan in plans]),
        dense_bytes=_summed([plan.dense_bytes for plan in plans]),
        sparse_bytes=_summed([plan.sparse_bytes for plan in plans]),
        dense_build_bytes=max(plan.dense_build_bytes for plan in plans),
        sparse_build_bytes=max(plan.sparse_build_bytes for plan in plans),
    )


def _summed(parts: Sequence[dict[str, int]]) -> dict[str, int]:
    return {name: sum(part[name] for part in parts) for name in parts[0]}


def _mode(
    rates: Rates,
    queries: int,
    *,
    encode_flops: float,
    scoring_flops: float,
    touched: float,
    search_seconds: float,
    corpus_flops: float,
) -> ModeCost:
    encode_seconds = encode_flops / rates.encode_flops_per_second
    return ModeCost(
        encode_flops=encode_flops,
        scoring_flops=scoring_flops,
        touched=touched,
        encode_seconds=encode_seconds,
        search_seconds=search_seconds,
        corpus_flops=corpus_flops,
        flops=queries * (encode_flops + scoring_flops),
        seconds=queries * (encode_seconds + search_seconds),
        money=rates.money(queries * encode_seconds, queries * search_seconds),
    )
