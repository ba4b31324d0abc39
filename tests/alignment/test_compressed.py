"""Compressed heads against numpy's decomposition, and what they lose by hand."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from harness.alignment import compressed as module
from harness.alignment import derived
from harness.alignment.aligned_tokens import logit_blocks
from harness.alignment.compressed import CompressedHead, compression_loss, in_steps
from harness.alignment.lexicon import TokenLexicon
from harness.alignment.resolve import head_of
from harness.alignment.transforms import NoTransform
from harness.config import (
    AlignedSparseConfig,
    AllButTopConfig,
    AutoHeadConfig,
    CompressedHeadConfig,
    InstructionConfig,
    LmHeadConfig,
    MeanPoolingConfig,
    MlmHeadConfig,
    ModelConfig,
    NoTransformConfig,
    RidgeHeadConfig,
    SpladePoolingConfig,
    TransformersBackendConfig,
    build,
    parse_component,
)
from harness.embedding.encoder import TextEncoder
from harness.embedding.model import EmbeddingModel
from harness.embedding.ragged import Ragged
from harness.errors import BadInputError
from harness.retrieval.aligned_sparse import AlignedSparseRetriever
from harness.retrieval.retriever import Dependencies

CONF = Path(__file__).parents[2] / "conf"


class FakeTokenizer:
    all_special_ids = (0,)
    added_tokens_decoder: ClassVar = {}

    def __len__(self):
        return 2


class GivenHead:
    """Token logits are the embedding times a matrix, and a bias."""

    needs_corpus = False
    fit_record = None

    def __init__(self, matrix, bias=None, flops=0.0):
        self.matrix = np.asarray(matrix, np.float32)
        self.bias = None if bias is None else np.asarray(bias, np.float32)
        self.vocabulary = len(self.matrix)
        self.flops_per_text = flops + 2.0 * self.matrix.size
        self.transform = NoTransform(NoTransformConfig())

    @property
    def lexicon(self):
        return TokenLexicon(FakeTokenizer(), self.vocabulary)

    def fit(self, corpus):
        pass

    def read(self, texts):
        return texts

    def project(self, embeddings):
        return embeddings


@pytest.fixture
def compressed(monkeypatch):
    """Makes a fitted compressed head of a given matrix."""

    def make(matrix, bias=None, flops=0.0, **settings):
        of = matrix if isinstance(matrix, GivenHead) else GivenHead(matrix, bias, flops)
        monkeypatch.setattr(derived, "build", lambda config, **_: of)
        head = CompressedHead(CompressedHeadConfig(**settings), encoder=None)
        head.fit(None)
        return head

    return make


def logits_of(head, embeddings):
    ((_, logits),) = logit_blocks(head, embeddings, np.arange(len(embeddings)), "cpu")
    return logits.numpy()


def problem(seed=0, size=40, width=12, count=7):
    rng = np.random.default_rng(seed)
    matrix = (rng.standard_normal((size, width)) * 0.7 ** np.arange(width)).astype(np.float32)
    bias = rng.standard_normal(size).astype(np.float32)
    return matrix, bias, rng.standard_normal((count, width)).astype(np.float32)


@pytest.mark.parametrize("rank", [1, 3, 11, 12])
@pytest.mark.parametrize("block", [1, 1000, 64 << 20])
def test_logits_are_those_of_the_best_matrix_of_the_rank(compressed, monkeypatch, rank, block):
    monkeypatch.setattr(module, "_BLOCK_BYTES", block)
    matrix, bias, embeddings = problem()
    left, values, right = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    best = (left[:, :rank] * values[:rank]) @ right[:rank]
    head = compressed(matrix, bias, rank=rank)
    assert (head.matrix.shape, head.matrix.dtype) == ((40, rank), np.float32)
    assert head.project(embeddings).shape == (7, rank)
    assert head.project(embeddings).dtype == np.float32
    np.testing.assert_allclose(logits_of(head, embeddings), embeddings @ best.T + bias, atol=1e-5)
    loss = compression_loss(head, embeddings, allowed=np.ones(40, np.bool_))
    error = math.sqrt(max((values[rank:] ** 2).sum(), 0) / (values**2).sum())
    assert loss.matrix_error == pytest.approx(error, abs=1e-6)


def test_full_rank_is_the_exact_head(compressed):
    matrix, bias, embeddings = problem(1)
    head = compressed(matrix, bias, rank=12)
    exact = logits_of(head.of, embeddings)
    np.testing.assert_allclose(logits_of(head, embeddings), exact, rtol=1e-5, atol=1e-5)
    loss = compression_loss(head, embeddings, allowed=np.ones(40, np.bool_))
    assert loss.kept == 1
    assert loss.matrix_error < 1e-6
    assert loss.logit_error < 1e-6


def test_int8_by_hand(compressed):
    """Scales 1, 2, none and 1/127: halves go to the even step."""
    matrix = [[127, -63.5, 1.4, 0], [254, 1, 3, -254], [0, 0, 0, 0], [1, -1, 0.5, 0.25]]
    head = compressed(matrix, rank=None, int8=True)
    expected = [
        [127, -64, 1, 0],
        [254, 0, 4, -254],
        [0, 0, 0, 0],
        [1, -1, 64 / 127, 32 / 127],
    ]
    np.testing.assert_allclose(head.matrix, expected, rtol=1e-6)
    assert head.matrix.dtype == np.float32
    embeddings = np.eye(4, dtype=np.float32)
    assert head.project(embeddings) is embeddings
    np.testing.assert_allclose(logits_of(head, embeddings), np.transpose(expected), rtol=1e-6)


@settings(max_examples=60)
@given(
    matrix=arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(-(2.0**100), 2.0**100, width=32),
    ),
    block=st.sampled_from([1, 100, 64 << 20]),
)
def test_int8_is_never_more_than_half_a_step_off(matrix, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK_BYTES", block)
        found = in_steps(matrix)
    scale = np.abs(matrix).max(axis=1, keepdims=True).astype(np.float64) / 127
    normal = scale > 1e-37
    assert (np.abs(found - matrix.astype(np.float64)) <= 0.5001 * scale)[normal[:, 0]].all()
    assert (np.abs(found) <= np.abs(matrix).max(axis=1, keepdims=True) * 1.5).all()
    for row, step in zip(found, scale[:, 0], strict=True):
        if step > 1e-37:
            ratio = row / step
            np.testing.assert_allclose(ratio, np.rint(ratio), atol=1e-3)


def test_int8_of_numbers_near_the_least():
    """180 units of float32's least: a scale of 1 unit, not 180/127, would pass 127 steps."""
    least = np.float32(2.0**-149)
    matrix = np.array([[180, -180, 60], [0, 1, 0]], np.float32) * least
    assert (in_steps(matrix) / least).tolist() == [[127, -127, 60], [0, 0, 0]]


