"""What `harness plan` predicts against what encoding, indexing and searching really take.

A trained Llama encodes synthetic texts through the store, both indexes are built and searched by
the project's own classes. Figures of the larger size are predicted from its number of documents,
their mean length and the spread of it, and from rates and common terms measured at the smaller one.
"""

import ctypes
import gc
import time
from dataclasses import replace

import numpy as np
import pytest
from torch.utils.flop_counter import FlopCounterMode

from harness.config import build, parse
from harness.config.plan import PlanConfig
from harness.cost.capacity import plan_collection
from harness.cost.collection import Collection, TextCount
from harness.cost.disk import disk_bytes
from harness.cost.machinery import Rates, SparseIndex
from harness.cost.memory import PeakHostMemory
from harness.embedding.model import EmbeddingModel
from harness.evaluation.encoder import build_encoder, with_published_settings
from harness.evaluation.heads import build_head
from harness.evaluation.planned_model import planned_model
from harness.retrieval.postings import BLOCK
from harness.retrieval.retriever import Dependencies

QUERIES = 200
TOP_K = 100
K = 64
SYLLABLES = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "er", "is")]


def texts_of(count, *, seed, least, most):
    """Distinct texts of made-up words, some common and most rare."""
    random = np.random.default_rng(seed)
    words = [f"{a}{b}" for a in SYLLABLES for b in SYLLABLES[:20]]
    made = {}
    while len(made) < count:
        length = random.integers(least, most)
        ranks = (len(words) * random.random(length) ** 3).astype(int)
        made[f"{len(made):06d} " + " ".join(words[rank] for rank in ranks)] = None
    return list(made)


class Measured:
    """One size, run for real.

    Attributes are named as those of the plan.
    """

    def __init__(self, config, count):
        model = EmbeddingModel(config.model)
        config = with_published_settings(config, model)
        encoder = build_encoder(config, model)
        head = build_head(config, encoder)
        texts = texts_of(count, seed=count, least=3, most=9)
        self.corpus = encoder.texts([str(n) for n in range(count)], texts, "document")
        asked = texts_of(QUERIES, seed=1, least=3, most=8)
        queries = encoder.texts([f"q{n}" for n in range(QUERIES)], asked, "query")
        warm = texts_of(64, seed=0, least=3, most=9)
        _ = encoder.fresh([str(n) for n in range(64)], warm, "document").pooled
        _ = self.corpus.embeddings
        record = self.corpus.encoding
        self.lengths = record.lengths
        self.encode_seconds = record.seconds
        self.encode_flops = counted_flops(encoder, self.lengths)
        shards = [*encoder.store_dir.glob("embeddings/*/shard-*")]
        self.store_bytes = disk_bytes(shards)
        self.shards = len(shards) // 2
        self.query_lengths = queries.lengths
        self.modes = {}
        for name in ("dense", "aligned_sparse"):
            own = Dependencies(name=name, encoder=encoder, head=head, retrievers={})
            mode = build(config.retrieval[name], dependencies=own)
            return_freed_memory()
            with PeakHostMemory() as memory:
                mode.index(self.corpus)
            mode.tokenise(queries)
            mode.encode(queries)
            search_seconds = median_seconds(lambda mode=mode: mode.search(queries, TOP_K))
            self.modes[name] = {
                "work": mode.work(queries),
                "seconds": search_seconds,
                "build_bytes": memory.peak_bytes - memory.start_bytes,
            }


def return_freed_memory():
    """Let the system have what was freed before: what is taken next then counts as growth."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        pytest.skip("only glibc gives freed memory back when asked to")
    trim(0)


def median_seconds(action):
    action()
    times = []
    for _ in range(5):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def counted_flops(encoder, lengths):
    """torch's count of the forward passes, one of each length that there is."""
    import torch
    from transformers import AutoModel

    network = AutoModel.from_pretrained(encoder.model.folder, attn_implementation="eager").eval()
    total = 0
    for length, count in zip(*np.unique(lengths, return_counts=True), strict=True):
        tokens = torch.ones((1, int(length)), dtype=torch.long)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(input_ids=tokens)
        total += int(count) * counter.get_total_flops()
    return total


