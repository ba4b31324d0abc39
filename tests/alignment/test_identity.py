"""SPLADE: token weights as sentence-transformers computes them, and their exact ranking.

A tiny random BERT with its masked-language-model head is read as `pooling=splade head=identity`.
Its vectors are those of sentence-transformers' SparseEncoder, and the sparse mode, told to keep
every token, ranks documents by the dot product of those vectors.
"""

import shutil

import numpy as np
import pytest
import torch

from harness.alignment.identity import IdentityHead
from harness.alignment.inspection import inspect_text
from harness.config import (
    AlignedSparseConfig,
    EncoderRunConfig,
    SpladePoolingConfig,
    build,
    parse,
)
from harness.evaluation.encoder import build_encoder, with_published_settings
from harness.retrieval.retriever import Dependencies

pytestmark = pytest.mark.usefixtures("one_thread")

DOCUMENTS = [
    "The cat sat on the mat.",
    "The quick brown fox jumps over the lazy dog.",
    "",
    "a cat is a small animal " * 9,
    "He said yes and then no and then yes again.",
    "what is a cat?",
    "naïve 猫 🐈",
    "The cat sat on the mat.",
]
QUERIES = ["what is a cat?", "fox", "", "the quick small animal " * 8, "DOG dog Dog"]
RUN = {
    "pooling": {"kind": "splade"},
    "instruction": {"kind": "template"},
    "head": {"kind": "identity"},
    "transform": {"kind": "none"},
    "backend": {"kind": "transformers", "device": "cpu"},
    "tasks": {},
}
AUTO = {group: {"kind": "auto"} for group in ("pooling", "instruction", "head")}


@pytest.fixture
def encoder_of(tmp_path):
    """Makes the encoder and the head of the model in a folder."""

    def make(folder, **groups):
        settings = {
            "model": {"kind": "huggingface", "path": str(folder)},
            **RUN,
            "store_dir": str(tmp_path / "store"),
            **groups,
        }
        config = parse(EncoderRunConfig, settings, where="")
        model = build(config.model)
        config = with_published_settings(config, model)
        encoder = build_encoder(config, model)
        return encoder, build(config.head, encoder=encoder)

    return make


@pytest.fixture(scope="module")
def splade(tiny_bert, tmp_path_factory):
    """The tiny BERT with a random bias of each token, without which most weights would be large."""
    from transformers import BertForMaskedLM

    folder = tmp_path_factory.mktemp("splade") / "model"
    model = BertForMaskedLM.from_pretrained(tiny_bert)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(2)
        model.cls.predictions.bias.normal_(-3.0, 2.0)
    model.save_pretrained(folder)
    for file in tiny_bert.glob("tokenizer*"):
        shutil.copy(file, folder)
    return folder


@pytest.fixture
def resized(splade, tmp_path):
    """Makes the same model with another number of rows than its tokenizer has tokens."""
    from transformers import BertForMaskedLM

    def make(size):
        folder = tmp_path / "resized"
        model = BertForMaskedLM.from_pretrained(splade)
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(4)
            model.resize_token_embeddings(size)
            model.cls.predictions.bias[137:] = 5.0
        model.save_pretrained(folder)
        for file in splade.glob("tokenizer*"):
            shutil.copy(file, folder)
        return folder

    return make


def sparse_encoder(folder, kind="Transformer", *, strategy="max", activation="relu"):
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import (
        MLMTransformer,
        SpladePooling,
        Transformer,
    )

    if kind == "MLMTransformer":
        reader = MLMTransformer(str(folder))
    else:
        reader = Transformer(str(folder), transformer_task="fill-mask")
    pooling = SpladePooling(strategy, activation_function=activation)
    return SparseEncoder(modules=[reader, pooling], device="cpu")


def _sparse_mode(encoder, head):
    """The sparse mode that keeps every token."""
    size = len(encoder.model.tokenizer)
    config = AlignedSparseConfig(
        doc_top_k=size,
        query_expansion=size,
        doc_weight="relu",
        doc_norm="none",
        query_weight="score",
        drop_special=False,
    )
    dependencies = Dependencies(name="sparse", encoder=encoder, head=head, retrievers={})
    return build(config, dependencies=dependencies)


def texts_of(encoder, texts, side="document"):
    return encoder.fresh([str(number) for number in range(len(texts))], texts, side)