def test_low_rank_in_int8(compressed):
    matrix, bias, embeddings = problem(2)
    low = compressed(matrix, bias, rank=4)
    both = compressed(matrix, bias, rank=4, int8=True)
    np.testing.assert_array_equal(both.matrix, in_steps(low.matrix))
    np.testing.assert_array_equal(both.project(embeddings), low.project(embeddings))
    assert not np.array_equal(both.matrix, low.matrix)
    np.testing.assert_array_equal(both.bias, bias)


def test_loss_by_hand(compressed):
    """Of the rows (3, 0) and (0, 1) the first is kept; the logits (3, 1), (0, 2) become (3, 0), 0.

    Of the first text the best token stays, of the second it is the other one.
    """
    head = compressed([[3, 0], [0, 1]], rank=1)
    embeddings = np.array([[1, 1], [0, 2]], np.float32)
    loss = compression_loss(head, embeddings, 1, allowed=np.ones(2, np.bool_))
    assert loss.matrix_error == pytest.approx(math.sqrt(1 / 10))
    assert loss.logit_error == pytest.approx(math.sqrt((1 + 4) / (9 + 1 + 4)))
    assert loss.kept == 0.5
    assert loss.bytes_before == 2 * 2 * 4
    assert loss.bytes_after == 2 * 4 + 2 * 4
    both = compressed([[3, 0], [0, 1]], rank=1, int8=True)
    loss = compression_loss(both, embeddings, 2, allowed=np.ones(2, np.bool_))
    assert loss.kept == 1
    assert loss.bytes_after == 2 * 1 + 2 * 4 + 2 * 4
    rounded = compressed([[127, -63.5]], rank=None, int8=True)
    loss = compression_loss(rounded, np.array([[0, 2]], np.float32), allowed=np.ones(1, np.bool_))
    assert loss.matrix_error == pytest.approx(0.5 / math.hypot(127, 63.5))
    assert loss.logit_error == pytest.approx(1 / 127)
    assert loss.bytes_after == 2 + 4


