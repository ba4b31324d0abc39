"""The cost of one mode on one corpus: FLOPs, latency, throughput, bytes, memory."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.cost.flops import (
    QuadraticFlops,
    UnmeasurableError,
    closed_form_flops,
    fit_choice_flops,
    measured_forward_flops,
    padding_flops,
    padding_share,
    ridge_fit_flops,
    shape_from_config,
)
from harness.cost.hardware import matmul_peak
from harness.cost.memory import peak_device_bytes, peak_host_bytes
from harness.cost.record import CostRecord
from harness.embedding.texts import EncodingRecord
from harness.evaluation.timing import Asking, time_queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.alignment.head import Head
    from harness.config import CostConfig
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.ragged import Ragged
    from harness.embedding.texts import Texts
    from harness.retrieval.retriever import Retriever, SearchWork, Vectoriser


_NO_FIT: dict[str, Any] = {"fit_flops": 0.0, "fit_choice_flops": 0.0, "fit_seconds": None}


class CostMeter:
    """Measures modes of one encoder; what does not depend on the mode is measured once."""

    def __init__(self, config: CostConfig, encoder: TextEncoder, head: Head) -> None:
        self._config = config
        self._encoder = encoder
        self._head = head
        self._forward: tuple[QuadraticFlops | None, float | None] | None = None
        self._peak: float | None = None

    def measure(
        self,
        retriever: Retriever,
        corpus: Texts,
        queries: Texts,
        *,
        top_k: int,
        candidates: Ragged | None = None,
    ) -> dict[str, Any]:
        """The cost record of an indexed mode, as a mapping of figures.

        Args:
            retriever: The mode, with `corpus` indexed.
            corpus: The documents.
            queries: The queries.
            top_k: Ranks kept.
            candidates: Each query's, where only they are ranked.
        """
        work = retriever.work(queries, candidates)
        figures: dict[str, Any] = {
            "documents": len(corpus),
            "queries": len(queries),
            "scoring_flops_per_query": work.scoring_flops,
            "splade_flops": work.splade_flops,
            "recall_against_exact": work.recall,
            "index_bytes": work.index_bytes,
            "index_disk_bytes": (
                corpus.encoding.disk_bytes if work.stored and corpus.encoding else None
            ),
            "peak_host_bytes": peak_host_bytes(),
            "peak_device_bytes": peak_device_bytes(),
        }
        figures |= self._flops(work, corpus, queries)
        if work.encodes_documents:
            passes = [corpus, queries] if work.encodes_queries else [corpus]
            figures |= self._encoding(passes, rated=[corpus])
        ask = Asking(retriever, queries, top_k, candidates)
        figures |= time_queries(ask, self._config, self._encoder.backend.device)
        return asdict(CostRecord(**figures))

    def measure_vectors(
        self, vectoriser: Vectoriser, parts: Sequence[Texts], *, vector_bytes: int
    ) -> dict[str, Any]:
        """The cost record of a mode's vectors of all texts of a task without queries.

        Args:
            vectoriser: The mode.
            parts: Everything that was asked for.
            vector_bytes: Bytes of their vectors.
        """
        distinct = {
            (part.side, key): int(length)
            for part in parts
            for key, length in zip(part.keys, part.lengths, strict=True)
        }
        lengths = np.fromiter(distinct.values(), np.int64, len(distinct))
        forward, ratio = self.forward_flops()
        encoding = None if forward is None else forward.at(lengths)
        reading = self._head.flops_per_text if vectoriser.reads_head else 0.0
        fit = self._fit() if vectoriser.reads_head else _NO_FIT
        total = None if encoding is None else float(encoding.sum())
        figures: dict[str, Any] = {
            "documents": len(lengths),
            "queries": 0,
            "encode_flops_per_document": None if encoding is None else float(encoding.mean()),
            "head_flops_per_document": reading,
            **fit,
            "corpus_flops": _sum(
                total, reading * len(lengths), fit["fit_flops"], fit["fit_choice_flops"]
            ),
            "flops_closed_form_ratio": ratio,
            "index_bytes": vector_bytes,
            "peak_host_bytes": peak_host_bytes(),
            "peak_device_bytes": peak_device_bytes(),
        }
        return asdict(CostRecord(**figures, **self._encoding(parts, rated=parts)))

    def _flops(self, work: SearchWork, corpus: Texts, queries: Texts) -> dict[str, Any]:
        forward, ratio = self.forward_flops() if work.encodes_documents else (None, None)
        encode_document = encode_query = corpus_encoding = None
        if not work.encodes_documents:
            encode_document = encode_query = corpus_encoding = 0.0
        elif forward is not None:
            corpus_encoding = forward.total(corpus.lengths)
            encode_document = corpus_encoding / len(corpus)
            encode_query = 0.0
            if work.encodes_queries:
                encode_query = float(forward.at(queries.lengths).mean())
        head_document, head_query = 0.0, 0.0
        fit = _NO_FIT
        if work.head_reads_documents:
            head_document = self._head.flops_per_text
            head_query = head_document if work.head_reads_queries else 0.0
            fit = self._fit()
        return {
            "encode_flops_per_document": encode_document,
            "encode_flops_per_query": encode_query,
            "head_flops_per_document": head_document,
            "head_flops_per_query": head_query,
            **fit,
            "query_flops": _sum(encode_query, head_query, work.scoring_flops),
            "corpus_flops": _sum(
                corpus_encoding,
                head_document * len(corpus),
                fit["fit_flops"],
                fit["fit_choice_flops"],
            ),
            "flops_closed_form_ratio": ratio,
        }

    def _fit(self) -> dict[str, Any]:
        """FLOPs and seconds of the head's fit, and FLOPs of choosing its strength."""
        record = self._head.fit_record
        if record is None:
            return _NO_FIT
        flops = ridge_fit_flops(
            texts=record.documents,
            width=record.width,
            nonzeros=record.nonzeros,
            vocabulary_size=record.vocabulary,
        )
        choice = 0.0
        if record.criterion is not None:
            choice = fit_choice_flops(
                criterion=record.criterion,
                strengths=record.strengths,
                width=record.width,
                vocabulary_size=record.vocabulary,
                sample=record.sample,
                sample_nonzeros=record.sample_nonzeros,
                query_nonzeros=record.query_nonzeros,
            )
        return {"fit_flops": flops, "fit_choice_flops": choice, "fit_seconds": record.seconds}

    def forward_flops(self) -> tuple[QuadraticFlops | None, float | None]:
        """Counted FLOPs of the backbone by length, and how the closed form compares."""
        if self._forward is None:
            from transformers import AutoConfig

            model = self._encoder.model
            shape = shape_from_config(model.settings)
            logits = self._encoder.pooling.reads == "logits"
            closed = closed_form_flops(shape, logits=logits) if shape is not None else None
            try:
                counted = measured_forward_flops(
                    AutoConfig.from_pretrained(
                        model.folder, trust_remote_code=model.config.trust_remote_code
                    ),
                    logits=logits,
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

    def _encoding(self, passes: Sequence[Texts], *, rated: Sequence[Texts]) -> dict[str, Any]:
        """What passes over texts did; rates are those of the `rated` ones."""
        total = _total(passes)
        figures: dict[str, Any] = {
            "texts": total.texts,
            "texts_encoded": total.encoded,
            "texts_read": total.read,
        }
        record = _total(rated)
        if record.encoded == 0:
            return figures
        figures["encode_seconds"] = record.seconds
        figures["documents_per_second"] = record.encoded / record.seconds
        figures["tokens_per_second"] = record.tokens / record.seconds
        figures["padding_share"] = padding_share(record.tokens, record.padded_tokens)
        figures["peak_encode_host_bytes"] = record.peak_host_bytes
        figures["encode_joules"] = record.joules
        forward, _ = self.forward_flops()
        if forward is not None:
            figures["padding_flops"] = padding_flops(forward, record.lengths, record.padded_lengths)
            rate = forward.total(record.lengths) / record.seconds
            figures["encode_flops_per_second"] = rate
            if self._config.matmul_peak:
                if self._peak is None:
                    import torch

                    backend = self._encoder.backend
                    self._peak = matmul_peak(backend.device, getattr(torch, backend.dtype))
                figures["matmul_peak"] = self._peak
                # A backend of several devices has so many times the peak.
                devices = getattr(self._encoder.backend, "device_count", 1)
                figures["mfu"] = rate / (devices * self._peak)
        return figures


def _total(parts: Sequence[Texts]) -> EncodingRecord:
    return EncodingRecord.total([part.encoding for part in parts if part.encoding is not None])


def _sum(*parts: float | None) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None
