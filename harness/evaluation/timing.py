"""How long a mode takes to answer queries: one at a time, in batches, from several clients."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.cost.batched import probe_batches
from harness.cost.caches import CacheEviction
from harness.cost.energy import EnergyMeter
from harness.cost.hardware import synchroniser
from harness.cost.latency import probe
from harness.cost.load import closed_loop

if TYPE_CHECKING:
    from harness.config import CostConfig
    from harness.embedding.ragged import Ragged
    from harness.embedding.texts import Texts
    from harness.retrieval.ranking import Ranking
    from harness.retrieval.retriever import Retriever

_COLD = 50  # queries at most: emptying the caches takes longer than answering

Query = tuple[int, str, str]  # its row, its id and its text


@dataclass(frozen=True)
class Asking:
    """A mode that answers queries from their text, stage by stage; nothing is read from the store.

    Attributes:
        retriever: The mode, with its corpus indexed.
        queries: The task's queries.
        top_k: Ranks kept.
        candidates: Each query's, where only they are ranked.
    """

    retriever: Retriever
    queries: Texts
    top_k: int
    candidates: Ragged | None = None

    def tokenise(self, asked: Sequence[Query]) -> tuple[Texts, Sequence[Query]]:
        """The first stage."""
        ids = [identifier for _, identifier, _ in asked]
        texts = self.queries.encoder.fresh(ids, [text for _, _, text in asked], "query")
        self.retriever.tokenise(texts)
        return texts, asked

    def encode(self, made: tuple[Texts, Sequence[Query]]) -> tuple[Texts, Sequence[Query]]:
        """The second stage."""
        self.retriever.encode(made[0])
        return made

    def search(self, made: tuple[Texts, Sequence[Query]]) -> Ranking:
        """The last stage."""
        texts, asked = made
        if self.candidates is None:
            return self.retriever.search(texts, self.top_k)
        rows = np.array([row for row, _, _ in asked], np.int64)
        return self.retriever.rerank(texts, self.candidates.select(rows), self.top_k)

    def some(self, count: int) -> list[Query]:
        """So many queries, spread over all, so that their order in the file does not matter."""
        rows = np.unique(np.linspace(0, len(self.queries) - 1, count).astype(int)).tolist()
        return [(row, self.queries.ids[row], self.queries.texts[row]) for row in rows]


def time_queries(asking: Asking, config: CostConfig, device: str) -> dict[str, Any]:
    """Latency, rates and energy of a mode's queries, as figures of `CostRecord`.

    Args:
        asking: The mode and its queries.
        config: What is timed.
        device: Where the model runs, which is waited for before a clock is read.
    """
    count = min(config.latency_queries, len(asking.queries))
    if count == 0:
        return {}
    queries = asking.some(count)
    wait = synchroniser(device)
    figures = _one_by_one(asking, queries, config, wait)
    if config.batch_sizes:
        figures |= _in_batches(asking, queries, config, wait)
    if clients := [number for number in config.clients if number <= count]:
        figures["load"] = _from_clients(asking, queries, clients, config)
    return figures


def _one_by_one(
    asking: Asking, queries: Sequence[Query], config: CostConfig, wait: Any
) -> dict[str, Any]:
    stages: dict[str, Callable[[Any], Any]] = {
        "tokenise": lambda query: asking.tokenise([query]),
        "encode": asking.encode,
        "search": asking.search,
    }
    record = probe(
        stages,
        queries,
        warmup=config.latency_warmup,
        repetitions=config.latency_repetitions,
        synchronise=wait,
    )
    total = record.total
    figures: dict[str, Any] = {"cold_latency_ms": record.cold_ms}
    for name in ("p50", "p95", "p99"):
        low, high = getattr(total, f"{name}_interval_ms")
        figures[f"latency_{name}_ms"] = getattr(total, f"{name}_ms")
        figures[f"latency_{name}_low_ms"] = low
        figures[f"latency_{name}_high_ms"] = high
    for stage, summary in record.by_stage.items():
        figures[f"latency_{stage}_ms"] = summary.p50_ms
    if config.cold_caches:
        few = queries[:: max(len(queries) // _COLD, 1)][:_COLD]
        evicted = probe(
            stages, few, warmup=1, repetitions=1, synchronise=wait, between=CacheEviction()
        ).evicted
        assert evicted is not None
        figures["latency_cold_cache_p50_ms"] = evicted.p50_ms
    return figures


def _in_batches(
    asking: Asking, queries: Sequence[Query], config: CostConfig, wait: Any
) -> dict[str, Any]:
    """The largest batch's figures; one larger than the number of queries is left out."""
    sizes = sorted({min(size, len(queries)) for size in config.batch_sizes})
    stages: dict[str, Callable[[Any], Any]] = {
        "tokenise": asking.tokenise,
        "encode": asking.encode,
        "search": asking.search,
    }
    repetitions = config.latency_repetitions
    with EnergyMeter() as energy:
        records = probe_batches(
            stages,
            queries,
            batch_sizes=sizes,
            warmup=1,
            repetitions=repetitions,
            synchronise=wait,
        )
    largest = records[sizes[-1]]
    answered = len(queries) * repetitions * len(sizes)
    return {
        "batch_size": sizes[-1],
        "batch_latency_ms": largest.ms_per_query,
        "queries_per_second": largest.queries_per_second,
        "query_joules": None if energy.joules is None else energy.joules / answered,
    }


def _from_clients(
    asking: Asking, queries: Sequence[Query], clients: Sequence[int], config: CostConfig
) -> list[dict[str, Any]]:
    one_at_a_time = threading.Lock()  # fast tokenizers and stemmers are not for several threads

    def answer(query: Query) -> Ranking:
        with one_at_a_time:
            made = asking.tokenise([query])
        return asking.search(asking.encode(made))

    records = closed_loop(
        answer,
        queries,
        clients=clients,
        warmup=config.latency_warmup,
        repetitions=config.latency_repetitions,
        limit_seconds=config.load_seconds,
    )
    return [
        {"clients": number, "queries_per_second": record.queries_per_second}
        | {
            f"{name}_ms": None if record.latency is None else getattr(record.latency, f"{name}_ms")
            for name in ("p50", "p95", "p99")
        }
        for number, record in records.items()
    ]