def test_loss_counts_the_bias_among_the_logits(compressed):
    head = compressed([[3, 0], [0, 1]], bias=[0, 5], rank=1)
    loss = compression_loss(head, np.array([[1, 1]], np.float32), 1, allowed=np.ones(2, np.bool_))
    assert loss.logit_error == pytest.approx(math.sqrt(1 / (9 + 36)))
    assert loss.kept == 1


def test_loss_of_allowed_tokens(compressed):
    """Of the second row's token nothing is left; where no other is allowed it is kept."""
    head = compressed([[3, 0], [0, 1]], rank=1)
    embeddings = np.array([[0, 1]], np.float32)
    assert compression_loss(head, embeddings, 1, allowed=np.ones(2, np.bool_)).kept == 0
    assert compression_loss(head, embeddings, 1).kept == 1  # token 0 is special
    one = np.array([False, True])
    assert compression_loss(head, embeddings, 10, allowed=one).kept == 1


def test_loss_of_nothing(compressed):
    head = compressed(np.zeros((2, 2)), rank=1)
    loss = compression_loss(head, np.ones((1, 2), np.float32), allowed=np.ones(2, np.bool_))
    assert (loss.matrix_error, loss.logit_error, loss.kept) == (0, 0, 1)
    with pytest.raises(ValueError, match="no logits"):
        compression_loss(head, np.ones((0, 2), np.float32))


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"rank": 3}, 2 * 12 * 3 + 2 * 3 * 40),
        ({"rank": 3, "int8": True}, 2 * 12 * 3 + 2 * 3 * 40),
        ({"rank": None, "int8": True}, 2 * 12 * 40),
    ],
)
def test_flops_by_hand(compressed, own, expected):
    """A transform's and a dense layer's, here 17, stay."""
    assert compressed(problem()[0], flops=17.0, **own).flops_per_text == expected + 17


def test_the_decomposition_is_made_once_a_matrix(compressed, monkeypatch):
    calls = []
    exact = module.leading_directions
    monkeypatch.setattr(
        module, "leading_directions", lambda *a, **k: calls.append(1) or exact(*a, **k)
    )
    first, _, embeddings = problem(3)
    second = problem(4)[0]
    of = GivenHead(first)
    head = compressed(of, rank=5)
    before = head.matrix
    head.fit(None)
    assert head.matrix is before
    head.project(embeddings)
    assert len(calls) == 1
    of.matrix = np.vstack([second, second])[:40].T.copy().T  # a view, as a ridge head gives
    np.testing.assert_allclose(
        logits_of(head, embeddings), logits_of(compressed(second, rank=5), embeddings), rtol=1e-4
    )
    assert len(calls) == 3
    of.matrix = of.matrix[:]  # another view of the same numbers
    _ = head.matrix
    assert len(calls) == 3


class Corpus:
    """Documents of given tokens and embeddings."""

    def __init__(self, tokens, embeddings):
        self.literal_tokens = Ragged.from_rows(tokens)
        self.embeddings = np.asarray(embeddings, np.float32)
        self.space = {}
        self.keys = [repr(row).encode() for row in tokens]

    def __len__(self):
        return len(self.keys)

    def parts(self):
        yield self


def test_the_matrix_follows_the_ridge_heads_fit(encoder):
    """One corpus, another one, and the first one again, whose fit is read back."""
    first = Corpus([[1, 2], [3], [4, 1], [5]], [[3, 0], [0, 2], [1, 1], [-1, 1]])
    second = Corpus([[3, 2], [1], [2]], [[1, 0], [0, 1], [-1, -2]])
    config = CompressedHeadConfig(of=RidgeHeadConfig(regularisation=0.1), rank=1)
    head = CompressedHead(config, encoder=encoder())
    for corpus in (first, second, first):
        head.fit(corpus)
        exact = head.of.matrix.astype(np.float64)
        left, values, right = np.linalg.svd(exact, full_matrices=False)
        best = values[0] * np.outer(left[:, 0], right[0])
        expected = head.of.project(corpus.embeddings) @ best.T + head.of.bias
        np.testing.assert_allclose(logits_of(head, corpus.embeddings), expected, atol=1e-5)
        assert head.fit_record.documents == len(corpus)
        assert head.vocabulary == 6
        assert head.needs_corpus


