"""Encoding through the store: what runs, what is read, and that both give the same vectors."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from harness.config import (
    InstructionConfig,
    MeanPoolingConfig,
    ModelConfig,
    TransformersBackendConfig,
    build,
)
from harness.embedding import encoder as encoder_module
from harness.embedding.encoder import TextEncoder
from harness.embedding.formats import decode, encode
from harness.embedding.instructions import Template
from harness.embedding.model import EmbeddingModel
from harness.embedding.transformers_backend import TransformersBackend
from harness.errors import BadInputError


class CountingBackend:
    """A stand-in whose vectors follow from the token ids, and that remembers what it ran on."""

    device = "cpu"
    dtype = "float32"
    merges_adapters = False

    def __init__(self, per_batch=3):
        self.ran = []
        self.loads = 0
        self.space = {}
        self._per_batch = per_batch

    def load(self):
        self.loads += 1

    def synchronise(self):
        pass

    def vector(self, ids):
        return np.array([len(ids), sum(ids), ids[-1] if ids else 0, 1], np.float32)

    def embed(self, prompts, *, include_instruction):
        rows = np.arange(len(prompts.ids))[::-1]
        for start in range(0, len(rows), self._per_batch):
            batch = rows[start : start + self._per_batch]
            ids = [prompts.ids[row].tolist() for row in batch]
            self.ran += ids
            longest = max(len(row) for row in ids)
            yield batch, np.stack([self.vector(row) for row in ids]), longest * len(batch)


def encoder_with(folder, store_dir, backend=None, *, instruction=None, pooling=None, **model):
    loaded = EmbeddingModel(ModelConfig(path=str(folder), **model))
    pooling = pooling or MeanPoolingConfig()
    return TextEncoder(
        model=loaded,
        pooling=pooling,
        template=Template(instruction or InstructionConfig()),
        backend=backend
        or TransformersBackend(TransformersBackendConfig(), model=loaded, pooling=build(pooling)),
        store_dir=store_dir,
    )


@pytest.fixture
def counting(tiny_llama, tmp_path):
    return encoder_with(tiny_llama, tmp_path, CountingBackend())


def texts_of(encoder, texts, side="document"):
    return encoder.texts([f"id{row}" for row in range(len(texts))], texts, side)


def expected(encoder, texts, side="document"):
    rows = encoder.tokenise(texts, side).ids
    return np.stack([encoder.backend.vector(row.tolist()) for row in rows])


def counts(record):
    return record.texts, record.distinct, record.read, record.encoded


class TestStore:
    def test_first_pass_encodes_and_second_reads(self, counting):
        texts = ["a cat", "", "a dog and a fox", "the mat"]
        first = texts_of(counting, texts)
        np.testing.assert_array_equal(first.embeddings, expected(counting, texts))
        lengths = counting.tokenise(texts, "document").ids.lengths
        np.testing.assert_array_equal(first.lengths, lengths)
        assert counts(first.encoding) == (4, 4, 0, 4)
        assert first.encoding.tokens == lengths.sum()
        by_backend = max(lengths[1:]) * 3 + lengths[0]
        assert first.encoding.padded_tokens == by_backend
        assert first.encoding.seconds > 0

        ran = len(counting.backend.ran)
        second = texts_of(counting, texts)
        np.testing.assert_array_equal(second.embeddings, first.embeddings)
        np.testing.assert_array_equal(second.lengths, lengths)
        assert counts(second.encoding) == (4, 4, 4, 0)
        assert (second.encoding.tokens, second.encoding.padded_tokens) == (0, 0)
        assert second.encoding.seconds == 0
        assert len(counting.backend.ran) == ran

    def test_a_view_is_computed_once(self, counting):
        texts = texts_of(counting, ["a", "b"])
        assert texts.embeddings is texts.embeddings
        assert texts.prompts is texts.prompts
        assert texts.literal_tokens is texts.literal_tokens
        calls = []
        assert [texts.derived("key", lambda: calls.append(1) or 7) for _ in range(3)] == [7] * 3
        assert calls == [1]

    def test_duplicates_are_encoded_once(self, counting):
        texts = texts_of(counting, ["x", "y", "x", "x", "y"])
        np.testing.assert_array_equal(texts.embeddings, expected(counting, list("xyxxy")))
        assert counts(texts.encoding) == (5, 2, 0, 2)
        assert len(counting.backend.ran) == 2

    def test_parts_of_a_corpus_share_entries(self, counting):
        _ = texts_of(counting, ["a", "b", "c"]).embeddings
        part = texts_of(counting, ["d", "c", "a", "c"])
        np.testing.assert_array_equal(part.embeddings, expected(counting, list("dcac")))
        assert counts(part.encoding) == (4, 3, 2, 1)
        whole = texts_of(counting, ["a", "b", "c", "d"])
        assert counts((whole.embeddings, whole.encoding)[1]) == (4, 4, 4, 0)

    @given(st.lists(st.lists(st.text(max_size=4), max_size=7), min_size=1, max_size=4))
    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_passes(self, tiny_llama, tmp_path_factory, passes):
        encoder = encoder_with(tiny_llama, tmp_path_factory.mktemp("store"), CountingBackend(2))
        known = set()
        for texts in passes:
            view = texts_of(encoder, texts)
            found = view.embeddings
            assert counts(view.encoding) == (
                len(texts),
                len(set(texts)),
                len(set(texts) & known),
                len(set(texts) - known),
            )
            known |= set(texts)
            if texts:
                np.testing.assert_array_equal(found, expected(encoder, texts))
        assert len(encoder.backend.ran) == len(known)

    def test_no_texts(self, counting):
        view = texts_of(counting, [])
        assert len(view) == len(view.embeddings) == len(view.lengths) == 0
        assert counts(view.encoding) == (0, 0, 0, 0)
        assert counting.backend.loads == 0

    def test_many_shards(self, counting, monkeypatch):
        monkeypatch.setattr(
            encoder_module, "_SHARD_BYTES", 4 * 4 * 4
        )  # four vectors of four numbers
        texts = [f"text {number}" for number in range(25)]
        np.testing.assert_array_equal(
            texts_of(counting, texts).embeddings, expected(counting, texts)
        )
        assert len(list(counting.store_dir.glob("embeddings/*/shard-*.arrow"))) == 5

    def test_a_killed_pass_goes_on_where_it_was(self, tiny_llama, tmp_path, monkeypatch):
        monkeypatch.setattr(encoder_module, "_SHARD_SECONDS", -1.0)  # every batch is written

        class Dying(CountingBackend):
            def embed(self, prompts, *, include_instruction):
                stream = super().embed(prompts, include_instruction=include_instruction)
                yield next(stream)
                yield next(stream)
                raise KeyboardInterrupt

        texts = [f"text {number}" for number in range(10)]
        with pytest.raises(KeyboardInterrupt):
            _ = texts_of(encoder_with(tiny_llama, tmp_path, Dying()), texts).embeddings
        encoder = encoder_with(tiny_llama, tmp_path, CountingBackend())
        view = texts_of(encoder, texts)
        np.testing.assert_array_equal(view.embeddings, expected(encoder, texts))
        assert counts(view.encoding) == (10, 10, 6, 4)

    def test_the_model_is_loaded_before_the_clock_starts(self, tiny_llama, tmp_path, monkeypatch):
        events = []

        class Watched(CountingBackend):
            def load(self):
                events.append("load")

        def clock():
            events.append("clock")
            return 0.0

        monkeypatch.setattr(encoder_module.time, "perf_counter", clock)
        view = texts_of(encoder_with(tiny_llama, tmp_path, Watched()), ["a"])
        _ = view.embeddings
        assert events == ["load", "clock", "clock"]


class TestFresh:
    def test_runs_every_time_and_stores_nothing(self, counting):
        for _ in range(2):
            view = counting.fresh(["q"], ["a cat"], "query")
            np.testing.assert_array_equal(view.embeddings, expected(counting, ["a cat"], "query"))
            assert view.encoding is None
            assert view.lengths.tolist() == view.prompts.ids.lengths.tolist()
        assert len(counting.backend.ran) == 2
        assert not (counting.store_dir / "embeddings").exists()

    def test_no_texts(self, counting):
        assert len(counting.fresh([], [], "query").embeddings) == 0


class TestSpace:
    def test_is_json_and_names_what_decides(self, counting):
        space = counting.space("query")
        assert json.loads(json.dumps(space)) == space
        assert space["weights"] == counting.model.weights_hash
        assert space["dtype"] == "float32"
        assert space["max_length"] == 64

    def test_every_setting_that_decides_a_vector_separates(self, tiny_llama, tiny_bert, tmp_path):
        base = {"folder": tiny_llama, "store_dir": tmp_path, "backend": CountingBackend()}
        half = CountingBackend()
        half.dtype = "bfloat16"
        variants = [
            {},
            {"folder": tiny_bert},
            {"max_length": 32},
            {"instruction": InstructionConfig(query="q: {text}", document="d: {text}")},
            {"pooling": MeanPoolingConfig(include_instruction=False)},
            {"backend": half},
        ]
        spaces = []
        for variant in variants:
            encoder = encoder_with(**{**base, **variant})
            spaces.append(json.dumps(encoder.space("query")))
            _ = texts_of(encoder, ["same text"], "query").embeddings
        assert len(set(spaces)) == len(variants)
        assert len(list(tmp_path.glob("embeddings/*"))) == len(variants)

    def test_a_format_of_the_store_is_a_space_of_its_own(self, tiny_llama, tmp_path):
        exact = encoder_with(tiny_llama, tmp_path, CountingBackend())
        spaces = {json.dumps(exact.space("query"))}
        for kind in ("float16", "bfloat16", "int8"):
            encoder = encoder_with(tiny_llama, tmp_path, CountingBackend())
            encoder.store_dtype = kind
            spaces.add(json.dumps(encoder.space("query")))
            vectors = texts_of(encoder, ["a cat", "a dog and a fox"]).embeddings
            kept = decode(
                encode(texts_of(exact, ["a cat", "a dog and a fox"]).embeddings, kind), kind
            )
            np.testing.assert_array_equal(vectors, kept)
            fresh = encoder.fresh(["1", "2"], ["a cat", "a dog and a fox"], "document")
            np.testing.assert_array_equal(fresh.embeddings, kept)
        assert len(spaces) == 4
        assert "store_dtype" not in exact.space("query")

    def test_device_and_budget_share_a_space(self, tiny_llama, tmp_path):
        model = EmbeddingModel(ModelConfig(path=str(tiny_llama)))
        spaces = []
        for options in ({}, {"device": "cpu", "token_budget": 9, "attention": "eager"}):
            pooling = MeanPoolingConfig()
            config = TransformersBackendConfig(dtype="float32", **options)
            backend = TransformersBackend(config, model=model, pooling=build(pooling))
            spaces.append(encoder_with(tiny_llama, tmp_path, backend).space("query"))
        assert spaces[0] == spaces[1]

    def test_the_other_side_of_a_template_is_another_space(self, tiny_llama, tmp_path):
        template = InstructionConfig(query="q: {text}", document="d: {text}")
        encoder = encoder_with(tiny_llama, tmp_path, CountingBackend(), instruction=template)
        for side in ("query", "document"):
            view = texts_of(encoder, ["a cat"], side)
            np.testing.assert_array_equal(view.embeddings, expected(encoder, ["a cat"], side))
            assert view.encoding.encoded == 1


def test_literal_tokens_and_prompts_over_several_tokeniser_calls(counting, monkeypatch):
    texts = [f"text {number} " * (number % 5) for number in range(23)]
    whole = counting.tokenise(texts, "query"), counting.literal_tokens(texts)
    monkeypatch.setattr(encoder_module, "_TOKENISED_AT_ONCE", 5)
    parts = counting.tokenise(texts, "query"), counting.literal_tokens(texts)
    assert [row.tolist() for row in parts[0].ids] == [row.tolist() for row in whole[0].ids]
    assert parts[0].text_stop.tolist() == whole[0].text_stop.tolist()
    assert [row.tolist() for row in parts[1]] == [row.tolist() for row in whole[1]]


class TestRealModels:
    def test_minilm_equals_sentence_transformers(self, minilm, tmp_path):
        from sentence_transformers import SentenceTransformer

        texts = [f"Sentence {number}: " + "words and more " * number for number in range(40)]
        texts[7], texts[9] = "", texts[8]
        encoder = encoder_with(EmbeddingModel(minilm).folder, tmp_path, max_length=256)
        view = texts_of(encoder, texts)
        vectors = view.embeddings / np.linalg.norm(view.embeddings, axis=1, keepdims=True)
        folder = str(encoder.model.folder)
        truth = SentenceTransformer(folder, device="cpu").encode(texts)
        np.testing.assert_allclose(vectors, truth, rtol=0, atol=1e-5)
        assert view.encoding.encoded == 39
        assert view.encoding.padded_tokens >= view.encoding.tokens

    @pytest.mark.parametrize("side", ["query", "document"])
    def test_stored_equals_fresh(self, tiny_llama, tmp_path, side):
        template = InstructionConfig(query="q {text}", document='x "{text}')
        pooling = MeanPoolingConfig(include_instruction=False)
        encoder = encoder_with(tiny_llama, tmp_path, instruction=template, pooling=pooling)
        texts = ["a cat", "", "the quick brown fox " * 9, "a cat", '"yes."']
        stored = texts_of(encoder, texts, side).embeddings
        fresh = encoder.fresh([str(row) for row in range(5)], texts, side).embeddings
        np.testing.assert_allclose(stored, fresh, rtol=0, atol=1e-5)
        assert stored[1].tolist() == [0.0] * 16
        assert (np.abs(stored[[0, 2, 4]]).max(axis=1) > 0.01).all()

    def test_nan_names_the_text(self, tiny_llama, tmp_path):
        folder = shutil.copytree(tiny_llama, tmp_path / "poisoned")
        tokenizer = EmbeddingModel(ModelConfig(path=str(folder))).tokenizer
        (token,) = tokenizer("@", add_special_tokens=False)["input_ids"]
        weights = load_file(folder / "model.safetensors")
        weights["model.embed_tokens.weight"][token] = float("nan")
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        encoder = encoder_with(folder, tmp_path / "store")
        texts = ["a cat", "a dog", "mail@home", "the mat is long and brown"]
        assert np.isfinite(texts_of(encoder, texts[:2]).embeddings).all()
        views = [
            encoder.texts(["a", "b", "culprit", "d"], texts, "document"),
            encoder.fresh(["a", "b", "culprit", "d"], texts, "document"),
        ]
        for view in views:
            with pytest.raises(BadInputError, match="'culprit'") as error:
                _ = view.embeddings
            assert "\n" not in str(error.value)
            assert "float32" in str(error.value)
        # the poisoned batch was not stored
        again = encoder.texts(["e"], [texts[2]], "document")
        with pytest.raises(BadInputError, match="'e'"):
            _ = again.embeddings
