"""Encoding on a real Ray cluster against one process; what dies, and what is refused."""

import os
import sys
import time

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import load_file, save_file
from scipy import sparse

from harness.alignment.equal_rows import EqualRows
from harness.components import parse_component as parse
from harness.config import (
    InstructionConfig,
    MeanPoolingConfig,
    ModelConfig,
    RayBackendConfig,
    TransformersBackendConfig,
    build,
)
from harness.embedding import ray_cluster as module
from harness.embedding.encoder import TextEncoder
from harness.embedding.instructions import Template
from harness.embedding.model import EmbeddingModel
from harness.embedding.ray_cluster import Cluster, Workers
from harness.errors import BadInputError
from harness.retrieval.dense_search import dense_search
from harness.retrieval.inverted_index import InvertedIndex
from harness.retrieval.spread_search import SpreadDense, SpreadSparse
from tests.embedding.ray_cluster import nodes
from tests.embedding.tiny import model_folder

pytest.importorskip("ray")

WORDS = ("cat", "mat", "dog", "fox", "bread", "moon", "piano")
TEXTS = [" ".join([str(n), *(WORDS[(n * k) % 7] for k in range(1, 2 + n % 7))]) for n in range(60)]
HERE = TransformersBackendConfig(device="cpu", token_budget=64)


def there(**options):
    """A backend of two workers, whose blocks hold a dozen texts."""
    told = {"workers": 2, "cpus_per_worker": 1, "block_tokens": 150, "token_budget": 64}
    return RayBackendConfig(**{"device": "cpu", **told, **options})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return model_folder(tmp_path_factory.getbasetemp(), "bert")


@pytest.fixture
def encoder(folder, tmp_path):
    """Makes encoders of one model, each with a store of its own."""

    def make(backend, store, model=folder):
        loaded, pooling = EmbeddingModel(ModelConfig(path=str(model))), MeanPoolingConfig()
        return TextEncoder(
            model=loaded,
            pooling=pooling,
            template=Template(InstructionConfig()),
            backend=build(backend, model=loaded, pooling=build(pooling)),
            store_dir=tmp_path / store,
        )

    return make


def texts_of(encoder, texts=TEXTS):
    return encoder.texts([f"id{row}" for row in range(len(texts))], texts, "document")


def shards(encoder):
    return sorted(encoder.store("document").folder.glob("shard-*.arrow"))


@pytest.fixture(scope="class")
def cluster(tmp_path_factory):
    """Two nodes, which this process has joined."""
    import ray

    with nodes(2, tmp_path_factory.mktemp("nodes")) as (made, _):
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        try:
            yield made
        finally:
            ray.shutdown()


class TestWithoutACluster:
    def test_settings_change_no_score(self, encoder):
        one, other = encoder(HERE, "one"), encoder(there(), "other")
        assert one.space("document") == other.space("document")
        assert (other.backend.dtype, other.backend.device) == ("float32", "cpu")

    @pytest.mark.parametrize("dtype", ["auto", "fastest", "float16", "bfloat16"])
    def test_dtypes_are_those_of_transformers(self, encoder, dtype):
        own = encoder(TransformersBackendConfig(device="cpu", dtype=dtype), "a").backend
        assert encoder(there(dtype=dtype), "b").backend.dtype == own.dtype

    def test_workers_with_gpus_have_the_dtype_of_gpus(self, encoder):
        backend = encoder(there(device="auto", gpus_per_worker=1.0), "a").backend
        assert backend.dtype == "bfloat16"
        assert backend.spreads(np.array([1]))  # nothing that is stored is encoded on this CPU

    def test_what_fits_into_a_block_stays_in_this_process(self, encoder):
        one, other = encoder(HERE, "one"), encoder(there(), "other")
        few = TEXTS[:5]
        np.testing.assert_array_equal(texts_of(other, few).pooled, texts_of(one, few).pooled)
        live = other.fresh(["q"], ["a live query"], "query").pooled
        np.testing.assert_array_equal(live, one.fresh(["q"], ["a live query"], "query").pooled)
        assert not _connected()

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"workers": 0}, "backend.workers=0 must be at least 1"),
            ({"block_tokens": 0}, "backend.block_tokens=0 must be at least 1"),
            ({"retries": -1}, "backend.retries=-1 must be at least 0"),
            ({"address": " "}, "backend.address is empty"),
            ({"devices": "all"}, "backend.devices=all is of backend=transformers"),
            ({"dtype": "int4"}, "backend.dtype='int4' is unknown"),
        ],
    )
    def test_bad_settings_are_one_line(self, refusal, settings, said):
        given = {"kind": "ray", **settings}
        assert said in refusal(lambda: parse("backend", given, where="backend"))

    def test_ray_that_is_not_installed(self, encoder, refusal, monkeypatch):
        monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
        assert "pip install 'harness[ray]'" in refusal(lambda: encoder(there(), "a"))

    @pytest.mark.parametrize("scheme", ["", "ray://"])
    def test_a_cluster_that_does_not_answer(self, encoder, refusal, scheme):
        backend = there(address=f"{scheme}127.0.0.1:1")
        said = refusal(lambda: texts_of(encoder(backend, "a")).pooled)
        assert said.startswith(f"no Ray cluster at {scheme}127.0.0.1:1 (")
        assert "Connection refused" in said
        assert "backend.address" in said

    def test_the_cluster_of_the_environment(self, monkeypatch):
        assert Cluster(None).is_of_this_machine
        monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
        assert {Cluster(None).address, Cluster("auto").address} == {"10.0.0.1:6379"}
        assert Cluster("10.0.0.2:6379").address == "10.0.0.2:6379"