def real_encoder(folder, store_dir):
    model, pooling = build(ModelConfig(path=str(folder))), MeanPoolingConfig()
    return TextEncoder(
        model=model,
        pooling=pooling,
        template=build(InstructionConfig()),
        backend=build(TransformersBackendConfig(device="cpu"), model=model, pooling=build(pooling)),
        store_dir=store_dir,
    )


class Pooled:
    """Documents of given token states."""

    def __init__(self, pooled):
        self.pooled = pooled

    def __len__(self):
        return len(self.pooled)


def test_an_mlm_head_keeps_its_transform_and_bias(tiny_bert):
    encoder = SimpleNamespace(model=EmbeddingModel(ModelConfig(path=str(tiny_bert))))
    of = MlmHeadConfig()
    embeddings = np.random.default_rng(0).standard_normal((5, 16)).astype(np.float32)
    corpus = Pooled(embeddings)
    head = build(CompressedHeadConfig(of=of, rank=16), encoder=encoder)
    head.fit(corpus)
    exact = build(of, encoder=encoder)
    np.testing.assert_allclose(
        logits_of(head, embeddings), logits_of(exact, embeddings), rtol=1e-5, atol=1e-5
    )
    vocabulary = len(encoder.model.tokenizer)
    assert head.flops_per_text == 2 * 16 * 16 + 2 * 16 * 16 + 2 * 16 * vocabulary
    assert head.lexicon.size == vocabulary
    assert not head.needs_corpus
    np.testing.assert_array_equal(head.read(corpus), embeddings)


def test_a_transform_comes_first(stories):
    encoder = SimpleNamespace(model=EmbeddingModel(ModelConfig(path=str(stories))))
    transform = build(AllButTopConfig(components=2))
    config = CompressedHeadConfig(of=LmHeadConfig(), rank=64)
    head = build(config, encoder=encoder, transform=transform)
    embeddings = np.random.default_rng(0).standard_normal((5, 64)).astype(np.float32)
    head.fit(Pooled(embeddings))
    assert head.transform is transform
    assert head.needs_corpus
    expected = transform.apply(embeddings) @ head.of.matrix.T
    np.testing.assert_allclose(logits_of(head, embeddings), expected, rtol=1e-4, atol=1e-4)
    own = 2 * 64 * 64 + 2 * 64 * 512
    assert head.flops_per_text == own + transform.flops_per_text > own
    assert head.identity()["of"]["transform"] == {"kind": "all_but_top", "components": 2}


TEXTS = ["Tom had a red ball.", "The dog was sad.", "", "Mom said we can go to the park!"]


def test_an_index_of_full_rank_is_that_of_the_exact_head(stories, tmp_path):
    encoder = real_encoder(stories, tmp_path)
    indexed = []
    for config in (
        LmHeadConfig(),
        CompressedHeadConfig(of=LmHeadConfig(), rank=64),
        CompressedHeadConfig(of=LmHeadConfig(), rank=64, int8=True),
    ):
        head = build(config, encoder=encoder)
        retriever = AlignedSparseRetriever(
            AlignedSparseConfig(doc_top_k=20),
            dependencies=Dependencies(name="sparse", encoder=encoder, head=head, retrievers={}),
        )
        corpus = encoder.texts([str(i) for i in range(len(TEXTS))], TEXTS, "document")
        retriever.index(corpus)
        indexed.append(retriever.vectors(corpus).toarray())
    np.testing.assert_allclose(indexed[1], indexed[0], rtol=1e-4, atol=1e-4)
    assert not np.allclose(indexed[2], indexed[0], rtol=1e-4, atol=1e-4)
    loss = compression_loss(head, corpus.pooled, 20)
    assert 0 < loss.matrix_error < 0.02
    assert 0.8 < loss.kept <= 1
    assert (loss.bytes_before, loss.bytes_after) == (512 * 64 * 4, 512 * 64 + 512 * 4 + 64 * 64 * 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "head.rank=0 must be at least 1"),
        ({"rank": "half"}, "head.rank: "),
        ({"int8": "perhaps"}, "head.int8: "),
        (
            {"rank": None},
            "head.rank=null compresses nothing while int8=false; give a rank, int8=true, or both",
        ),
        (
            {"of": {"kind": "identity"}},
            "head.of.kind=identity has no matrix that can be compressed; choose one of: auto, "
            "lm_head, tied, mlm, ridge",
        ),
        ({"of": {"kind": "whole_word"}}, "head.of.kind=whole_word has no matrix"),
        ({"of": {"kind": "compressed"}}, "head.of.kind=compressed has no matrix"),
        ({"of": {"kind": "tied", "colour": 1}}, "head.of.colour: "),
        ({"of": None}, "head.of.kind=None is unknown"),
    ],
)
def test_refused_settings(settings, message, refusal):
    mapping = {"kind": "compressed", "of": {"kind": "auto"}, **settings}
    assert refusal(lambda: parse_component("head", mapping, where="head")).startswith(message)


