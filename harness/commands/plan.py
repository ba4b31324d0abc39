"""`harness plan`: what encoding, indexing and searching collections would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.config import parse
from harness.config.plan import PlanConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from omegaconf import DictConfig

    from harness.cost.capacity import CollectionPlan
    from harness.cost.collection import Collection
    from harness.cost.machinery import Rates, SparseIndex
    from harness.evaluation.planned_model import PlannedModel
    from harness.reporting.capacity import Grounds, PlanFacts

SHARD_BYTES = 64 << 20
"""Vectors of a shard of the embedding store."""


def plan(settings: DictConfig) -> int:
    """Plan every collection; nothing is downloaded, encoded or written.

    Returns:
        0.
    """
    config = parse(PlanConfig, settings, where="")
    from harness.commands.plan_rates import rates_of, shared_terms
    from harness.evaluation.planned_collections import planned_collections
    from harness.evaluation.planned_model import planned_model
    from harness.reporting.capacity import Grounds, capacity_lines, print_capacity

    model = planned_model(config)
    collections = planned_collections(config, model)
    grounds = Grounds()
    _tell_sizes(config, model, collections, grounds)
    rates = rates_of(config, model, grounds)
    shared = shared_terms(config, model, grounds)
    plans = _plans(config, model, collections, rates, shared)
    facts = _facts(config, model, rates, grounds)
    if config.format == "json":
        capacity_lines(plans, facts)
    else:
        print_capacity(plans, facts)
    return 0


def _plans(
    config: PlanConfig,
    model: PlannedModel,
    collections: list[Collection],
    rates: Rates,
    shared: Callable[[float, int], float],
) -> list[CollectionPlan]:
    """The collections', their sum and the extrapolation's."""
    from harness.cost.capacity import add_up, plan_collection
    from harness.cost.collection import extrapolated

    def one(collection: Collection) -> CollectionPlan:
        index = _index(config, collection)
        asked = collection.query
        terms = 0.0 if asked is None else asked.terms + config.sparse.query_expansion
        return plan_collection(
            collection,
            embedder=model.embedder,
            index=index,
            rates=rates,
            shared_terms=shared(terms, index.kept),
            queries=config.queries,
            shard_vector_bytes=SHARD_BYTES,
        )

    plans = [one(collection) for collection in collections]
    if len(plans) > 1:
        plans.append(add_up(f"all {len(plans)}", plans))
    if config.extrapolate is not None:
        plans.append(one(extrapolated(collections, config.extrapolate)))
    return plans


def _index(config: PlanConfig, collection: Collection) -> SparseIndex:
    from harness.cost.machinery import SparseIndex
    from harness.retrieval.postings import BLOCK

    mode = config.sparse
    kept = mode.doc_top_k
    if mode.scope == "literal":  # a text has no more tokens than it is long
        terms = sum(part.texts * part.terms for part in collection.documents)
        kept = max(min(kept, round(terms / max(collection.count, 1))), 1)
    return SparseIndex(
        kept=kept,
        block=BLOCK,
        encodes_queries=mode.query_expansion > 0 or mode.query_weight == "score",
    )


def _tell_sizes(
    config: PlanConfig, model: PlannedModel, collections: list[Collection], grounds: Grounds
) -> None:
    """Say where the sizes are from."""
    by_basis: dict[str, list[str]] = {}
    for collection in collections:
        by_basis.setdefault(collection.basis, []).append(collection.name)
    if "published" in by_basis:
        grounds.published.append("documents, queries and their characters, as mteb ships them")
    if "counted" in by_basis:
        grounds.measured.append(f"documents and queries of {', '.join(by_basis['counted'])}")
    if "given" in by_basis:
        grounds.assumed.append("documents and their length, as given")
    else:
        grounds.assumed.append(
            f"{config.characters_per_token:g} characters a token and {config.prompt_tokens} tokens "
            f"around each text"
        )
    spread = "all texts of a collection are as long as their mean"
    if config.length_variation:
        spread = f"lengths vary by {config.length_variation:.0%} of their mean"
    grounds.assumed.append(f"{spread}, cut at {model.max_length} tokens")
    if model.embedder.fitted:
        grounds.assumed.append("head=ridge is fitted on each collection, all of its vocabulary")
    if config.extrapolate is not None:
        basis = "documents above" if len(collections) > 1 else "collection above"
        grounds.extrapolated.append(
            f"{config.extrapolate:,} documents, distinct, as long as the {basis} on average; one "
            "machine, one index"
        )


def _facts(config: PlanConfig, model: PlannedModel, rates: Rates, grounds: Grounds) -> PlanFacts:
    from harness.reporting.capacity import PlanFacts

    shape, sparse, embedder = model.shape, config.sparse, model.embedder
    batch = config.searcher.batch
    grounds.assumed.append(
        "queries are encoded in large batches; dense search reads its index once for "
        f"{'each' if batch == 1 else f'{batch:,} of them'}, both indexes in memory"
    )
    grounds.assumed.append(
        "the store writes float32, the dense index holds float32; smaller types are what they "
        "would take, int8 with a scale a row"
    )
    about = (
        f"{shape.layers} layers, {shape.width} wide, {embedder.width} numbers an embedding, "
        f"vocabulary {embedder.vocabulary:,}, K = {sparse.doc_top_k}, "
        f"M = {sparse.query_expansion}; encoded on {config.hardware.name}, "
        f"searched on {config.searcher.name}"
    )
    settings = {
        "width": embedder.width,
        "vocabulary": embedder.vocabulary,
        "doc_top_k": sparse.doc_top_k,
        "query_expansion": sparse.query_expansion,
        "index_weights": sparse.index_weights,
        "hardware": config.hardware.name,
        "searcher": config.searcher.name,
        "encode_flops_per_second": rates.encode_flops_per_second,
        "dense_flops_per_second": rates.dense_flops_per_second,
        "bytes_per_second": rates.bytes_per_second,
        "postings_per_second": rates.postings_per_second,
    }
    return PlanFacts(
        model=model.name,
        about=about,
        settings=settings,
        queries=config.queries,
        grounds=grounds,
    )
