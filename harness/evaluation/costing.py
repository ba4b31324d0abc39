"""The cost of one mode on one corpus: FLOPs, latency, throughput, bytes, memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.cost.flops import (
    QuadraticFlops,
    UnmeasurableError,
    closed_form_flops,
    measured_forward_flops,
    padding_share,
    ridge_fit_flops,
    shape_from_config,
)
from harness.cost.hardware import matmul_peak, synchroniser
from harness.cost.latency import probe
from harness.cost.memory import peak_device_bytes, peak_host_bytes

if TYPE_CHECKING:
    from harness.alignment.head import Head
    from harness.config import CostConfig
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.texts import EncodingRecord, Texts
    from harness.retrieval.retriever import Retriever, SearchWork


@dataclass(frozen=True, kw_only=True)
class CostRecord:
    """What one mode costs on one corpus and its queries; None where it was not measured.

    FLOPs count a multiply-add as two. Texts are counted at their true length; `padding_share` tells
    how much of what was computed was padding.

    Attributes:
        documents: Documents in the corpus.
        queries: Queries.
        encode_flops_per_document: Mean forward pass of a document, 0 without a model.
        encode_flops_per_query: Mean forward pass of a query, 0 where no model runs for it.
        head_flops_per_document: 2·d·V, and its transform's, where the head reads documents.
        head_flops_per_query: 2·d·V where the head reads queries.
        fit_flops: Fitting the head, for the corpus.
        scoring_flops_per_query: Scoring, from the postings or vectors touched.
        query_flops: Encoding, head and scoring of one query.
        corpus_flops: Encoding, head and fit of the whole corpus.
        splade_flops: Σ_v p_q(v)·p_d(v) of a query-document pair.
        flops_closed_form_ratio: Closed form over counted FLOPs of the forward pass.
        index_bytes: Bytes of the index in memory.
        latency_p50_ms: Median time of a query at batch size 1, tokenised, encoded, searched.
        latency_p95_ms: 95th percentile.
        latency_p99_ms: 99th percentile.
        latency_tokenise_ms: Median of the tokenising stage.
        latency_encode_ms: Median of the encoding stage.
        latency_search_ms: Median of the search stage.
        texts: Documents and queries that the mode's embeddings were asked for.
        texts_encoded: Distinct ones that the model ran on.
        texts_read: Distinct ones that the store had.
        documents_per_second: Rate of the corpus pass.
        tokens_per_second: True tokens per second of the corpus pass.
        padding_share: Share of computed tokens that was padding, in the corpus pass.
        encode_flops_per_second: FLOP/s of the corpus pass at true lengths.
        matmul_peak: FLOP/s of a matrix product on the same device and dtype.
        mfu: `encode_flops_per_second` over `matmul_peak`.
        fit_seconds: Time of fitting the head.
        peak_host_bytes: Peak memory of the process so far.
        peak_device_bytes: Peak memory of the accelerator while this mode was evaluated.
    """

    documents: int
    queries: int
    encode_flops_per_document: float | None = None
    encode_flops_per_query: float | None = None
    head_flops_per_document: float = 0.0
    head_flops_per_query: float = 0.0
    fit_flops: float = 0.0
    scoring_flops_per_query: float | None = None
    query_flops: float | None = None
    corpus_flops: float | None = None
    splade_flops: float | None = None
    flops_closed_form_ratio: float | None = None
    index_bytes: int
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    latency_p99_ms: float | None = None
    latency_tokenise_ms: float | None = None
    latency_encode_ms: float | None = None
    latency_search_ms: float | None = None
    texts: int = 0
    texts_encoded: int = 0
    texts_read: int = 0
    documents_per_second: float | None = None
    tokens_per_second: float | None = None
    padding_share: float | None = None
    encode_flops_per_second: float | None = None
    matmul_peak: float | None = None
    mfu: float | None = None
    fit_seconds: float | None = None
    peak_host_bytes: int
    peak_device_bytes: int | None = None


class CostMeter:
    """Measures modes of one encoder; what does not depend on the mode is measured once."""

    def __init__(self, config: CostConfig, encoder: TextEncoder, head: Head) -> None:
        self._config = config
        self._encoder = encoder
        self._head = head
        self._forward: tuple[QuadraticFlops | None, float | None] | None = None
        self._peak: float | None = None

    def measure(
        self, retriever: Retriever, corpus: Texts, queries: Texts, *, top_k: int
    ) -> dict[str, Any]:
        """The cost record of an indexed mode, as a mapping of figures."""
        work = retriever.work(queries)
        figures: dict[str, Any] = {
            "documents": len(corpus),
            "queries": len(queries),
            "scoring_flops_per_query": work.scoring_flops,
            "splade_flops": work.splade_flops,
            "index_bytes": work.index_bytes,
            "peak_host_bytes": peak_host_bytes(),
            "peak_device_bytes": peak_device_bytes(),
        }
        figures |= self._flops(work, corpus, queries)
        if work.encodes_documents:
            passes = [corpus.encoding] + ([queries.encoding] if work.encodes_queries else [])
            figures |= self._encoding([record for record in passes if record], corpus)
        figures |= self._latency(retriever, queries, top_k)
        return asdict(CostRecord(**figures))

    def _flops(self, work: SearchWork, corpus: Texts, queries: Texts) -> dict[str, Any]:
        forward, ratio = self._forward_flops() if work.encodes_documents else (None, None)
        encode_document = encode_query = corpus_encoding = None
        if not work.encodes_documents:
            encode_document = encode_query = corpus_encoding = 0.0
        elif forward is not None:
            per_document = forward.at(corpus.lengths)
            corpus_encoding = float(per_document.sum())
            encode_document = float(per_document.mean())
            encode_query = 0.0
            if work.encodes_queries:
                encode_query = float(forward.at(queries.lengths).mean())
        head_document, head_query, fit, fit_seconds = 0.0, 0.0, 0.0, None
        if work.head_reads_documents:
            head_document = self._head.flops_per_text
            head_query = head_document if work.head_reads_queries else 0.0
            if (record := self._head.fit_record) is not None:
                fit = ridge_fit_flops(
                    texts=record.documents,
                    width=record.width,
                    nonzeros=record.nonzeros,
                    vocabulary_size=record.vocabulary,
                )
                fit_seconds = record.seconds
        return {
            "encode_flops_per_document": encode_document,
            "encode_flops_per_query": encode_query,
            "head_flops_per_document": head_document,
            "head_flops_per_query": head_query,
            "fit_flops": fit,
            "fit_seconds": fit_seconds,
            "query_flops": _sum(encode_query, head_query, work.scoring_flops),
            "corpus_flops": _sum(corpus_encoding, head_document * len(corpus), fit),
            "flops_closed_form_ratio": ratio,
        }

    def _forward_flops(self) -> tuple[QuadraticFlops | None, float | None]:
        """Counted FLOPs of the backbone by length, and how the closed form compares."""
        if self._forward is None:
            from transformers import AutoConfig

            model = self._encoder.model
            shape = shape_from_config(model.settings)
            closed = closed_form_flops(shape) if shape is not None else None
            try:
                counted = measured_forward_flops(
                    AutoConfig.from_pretrained(
                        model.folder, trust_remote_code=model.config.trust_remote_code
                    )
                )
            except UnmeasurableError:
                counted = None
            ratio = None
            if counted is not None and closed is not None:
                length = np.array([model.max_length])
                ratio = float(closed.at(length)[0] / counted.at(length)[0])
            backbone = counted or closed
            extra = self._encoder.flops_beside_backbone
            self._forward = (None if backbone is None else backbone + extra, ratio)
        return self._forward

    def _encoding(self, passes: list[EncodingRecord], corpus: Texts) -> dict[str, Any]:
        figures: dict[str, Any] = {
            "texts": sum(record.texts for record in passes),
            "texts_encoded": sum(record.encoded for record in passes),
            "texts_read": sum(record.read for record in passes),
        }
        record = corpus.encoding
        if record is None or record.encoded == 0:
            return figures
        figures["documents_per_second"] = record.encoded / record.seconds
        figures["tokens_per_second"] = record.tokens / record.seconds
        figures["padding_share"] = padding_share(record.tokens, record.padded_tokens)
        forward, _ = self._forward_flops()
        if forward is not None:
            rate = float(forward.at(record.lengths).sum()) / record.seconds
            figures["encode_flops_per_second"] = rate
            if self._config.matmul_peak:
                if self._peak is None:
                    import torch

                    backend = self._encoder.backend
                    self._peak = matmul_peak(backend.device, getattr(torch, backend.dtype))
                figures["matmul_peak"] = self._peak
                figures["mfu"] = rate / self._peak
        return figures

    def _latency(self, retriever: Retriever, queries: Texts, top_k: int) -> dict[str, Any]:
        count = min(self._config.latency_queries, len(queries))
        if count == 0:
            return {}
        # Spread over the queries, so that their order in the file does not matter.
        chosen = np.unique(np.linspace(0, len(queries) - 1, count).astype(int))

        def tokenise(query: tuple[str, str]) -> Texts:
            texts = queries.encoder.fresh([query[0]], [query[1]], "query")
            retriever.tokenise(texts)
            return texts

        def encode(texts: Texts) -> Texts:
            retriever.encode(texts)
            return texts

        record = probe(
            {
                "tokenise": tokenise,
                "encode": encode,
                "search": lambda texts: retriever.search(texts, top_k),
            },
            [(queries.ids[row], queries.texts[row]) for row in chosen],
            warmup=self._config.latency_warmup,
            repetitions=1,
            synchronise=synchroniser(self._encoder.backend.device),
        )
        stages = record.by_stage
        return {
            "latency_p50_ms": record.total.p50_ms,
            "latency_p95_ms": record.total.p95_ms,
            "latency_p99_ms": record.total.p99_ms,
            "latency_tokenise_ms": stages["tokenise"].p50_ms,
            "latency_encode_ms": stages["encode"].p50_ms,
            "latency_search_ms": stages["search"].p50_ms,
        }


def _sum(*parts: float | None) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None