@pytest.mark.slow
def test_a_cluster_of_this_machine(encoder):
    """The smallest whole way: a cluster is started, one worker encodes, the store has it all."""
    import ray

    plain, own = texts_of(encoder(HERE, "plain")), encoder(there(workers=1), "own")
    texts = texts_of(own)
    try:
        found = texts.pooled
        assert own.backend.device_count == 1
    finally:
        ray.shutdown()
    np.testing.assert_allclose(found, plain.pooled, atol=1e-6)
    assert texts.encoding.encoded == len(TEXTS)
    assert len(shards(own)) > 4


def test_what_a_cluster_reports_is_no_result(capsys):
    from ray._private import worker

    module._keep_off_standard_output()
    module._keep_off_standard_output()
    batch = {"lines": ["a node died"], "pid": "raylet", "is_err": False}
    worker.print_to_stdstream(batch, ignore_prefix=False)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("a node died") == 1


def _connected():
    return "ray" in sys.modules and sys.modules["ray"].is_initialized()


@pytest.mark.slow
class TestOnTwoNodes:
    def test_one_process_two_workers_and_one_give_the_same(self, cluster, encoder):
        plain = texts_of(encoder(HERE, "plain"))
        names = []
        for workers in (2, 1):
            own = encoder(there(workers=workers), f"by{workers}")
            texts = texts_of(own)
            np.testing.assert_allclose(texts.pooled, plain.pooled, atol=1e-6)
            assert texts.encoding.encoded == len(TEXTS)
            np.testing.assert_array_equal(texts.encoding.lengths, plain.encoding.lengths)
            np.testing.assert_array_equal(
                texts.encoding.padded_lengths, plain.encoding.padded_lengths
            )
            blocks = [sorted(_keys(shard)) for shard in shards(own)]
            names.append(sorted(blocks))
            again = texts_of(own)
            np.testing.assert_array_equal(again.pooled, texts.pooled)
            assert (again.encoding.read, again.encoding.encoded) == (len(TEXTS), 0)
        assert names[0] == names[1]  # what a block holds does not depend on workers
        assert len(names[0]) > 4

    def test_what_is_stored_is_not_encoded_again(self, cluster, encoder):
        own = encoder(there(), "own")
        texts_of(own, TEXTS[:30])
        first = texts_of(own, TEXTS[:30])
        _ = first.pooled
        kept = {shard.name for shard in shards(own)}
        rest = texts_of(own)
        _ = rest.pooled
        assert (rest.encoding.read, rest.encoding.encoded) == (30, 30)
        new = {key for shard in shards(own) if shard.name not in kept for key in _keys(shard)}
        assert new == set(rest.keys[30:])

    def test_texts_that_are_not_stored_come_back(self, cluster, encoder):
        ids = [f"id{row}" for row in range(len(TEXTS))]
        own = encoder(there(), "own")
        found = own.fresh(ids, TEXTS, "document").pooled
        expected = encoder(HERE, "plain").fresh(ids, TEXTS, "document").pooled
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert shards(own) == []

    def test_a_model_that_gives_nan_is_refused_by_the_name_of_a_text(
        self, cluster, encoder, refusal, folder, tmp_path
    ):
        broken = _changed(folder, tmp_path / "broken", lambda weights: weights * np.nan)
        own = encoder(there(), "own", broken)
        began = time.monotonic()
        said = refusal(lambda: texts_of(own).pooled)
        assert said.startswith("the embedding of text 'id")
        assert "holds NaN or infinity; use backend.dtype=float32" in said
        assert shards(own) == []
        assert time.monotonic() - began < 300  # it was not tried again and again

    def test_another_model_under_the_same_path_is_refused(
        self, cluster, encoder, refusal, folder, tmp_path
    ):
        own = encoder(there(), "own", _changed(folder, tmp_path / "other", lambda w: w))
        _ = own.model.weights_hash
        _changed(folder, tmp_path / "other", lambda weights: weights + 1)
        assert "copy the same folder to all of them" in refusal(lambda: texts_of(own).pooled)

    def test_a_store_that_cannot_be_written_is_refused(self, cluster, encoder, refusal, tmp_path):
        (tmp_path / "own").write_text("a file where the store's folder is to be")
        own = encoder(there(), "own")
        assert "cannot be written" in refusal(lambda: texts_of(own).pooled)

    def test_workers_that_die_again_and_again(self, cluster, refusal):
        tables = [pa.table({"row": [0]})]
        said = refusal(
            lambda: list(Cluster(None).stream(tables, Dying, None, Workers(1, 1, 0, retries=1)))
        )
        assert said.startswith("the Ray cluster gave up (")
        assert "what is encoded is kept" in said

    def test_more_than_a_machine_has(self, cluster, encoder, refusal):
        own = encoder(there(cpus_per_worker=64), "own")
        assert "backend.cpus_per_worker=64: no machine" in refusal(lambda: texts_of(own).pooled)
        own = encoder(there(gpus_per_worker=1.0), "own")
        assert "backend.gpus_per_worker=1: the Ray cluster has 0 GPUs" in refusal(
            lambda: texts_of(own).pooled
        )

    def test_search_over_shards(self, cluster, encoder):
        """Three shards of 16,384 documents at most, against one search here."""
        backend = encoder(there(shard_documents=1), "own").backend
        rng = np.random.default_rng(3)
        documents = rng.standard_normal((40_000, 16)).astype(np.float32)
        documents[rng.permutation(40_000)[:30_000]] = documents[:3].repeat(10_000, axis=0)
        queries = rng.standard_normal((9, 16)).astype(np.float32)
        equal = EqualRows.of(documents)
        spread = SpreadDense.where_worth_it(backend, documents, equal)
        assert SpreadDense.where_worth_it(backend, documents[:16_384], equal) is None
        for k in (10, 1000):
            found = spread.search(queries, k)
            whole = dense_search(queries, documents, k)
            np.testing.assert_array_equal(found.documents, whole.documents)
            np.testing.assert_allclose(found.scores, whole.scores, atol=1e-5)

        weights = sparse.random_array((40_000, 300), density=0.02, format="csr", rng=rng)
        index = InvertedIndex(weights.astype(np.float32), "uint8")
        asked = sparse.random_array((9, 300), density=0.05, format="csr", rng=rng)
        asked = asked.astype(np.float32)
        found = SpreadSparse.where_worth_it(backend, index.postings).search(asked, 100)
        whole = index.search(asked, 100)
        np.testing.assert_array_equal(found.documents, whole.documents)
        np.testing.assert_array_equal(found.scores, whole.scores)

        queries[4, 2] = np.nan
        with pytest.raises(BadInputError, match="a query's score of a document is NaN"):
            spread.search(queries, 10)

    def test_an_error_of_a_worker_that_nobody_expects(self, cluster, encoder):
        own = encoder(there(), "own")
        texts = texts_of(own)
        prompts = own.prompts(texts)
        prompts.ids.values[:] = 1_000_000  # a token that the model does not have
        with pytest.raises(RuntimeError, match=r"a worker: IndexError: index out of range"):
            list(own.backend.embed(prompts, include_instruction=True))


