"""Heads that are a matrix of a model, against transformers."""

from types import SimpleNamespace

import numpy as np
import pytest

from harness.alignment.linear import LmHead, TiedHead
from harness.config import LmHeadConfig, ModelConfig, TiedHeadConfig
from harness.embedding.model import EmbeddingModel
from harness.errors import BadInputError

WORDS = np.arange(512 * 64, dtype=np.float32).reshape(512, 64)
OUTPUT = WORDS + np.float32(0.5)


class Corpus:
    def __init__(self, width, count=3):
        self.pooled = np.ones((count, width if count else 0), np.float32)

    def __len__(self):
        return len(self.pooled)


@pytest.fixture
def encoder_of():
    """An encoder of the model in a folder, as far as heads look at it."""
    return lambda folder: SimpleNamespace(model=EmbeddingModel(ModelConfig(path=str(folder))))


@pytest.fixture
def lm_head(encoder_of, stories):
    def make(folder=None, path=None, **settings):
        config = LmHeadConfig(path=None if path is None else str(path), **settings)
        return LmHead(config, encoder=encoder_of(folder or stories))

    return make


@pytest.fixture
def tied_head(encoder_of, stories):
    return lambda folder=None: TiedHead(TiedHeadConfig(), encoder=encoder_of(folder or stories))


def test_equal_to_transformers(lm_head, tied_head, stories):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(stories)
    output = model.get_output_embeddings().weight.detach().numpy()
    words = model.get_input_embeddings().weight.detach().numpy()
    head, tied = lm_head(), tied_head()
    head.fit(Corpus(64))
    tied.fit(Corpus(64))
    np.testing.assert_array_equal(head.matrix, output)
    np.testing.assert_array_equal(tied.matrix, words)
    assert head.matrix.dtype == np.float32
    assert head.bias is None
    assert head.fit_record is None


def test_an_untied_lm_head_is_not_the_word_embeddings(lm_head, tied_head, weights_folder):
    folder = weights_folder(
        "untied",
        {"model.embed_tokens.weight": WORDS, "lm_head.weight": OUTPUT},
        architectures=["LlamaForCausalLM"],
        tie_word_embeddings=False,
    )
    np.testing.assert_array_equal(lm_head(folder).matrix, OUTPUT)
    np.testing.assert_array_equal(tied_head(folder).matrix, WORDS)


def test_an_encoder_reads_the_head_of_its_backbone(lm_head, weights_folder, stories):
    backbone = weights_folder(
        "backbone", {"lm_head.weight": OUTPUT}, architectures=["LlamaForCausalLM"]
    )
    np.testing.assert_array_equal(lm_head(stories, path=backbone).matrix, OUTPUT)


@pytest.mark.parametrize(
    "settings",
    [
        {"architectures": ["LlamaForCausalLM"], "tie_word_embeddings": False},
        {"architectures": ["LlamaModel"]},
        {"architectures": ["BertModel"], "tie_word_embeddings": True},
        {},
    ],
)
def test_word_embeddings_are_no_lm_head_unless_the_model_ties_them(
    lm_head, weights_folder, settings
):
    folder = weights_folder("encoder", {"model.embed_tokens.weight": WORDS}, **settings)
    with pytest.raises(BadInputError) as caught:
        lm_head(folder).identity()
    assert str(folder) in str(caught.value)
    assert "head=ridge" in str(caught.value)


def test_minilm_has_no_lm_head(minilm):
    head = LmHead(LmHeadConfig(), encoder=SimpleNamespace(model=EmbeddingModel(minilm)))
    for refused in (head.identity, lambda: head.fit(Corpus(384)), lambda: head.matrix):
        with pytest.raises(BadInputError) as caught:
            refused()
        message = str(caught.value)
        assert "\n" not in message
        assert "holds no LM head" in message
        assert "head.path" in message


def test_minilm_has_word_embeddings(minilm):
    head = TiedHead(TiedHeadConfig(), encoder=SimpleNamespace(model=EmbeddingModel(minilm)))
    head.fit(Corpus(384))
    assert head.matrix.shape == (30522, 384)


def test_no_known_word_embeddings(tied_head, weights_folder):
    folder = weights_folder("odd", {"other.weight": WORDS}, architectures=["OddModel"])
    with pytest.raises(BadInputError, match="none of the known word embeddings; use head=ridge"):
        tied_head(folder).identity()


def test_a_head_of_another_width_is_refused(lm_head, weights_folder):
    narrow = weights_folder("narrow", {"lm_head.weight": WORDS[:, :32].copy()})
    with pytest.raises(
        BadInputError, match=r"matrix is 32 wide and the embeddings are 64.*head.path"
    ):
        lm_head(path=narrow).fit(Corpus(64))


def test_a_head_with_fewer_tokens_than_the_tokenizer_is_refused(lm_head, weights_folder):
    short = weights_folder("short", {"lm_head.weight": WORDS[:100].copy()})
    for refused in (lm_head(path=short).identity, lambda: lm_head(path=short).fit(Corpus(64))):
        with pytest.raises(
            BadInputError, match=r"knows 100 tokens and the tokenizer 512.*head.path"
        ):
            refused()


def test_a_padded_head_is_taken(lm_head, weights_folder):
    padded = weights_folder("padded", {"lm_head.weight": np.vstack([WORDS, WORDS[:8]])})
    head = lm_head(path=padded)
    head.fit(Corpus(64))
    assert head.matrix.shape == (520, 64)


def test_an_empty_corpus_has_no_width(lm_head):
    lm_head().fit(Corpus(64, count=0))


def test_half_precision_weights_are_read_as_float32(lm_head, weights_folder):
    half = weights_folder("half", {"lm_head.weight": WORDS[:, :4].astype(np.float16)})
    matrix = lm_head(path=half).matrix
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, WORDS[:, :4].astype(np.float16).astype(np.float32))


def test_projection(lm_head):
    embeddings = np.array([[3, 4]], np.float32)
    np.testing.assert_array_equal(lm_head().project(embeddings), embeddings)
    np.testing.assert_allclose(lm_head(normalize=True).project(embeddings), [[0.6, 0.8]])


def test_identity_knows_the_weights_and_not_their_place(lm_head, weights_folder):
    tensors = {"lm_head.weight": WORDS}
    here, there = weights_folder("here", tensors), weights_folder("there", tensors)
    other = weights_folder("other", {"lm_head.weight": OUTPUT})
    assert lm_head(path=here).identity() == lm_head(path=there).identity()
    assert lm_head(path=here).identity() != lm_head(path=other).identity()
    assert lm_head(path=here).identity() != lm_head(path=here, normalize=True).identity()