def test_auto_that_has_no_matrix_is_refused(tiny_bert, refusal):
    model = EmbeddingModel(ModelConfig(path=str(tiny_bert)))
    config = CompressedHeadConfig(rank=5)
    message = refusal(lambda: head_of(config, model, SpladePoolingConfig()))
    assert message.startswith("head.of.kind=identity has no matrix that can be compressed")
    assert head_of(config, model, MeanPoolingConfig()) == CompressedHeadConfig(
        of=MlmHeadConfig(), rank=5
    )
    assert config.of == AutoHeadConfig()


@pytest.mark.parametrize("shape", [(40, 12), (12, 40)])
def test_a_rank_above_the_matrix_is_refused(compressed, refusal, shape):
    assert refusal(lambda: compressed(np.ones(shape), rank=13)) == (
        "head=compressed: rank=13 is above the 12 singular vectors of the matrix; give that or less"
    )
    assert compressed(np.ones(shape), rank=12).matrix.shape == (shape[0], 12)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("own", [{"rank": 2}, {"rank": None, "int8": True}])
def test_a_matrix_that_is_not_finite_is_refused(compressed, refusal, value, own):
    matrix = np.ones((4, 3))
    matrix[1, 2] = value
    head = compressed(matrix, **own)
    message = refusal(lambda: head.matrix)
    assert "NaN or infinity" in message
    assert "check the weights" in message


def test_identity_holds_that_of_the_exact_head(stories, weights_folder):
    encoder = SimpleNamespace(model=EmbeddingModel(ModelConfig(path=str(stories))))
    other = weights_folder("other", {"lm_head.weight": np.ones((512, 64), np.float32)})

    def identity(path=None, **own):
        of = LmHeadConfig(path=path and str(path))
        return build(CompressedHeadConfig(of=of, **own), encoder=encoder).identity()

    own = identity(rank=7)
    assert json.loads(json.dumps(own)) == own
    assert own == {
        "kind": "compressed",
        "of": build(LmHeadConfig(), encoder=encoder).identity(),
        "rank": 7,
        "int8": False,
    }
    assert identity(other, rank=7) != own
    assert identity(rank=8) != own
    assert identity(rank=7, int8=True) != own


def test_the_exact_head_is_an_option_too():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        overrides = ["head=compressed", "head@head.of=ridge", "head.rank=null", "head.int8=true"]
        config = compose("run", overrides=overrides)
    found = parse_component("head", config.head, where="head")
    assert found == CompressedHeadConfig(of=RidgeHeadConfig(), rank=None, int8=True)


def test_a_head_that_does_not_fit_is_refused_as_ever(stories, weights_folder):
    encoder = SimpleNamespace(model=EmbeddingModel(ModelConfig(path=str(stories))))
    short = weights_folder("short", {"lm_head.weight": np.ones((100, 64), np.float32)})
    config = CompressedHeadConfig(of=LmHeadConfig(path=str(short)))
    with pytest.raises(BadInputError, match="knows 100 tokens and the tokenizer 512"):
        build(config, encoder=encoder).identity()