@pytest.mark.slow
def test_a_node_that_is_killed_half_way(encoder, tmp_path):
    """Its worker's block is encoded by the other; nothing is lost, nothing else is different."""
    import ray

    texts = [f"{text} {WORDS[turn]} {turn}" for turn in range(7) for text in TEXTS]
    plain = texts_of(encoder(HERE, "plain"), texts)
    with nodes(2, tmp_path) as (made, (other,)):
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        try:
            own = encoder(there(block_tokens=64), "own")
            asked = texts_of(own, texts)
            prompts, seen, killed_at = asked.prompts, [], None
            filled = own.backend.fill(
                prompts,
                asked.keys,
                own._store_opener("document", tmp_path / "own"),
                include_instruction=True,
            )
            for part in filled:
                seen += part.rows.tolist()
                if killed_at is None and len(shards(own)) > 6:
                    killed_at = len(seen)
                    made.remove_node(other, allow_graceful=False)
            assert killed_at is not None
            assert killed_at < len(texts) // 2
            assert sorted(seen) == list(range(len(texts)))
            found = texts_of(own, texts)
            np.testing.assert_allclose(found.pooled, plain.pooled, atol=1e-6)
            assert (found.encoding.read, found.encoding.encoded) == (len(texts), 0)
        finally:
            ray.shutdown()


class Dying:
    """A worker that dies with every block."""

    def __init__(self, job):
        pass

    def __call__(self, table):
        os._exit(1)


def _keys(index):
    with pa.memory_map(str(index)) as source:
        return pa.ipc.open_file(source).read_all().column("key").to_pylist()


def _changed(folder, target, change):
    """A copy of a model whose word embeddings are changed."""
    target.mkdir(exist_ok=True)
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("word_embeddings.weight"))
    weights[name] = np.asarray(change(weights[name]), weights[name].dtype)
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target