class TestEqualToSentenceTransformers:
    @pytest.mark.parametrize("kind", ["Transformer", "MLMTransformer"])
    def test_token_weights(self, encoder_of, splade, kind):
        encoder, head = encoder_of(splade)
        documents = texts_of(encoder, DOCUMENTS)
        head.fit(documents)
        found = head.project(head.read(documents))
        reference = sparse_encoder(splade, kind)
        expected = reference.encode(DOCUMENTS, convert_to_sparse_tensor=False).numpy()
        assert found.shape == (len(DOCUMENTS), head.vocabulary) == expected.shape
        assert 0.05 < (expected > 0).mean() < 0.95
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
        np.testing.assert_array_equal(found > 0, expected > 0)

    @pytest.mark.parametrize("kind", ["Transformer", "MLMTransformer"])
    def test_a_folder_that_it_saves(self, encoder_of, splade, tmp_path, kind):
        folder = tmp_path / "saved"
        model = sparse_encoder(splade, kind)
        model.prompts = {"query": "what is ", "document": ""}
        model.save(str(folder), create_model_card=False)
        encoder, head = encoder_of(folder, **AUTO)
        assert isinstance(head, IdentityHead)
        assert encoder.model.published.pooling == SpladePoolingConfig()
        assert encoder.model.similarity == "dot"  # a SparseEncoder's own, unsaid in its files
        assert not encoder.model.normalize
        for side, method in (
            ("query", model.encode_query),
            ("document", model.encode_document),
            ("symmetric", model.encode),
        ):
            expected = method(DOCUMENTS, convert_to_sparse_tensor=False).numpy()
            found = texts_of(encoder, DOCUMENTS, side).embeddings
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)

    @pytest.mark.parametrize(
        ("strategy", "activation"), [("sum", "relu"), ("max", "log1p_relu"), ("sum", "log1p_relu")]
    )
    def test_other_weights_are_refused(
        self, encoder_of, splade, tmp_path, strategy, activation, refusal
    ):
        folder = tmp_path / "saved"
        model = sparse_encoder(splade, strategy=strategy, activation=activation)
        model.save(str(folder), create_model_card=False)
        message = refusal(lambda: encoder_of(folder, **AUTO))
        assert f"{folder} pools SPLADE weights by {strategy} of {activation}" in message
        assert "only max of relu is supported" in message

    def test_weights_written_out(self, encoder_of, splade):
        from transformers import AutoModelForMaskedLM, AutoTokenizer

        encoder, _ = encoder_of(splade)
        found = texts_of(encoder, DOCUMENTS).embeddings
        tokenizer = AutoTokenizer.from_pretrained(splade)
        model = AutoModelForMaskedLM.from_pretrained(splade).eval()
        for text, weights in zip(DOCUMENTS, found, strict=True):
            ids = tokenizer([text], truncation=True, max_length=64, return_tensors="pt")
            with torch.inference_mode():
                logits = model(ids["input_ids"]).logits[0]
            expected = torch.log1p(torch.relu(logits)).amax(dim=0)
            np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-4)

    def test_a_model_without_the_head_is_refused(self, encoder_of, tiny_bert, tmp_path, refusal):
        from transformers import BertModel

        folder = tmp_path / "bare"
        BertModel.from_pretrained(tiny_bert).save_pretrained(folder)
        for file in tiny_bert.glob("tokenizer*"):
            shutil.copy(file, folder)
        encoder, _ = encoder_of(folder)
        message = refusal(lambda: texts_of(encoder, DOCUMENTS).embeddings)
        assert f"the model in {folder} has no masked-language-model head" in message