@pytest.fixture(scope="module")
def plan_config(stories, tmp_path_factory):
    from hydra import compose, initialize_config_dir

    from harness.cli import config_folder

    def make(name, *overrides):
        settings = [
            *("model=local", f"model.path={stories}", "pooling=mean", "head=lm_head"),
            *("backend.device=cpu", "backend.dtype=float32", "instruction=none"),
            f"retrieval.aligned_sparse.doc_top_k={K}",
            f"store_dir={tmp_path_factory.mktemp(name)}",
            *overrides,
        ]
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            return parse(PlanConfig, compose("plan", overrides=settings), where="")

    return make


def predicted(config, count, lengths, rates, shared):
    """The plan of so many documents whose lengths are known by mean and spread alone."""
    mean, spread = float(lengths.mean()), float(lengths.std())
    model = planned_model(config)
    embedder = replace(model.embedder, length_variation=spread / mean)
    own = TextCount(texts=count, distinct=count, tokens=mean, terms=mean - 1)
    return plan_collection(
        Collection(name="it", documents=(own,), query=own, basis="given"),
        embedder=embedder,
        index=SparseIndex(kept=K, block=BLOCK, encodes_queries=False),
        rates=rates,
        shared_terms=shared,
        queries=QUERIES,
        shard_vector_bytes=64 << 20,
    )


def rates_of(run, count, width):
    """Rates as one size had them; dense search of many queries is bound by its products."""
    dense, sparse = run.modes["dense"], run.modes["aligned_sparse"]
    return Rates(
        encode_flops_per_second=run.encode_flops / run.encode_seconds,
        dense_flops_per_second=2.0 * width * count * QUERIES / dense["seconds"],
        bytes_per_second=1e15,
        postings_per_second=sparse["work"].scoring_flops / 2 * QUERIES / sparse["seconds"],
        batch=QUERIES,
    )


def compare(plan_config, small, large, *, factor=None):
    """Run two sizes and predict each: lines of (documents, figure, predicted, measured).

    Args:
        factor: How far predicted times may be off, either way; None where they tell nothing.
    """
    runs = {}
    for count in (small, large):
        config = plan_config(f"store{count}")
        runs[count] = Measured(config, count)
    first = runs[small]
    model = planned_model(plan_config("plan"))
    rates = rates_of(first, small, model.embedder.width)
    shared = first.modes["aligned_sparse"]["work"].splade_flops
    lines = []
    for count, run in runs.items():
        found = predicted(config, count, run.lengths, rates, shared)
        dense, sparse = run.modes["dense"], run.modes["aligned_sparse"]
        held = 4 * count * model.embedder.width
        if run.shards == 1:
            assert found.store_bytes["float32"] == run.store_bytes
        pairs = {
            "store bytes": (found.store_bytes["float32"], run.store_bytes, 1.01),
            "dense bytes": (found.dense_bytes["float32"], dense["work"].index_bytes, 1.0),
            "sparse bytes": (found.sparse_bytes["float32"], sparse["work"].index_bytes, 1.05),
            "encode FLOPs": (found.encode_flops, run.encode_flops, 1.02),
            "dense FLOPs": (found.dense.scoring_flops, dense["work"].scoring_flops, 1.0),
            "sparse FLOPs": (found.sparse.scoring_flops, sparse["work"].scoring_flops, 1.1),
            "encode s": (found.encode_seconds, run.encode_seconds, factor),
            "dense s": (QUERIES * found.dense.search_seconds, dense["seconds"], factor),
            "sparse s": (QUERIES * found.sparse.search_seconds, sparse["seconds"], factor),
            # The process held the embeddings before.
            "dense build": (found.dense_build_bytes - held, dense["build_bytes"], None),
            "sparse build": (found.sparse_build_bytes - held, sparse["build_bytes"], None),
        }
        for name, (expected, measured, tolerance) in pairs.items():
            lines.append((count, name, float(expected), float(measured)))
            print(f"{count:>7,} {name:<13} {expected:>16,.6g} {measured:>16,.6g}")
            if tolerance is not None:
                ratio = expected / measured
                assert 1 / tolerance - 1e-12 <= ratio <= tolerance + 1e-12, (count, name, ratio)
    return lines


def test_two_small_sizes(plan_config, one_thread):
    compare(plan_config, 200, 800)


@pytest.mark.slow
def test_two_sizes(plan_config, one_thread):
    lines = compare(plan_config, 10_000, 100_000, factor=5.0)
    for count, name, expected, measured in lines:
        if name.endswith("build"):
            assert expected / 2.5 < measured < 2.5 * expected, (count, name, expected, measured)
