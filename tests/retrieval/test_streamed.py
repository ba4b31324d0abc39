"""A corpus read from disk part by part against the same one in memory, with a tiny real model."""

from dataclasses import replace

import numpy as np
import pytest

from harness.alignment import regularisation as regularisation_module
from harness.alignment import ridge_fit
from harness.config import (
    AlignedSparseConfig,
    Bm25Config,
    DenseConfig,
    InstructionConfig,
    MeanPoolingConfig,
    ModelConfig,
    RidgeHeadConfig,
    TiedHeadConfig,
    TransformersBackendConfig,
    build,
)
from harness.embedding import streamed_texts
from harness.embedding.disk_strings import write_strings
from harness.embedding.encoder import TextEncoder
from harness.embedding.instructions import Template
from harness.embedding.model import EmbeddingModel
from harness.embedding.ragged import Ragged
from harness.embedding.streamed_texts import StreamedTexts
from harness.embedding.transformers_backend import TransformersBackend
from harness.retrieval import aligned_sparse, word_index
from harness.retrieval import postings as layout
from harness.retrieval.retriever import Dependencies

WORDS = ["cat", "dog", "fox", "mat", "a", "the", "sat", "on", "and", "with"]


@pytest.fixture
def encoder(tiny_llama, tmp_path):
    model = EmbeddingModel(ModelConfig(path=str(tiny_llama)))
    pooling = MeanPoolingConfig()
    backend = TransformersBackend(TransformersBackendConfig(), model=model, pooling=build(pooling))
    return TextEncoder(
        model=model,
        pooling=pooling,
        template=Template(InstructionConfig()),
        backend=backend,
        store_dir=tmp_path / "store",
    )


@pytest.fixture
def corpora(encoder, tmp_path, monkeypatch):
    """The same 70 documents, some of them equal, in memory and in parts of 16."""
    monkeypatch.setattr(layout, "BLOCK", 16)
    for module in (streamed_texts, aligned_sparse, word_index):
        monkeypatch.setattr(module, "PART", 16)
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 9)).tolist()) for _ in range(70)]
    texts[40:50] = texts[3:13]
    ids = [f"{row:03d}" for row in range(70)]
    plain = encoder.texts(ids, texts, "document")
    streamed = StreamedTexts(
        write_strings(tmp_path / "ids", ids),
        write_strings(tmp_path / "texts", texts),
        side="document",
        encoder=encoder,
    )
    return plain, streamed


def mode_of(config, encoder, head):
    dependencies = Dependencies(name="mode", encoder=encoder, head=head, retrievers={})
    return build(config, dependencies=dependencies)


def test_views_are_those_in_memory(corpora):
    plain, streamed = corpora
    np.testing.assert_array_equal(streamed.lengths, plain.lengths)
    np.testing.assert_array_equal(streamed.embeddings[:], plain.embeddings)
    assert list(streamed.texts) == plain.texts
    assert [len(part) for part in streamed.parts()] == [16, 16, 16, 16, 6]
    assert streamed.keys == plain.keys
    assert (streamed.encoding.encoded, streamed.encoding.read) == (60, 10)  # 10 stand twice
    np.testing.assert_array_equal(np.asarray(streamed.embeddings), plain.embeddings)


def test_what_was_encoded_is_told_of_all_parts_and_kept_in_a_byte_a_text(corpora):
    plain, streamed = corpora
    assert streamed.encoding is None
    _ = streamed.embeddings
    _ = plain.embeddings  # reads what the other one has encoded
    record = streamed.encoding
    assert (record.texts, record.encoded, plain.encoding.encoded) == (70, 60, 0)
    first = np.array([*range(40), *range(50, 70)])  # the ten between repeat earlier ones
    assert sorted(record.lengths) == sorted(plain.lengths[first])
    assert record.lengths.dtype == record.padded_lengths.dtype == np.int64
    kept = [*streamed._known.values(), *(one.lengths for one in streamed._encodings.values())]
    assert {array.dtype for array in kept} == {np.dtype(np.uint8)}


@pytest.mark.parametrize("streamed_first", [True, False])
@pytest.mark.parametrize(
    "config",
    [
        DenseConfig(),
        DenseConfig(similarity="dot"),
        AlignedSparseConfig(doc_top_k=7, query_expansion=2),
        AlignedSparseConfig(doc_top_k=7, index_weights="uint8", literal_share=0.3),
        AlignedSparseConfig(doc_top_k=3, scope="literal", doc_weight="raw"),
        Bm25Config(),
        Bm25Config(method="robertson", stemmer=None, stopwords=None),
    ],
)
def test_rankings_are_those_in_memory(encoder, corpora, config, streamed_first):
    queries = encoder.texts(
        ["1", "2", "3", "4", "5"], ["a cat", "fox", "the mat", "", "on"], "query"
    )
    candidates = Ragged.from_rows([[0, 5, 69], [3], [], [40, 41], [1, 2]])
    found = {}
    for corpus in reversed(corpora) if streamed_first else corpora:
        head = build(TiedHeadConfig(), encoder=encoder)
        mode = mode_of(config, encoder, head)
        mode.index(corpus)
        found[type(corpus)] = (
            mode.search(queries, 20),
            mode.rerank(queries, candidates, 3),
            mode.work(queries),
        )
    (plain, plain_reranked, plain_work), (streamed, reranked, work) = (
        found[type(corpus)] for corpus in corpora
    )
    np.testing.assert_array_equal(streamed.documents, plain.documents)
    np.testing.assert_array_equal(streamed.scores, plain.scores)
    np.testing.assert_array_equal(reranked.documents, plain_reranked.documents)
    np.testing.assert_array_equal(reranked.scores, plain_reranked.scores)
    assert work == plain_work


@pytest.mark.parametrize("unit", ["word", "token"])
@pytest.mark.parametrize("regularisation", [1.0, "self_retrieval"])
def test_a_head_that_learns_from_the_corpus_learns_the_same(
    encoder, corpora, monkeypatch, unit, regularisation
):
    monkeypatch.setattr(ridge_fit, "_BLOCK", 8)
    monkeypatch.setattr(regularisation_module, "_SAMPLE", 30)
    config = RidgeHeadConfig(unit=unit, regularisation=regularisation, min_documents=2)
    heads = []
    for number, corpus in enumerate(corpora):
        encoder.store_dir = encoder.store_dir.parent / f"store{number}"  # neither reads the other's
        heads.append(build(config, encoder=encoder))
        heads[-1].fit(corpus)
    plain, streamed = heads
    np.testing.assert_array_equal(streamed.matrix, plain.matrix)
    np.testing.assert_array_equal(streamed.bias, plain.bias)
    assert streamed.lexicon.name(3) == plain.lexicon.name(3)
    fits = [replace(head.fit_record, seconds=0) for head in heads]
    assert fits[0] == fits[1]


def test_files_go_with_the_texts(encoder, corpora):
    _, streamed = corpora
    mode_of(DenseConfig(), encoder, None).index(streamed)
    (scratch,) = encoder.store_dir.glob("streamed-*")
    assert {path.name for path in scratch.rglob("*")} == {"1", "compared"}
    streamed._scratch.cleanup()
    assert not list(encoder.store_dir.glob("streamed-*"))
