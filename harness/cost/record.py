"""The cost record of one mode on one task: every figure by name, with its unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

# How figures of several corpora combine; those that are not named here add up.
_MEAN_OVER_DOCUMENTS = frozenset(
    (*("encode_flops_per_document", "head_flops_per_document", "flops_closed_form_ratio"),)
)
_MEAN_OVER_TIME = frozenset(
    (
        *("documents_per_second", "tokens_per_second", "padding_share"),
        *("encode_flops_per_second", "matmul_peak", "mfu"),
    )
)
_MEAN_OVER_QUERIES = frozenset(
    (
        *("encode_flops_per_query", "head_flops_per_query", "scoring_flops_per_query"),
        *("query_flops", "splade_flops", "recall_against_exact", "query_joules"),
        *("latency_p50_ms", "latency_p50_low_ms", "latency_p50_high_ms"),
        *("latency_p95_ms", "latency_p95_low_ms", "latency_p95_high_ms"),
        *("latency_p99_ms", "latency_p99_low_ms", "latency_p99_high_ms"),
        *("latency_tokenise_ms", "latency_encode_ms", "latency_search_ms"),
        *("cold_latency_ms", "latency_cold_cache_p50_ms", "batch_latency_ms"),
    )
)
_LARGEST = frozenset(
    ("batch_size", "peak_host_bytes", "peak_encode_host_bytes", "peak_device_bytes")
)


@dataclass(frozen=True, kw_only=True)
class CostRecord:
    """What one mode costs on one corpus and its queries; None where it was not measured.

    FLOPs count a multiply-add as two. Texts are counted at their true length; `padding_flops` and
    `padding_share` tell how much was computed besides.

    Attributes:
        documents: Documents in the corpus; texts, where the task has no corpus.
        queries: Queries; 0 where the task has none.
        encode_flops_per_document: Mean forward pass of a document, 0 without a model.
        encode_flops_per_query: Mean forward pass of a query, 0 where no model runs for it.
        head_flops_per_document: 2·d·V, and its transform's, where the head reads documents.
        head_flops_per_query: 2·d·V where the head reads queries.
        fit_flops: Fitting the head, for the corpus.
        fit_choice_flops: Choosing the fit's regularisation, beside `fit_flops`; 0 where it is set.
        padding_flops: FLOPs of the corpus pass at its padded lengths, less those at true lengths.
        scoring_flops_per_query: Scoring, from the postings or vectors touched.
        query_flops: Encoding, head and scoring of one query.
        corpus_flops: Encoding, head and fit of the whole corpus.
        splade_flops: Σ_v p_q(v)·p_d(v) of a query-document pair.
        flops_closed_form_ratio: Closed form over counted FLOPs of the forward pass.
        recall_against_exact: Share of the exact ranking's documents that an approximate one has,
            in [0, 1]; mean over the queries.
        index_bytes: Bytes of the index in memory, or of the vectors where the task has no corpus.
        index_disk_bytes: Bytes of the index as it is saved.
        latency_p50_ms: Median time of a query at batch size 1, tokenised, encoded, searched.
        latency_p50_low_ms: Lower end of the median's confidence interval.
        latency_p50_high_ms: Its upper end.
        latency_p95_ms: 95th percentile.
        latency_p95_low_ms: Lower end of its confidence interval.
        latency_p95_high_ms: Its upper end.
        latency_p99_ms: 99th percentile.
        latency_p99_low_ms: Lower end of its confidence interval.
        latency_p99_high_ms: Its upper end.
        latency_tokenise_ms: Median of the tokenising stage.
        latency_encode_ms: Median of the encoding stage.
        latency_search_ms: Median of the search stage.
        cold_latency_ms: Time of the first query, before any warm-up.
        latency_cold_cache_p50_ms: Median time of a query whose index the processor's caches do not
            hold.
        batch_size: Queries in the largest batch that was timed.
        batch_latency_ms: Time of that batch over its queries.
        queries_per_second: Rate of queries in batches of that size.
        load: Queries from several clients at once, a mapping each of `clients`,
            `queries_per_second`, `p50_ms`, `p95_ms` and `p99_ms`.
        texts: Documents and queries that the mode's embeddings were asked for.
        texts_encoded: Distinct ones that the model ran on.
        texts_read: Distinct ones that the store had.
        encode_seconds: Time of the corpus pass; None where all was in the store.
        documents_per_second: Rate of the corpus pass, over the documents that it encoded.
        tokens_per_second: True tokens per second of the corpus pass.
        padding_share: Share of computed tokens that was padding, in the corpus pass.
        encode_flops_per_second: FLOP/s of the corpus pass at true lengths.
        matmul_peak: FLOP/s of a matrix product on the same device and dtype.
        mfu: `encode_flops_per_second` over `matmul_peak`, that of each device where there are
            several.
        encode_joules: Energy of the corpus pass.
        query_joules: Energy of one query.
        fit_seconds: Time of fitting the head.
        peak_host_bytes: Peak memory of the process so far.
        peak_encode_host_bytes: Peak memory of the process during the corpus pass.
        peak_device_bytes: Peak memory of the accelerator while this mode was evaluated.
    """

    documents: int
    queries: int
    encode_flops_per_document: float | None = None
    encode_flops_per_query: float | None = None
    head_flops_per_document: float = 0.0
    head_flops_per_query: float = 0.0
    fit_flops: float = 0.0
    fit_choice_flops: float | None = None
    padding_flops: float | None = None
    scoring_flops_per_query: float | None = None
    query_flops: float | None = None
    corpus_flops: float | None = None
    splade_flops: float | None = None
    flops_closed_form_ratio: float | None = None
    recall_against_exact: float | None = None
    index_bytes: int
    index_disk_bytes: int | None = None
    latency_p50_ms: float | None = None
    latency_p50_low_ms: float | None = None
    latency_p50_high_ms: float | None = None
    latency_p95_ms: float | None = None
    latency_p95_low_ms: float | None = None
    latency_p95_high_ms: float | None = None
    latency_p99_ms: float | None = None
    latency_p99_low_ms: float | None = None
    latency_p99_high_ms: float | None = None
    latency_tokenise_ms: float | None = None
    latency_encode_ms: float | None = None
    latency_search_ms: float | None = None
    cold_latency_ms: float | None = None
    latency_cold_cache_p50_ms: float | None = None
    batch_size: int | None = None
    batch_latency_ms: float | None = None
    queries_per_second: float | None = None
    load: Sequence[Mapping[str, float]] | None = None
    texts: int = 0
    texts_encoded: int = 0
    texts_read: int = 0
    encode_seconds: float | None = None
    documents_per_second: float | None = None
    tokens_per_second: float | None = None
    padding_share: float | None = None
    encode_flops_per_second: float | None = None
    matmul_peak: float | None = None
    mfu: float | None = None
    encode_joules: float | None = None
    query_joules: float | None = None
    fit_seconds: float | None = None
    peak_host_bytes: int
    peak_encode_host_bytes: int | None = None
    peak_device_bytes: int | None = None


def combined_cost(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The cost of several corpora together, each with its own queries.

    Sums; means over all documents or all queries; of rates the rate of all parts one after the
    other; the largest peak and batch. A figure that a part lacks is unknown of the whole. Of
    latencies and the ends of their intervals it is the mean of the parts' own, so that the interval
    is no narrower than the mean's. `load` belongs to one corpus: of several it is unknown.

    Args:
        parts: One mapping of `CostRecord` figures a part.
    """
    if len(parts) == 1:
        return {field.name: parts[0].get(field.name) for field in fields(CostRecord)}
    return {field.name: _combined(field.name, parts) for field in fields(CostRecord)}


def _combined(name: str, parts: Sequence[Mapping[str, Any]]) -> float | None:
    known: list[float] = [part[name] for part in parts if part.get(name) is not None]
    if name == "load" or len(known) < len(parts):
        return None
    if name in _LARGEST:
        return max(known)
    weights: list[float]
    if name in _MEAN_OVER_DOCUMENTS:
        weights = [part["documents"] for part in parts]
    elif name in _MEAN_OVER_QUERIES:
        weights = [part["queries"] for part in parts]
    elif name in _MEAN_OVER_TIME:
        if any(part.get("encode_seconds") is None for part in parts):
            return None
        weights = [part["encode_seconds"] for part in parts]
    elif name == "queries_per_second":
        weights = [part["queries"] / rate for part, rate in zip(parts, known, strict=True)]
    else:
        return sum(known)
    weighted = sum(value * weight for value, weight in zip(known, weights, strict=True))
    return weighted / sum(weights) if sum(weights) else None