class TestExactRanking:
    @pytest.fixture(params=[True, False], ids=["stored", "fresh"])
    def ranked(self, encoder_of, splade, request):
        """Queries and documents, their SPLADE vectors, and the ranking of the sparse mode."""
        encoder, head = encoder_of(splade)
        make = encoder.texts if request.param else encoder.fresh
        documents = make([f"d{i}" for i in range(len(DOCUMENTS))], DOCUMENTS, "document")
        queries = make([f"q{i}" for i in range(len(QUERIES))], QUERIES, "query")
        retriever = _sparse_mode(encoder, head)
        retriever.index(documents)
        found = retriever.search(queries, len(DOCUMENTS))
        return queries.embeddings, documents.embeddings, found

    def test_scores_are_dot_products_of_all_token_weights(self, ranked):
        queries, documents, found = ranked
        exact = queries.astype(np.float64) @ documents.astype(np.float64).T
        assert (exact > 0).all()
        for row, scores in enumerate(exact):
            assert sorted(found.documents[row]) == list(range(len(DOCUMENTS)))
            np.testing.assert_allclose(
                found.scores[row], scores[found.documents[row]], rtol=1e-5, atol=1e-4
            )

    def test_documents_are_ranked_by_them(self, ranked):
        queries, documents, found = ranked
        exact = queries.astype(np.float64) @ documents.astype(np.float64).T
        exact[:, 7] = exact[:, 0]  # the same text twice: the first comes first
        expected = np.argsort(-exact, axis=1, kind="stable")
        np.testing.assert_array_equal(found.documents, expected)
        for row in range(len(QUERIES)):
            places = found.documents[row].tolist()
            assert places.index(7) == places.index(0) + 1

    def test_scores_are_those_of_sentence_transformers(self, ranked, splade):
        _, _, found = ranked
        reference = sparse_encoder(splade)
        queries, documents = (
            reference.encode(texts, convert_to_sparse_tensor=False)
            for texts in (QUERIES, DOCUMENTS)
        )
        expected = reference.similarity(queries, documents).numpy()
        for row in range(len(QUERIES)):
            np.testing.assert_allclose(
                found.scores[row], expected[row][found.documents[row]], rtol=1e-5, atol=1e-3
            )


class TestHead:
    def test_reads_the_vector_itself(self, encoder_of, splade):
        _, head = encoder_of(splade)
        vectors = np.arange(6, dtype=np.float32).reshape(2, 3)
        assert head.project(vectors) is vectors
        assert head.matrix is None
        assert head.bias is None
        assert head.fit_record is None
        assert not head.needs_corpus
        assert head.flops_per_text == 0
        assert head.identity() == {"kind": "identity"}

    def test_a_padded_vocabulary_is_taken_and_its_padding_never_kept(self, encoder_of, resized):
        encoder, head = encoder_of(resized(150))
        documents = texts_of(encoder, DOCUMENTS)
        head.fit(documents)
        assert head.vocabulary == 150
        assert documents.embeddings[:, 137:].max() > 0
        retriever = _sparse_mode(encoder, head)
        retriever.index(documents)
        queries = texts_of(encoder, QUERIES, "query")
        found = retriever.search(queries, len(DOCUMENTS))
        exact = queries.embeddings[:, :137] @ documents.embeddings[:, :137].T
        for row, scores in enumerate(exact):
            np.testing.assert_allclose(
                found.scores[row], scores[found.documents[row]], rtol=1e-5, atol=1e-4
            )

    def test_refuses_embeddings_narrower_than_the_vocabulary(self, encoder_of, resized, refusal):
        encoder, head = encoder_of(resized(136))
        message = refusal(lambda: head.fit(texts_of(encoder, ["the cat"])))
        assert message == (
            "head=identity: embeddings are 136 wide and the tokenizer knows 137 tokens; it belongs "
            "to pooling=splade"
        )

    def test_refuses_those_of_a_mean(self, encoder_of, splade, refusal):
        encoder, head = encoder_of(splade, pooling={"kind": "mean"})
        message = refusal(lambda: head.fit(texts_of(encoder, DOCUMENTS)))
        assert "embeddings are 16 wide and the tokenizer knows 137 tokens" in message

    def test_an_empty_corpus_is_as_wide_as_the_vocabulary(self, encoder_of, splade):
        encoder, head = encoder_of(splade)
        head.fit(texts_of(encoder, []))
        assert head.vocabulary == len(encoder.model.tokenizer)

    def test_aligned_tokens_are_those_of_the_largest_weights(self, encoder_of, splade):
        encoder, head = encoder_of(splade)
        found = inspect_text(encoder, head, DOCUMENTS[0], side="document", top_k=6).aligned
        weights = texts_of(encoder, DOCUMENTS[:1]).embeddings[0].copy()
        weights[encoder.model.tokenizer.all_special_ids] = -1
        best = np.argsort(-weights, kind="stable")[:6]
        assert [token.id for token in found] == best.tolist()
        assert [token.weight for token in found] == weights[best].tolist()
