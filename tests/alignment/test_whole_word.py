"""Words from token logits, against loops over words, forms and tokens."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from harness.alignment import derived
from harness.alignment import whole_word as module
from harness.alignment.aligned_tokens import aligned_tokens, logits_at
from harness.alignment.resolve import head_of
from harness.alignment.transforms import NoTransform
from harness.alignment.whole_word import WholeWordHead
from harness.alignment.word_forms import WordForms, word_tokens
from harness.config import (
    AlignedSparseConfig,
    AutoHeadConfig,
    CenterConfig,
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
    WholeWordHeadConfig,
    build,
    parse_component,
)
from harness.embedding.encoder import TextEncoder
from harness.embedding.model import EmbeddingModel
from harness.embedding.ragged import Ragged
from harness.embedding.store import text_keys
from harness.errors import BadInputError
from harness.retrieval.aligned_sparse import AlignedSparseRetriever
from harness.retrieval.retriever import Dependencies

CONF = Path(__file__).parents[2] / "conf"
GOLDEN = Path(__file__).parents[1] / "golden"
TEXTS = [
    "Once upon a time there was a little girl named Lily. LILY liked the zoo.",
    "Tom had a red ball. He plays; tom played in 2019, Tom's playing in the Park.",
    "The dog was sad. It could not find the bone, the well-known BONE.",
    "",
    "Mom said we can go to the park_side and see the dog! Lily, lily.",
]


class Corpus:
    """Documents as a head sees them."""

    def __init__(self, texts, embeddings=None, width=64):
        self.texts = list(texts)
        if embeddings is None:
            shape = (len(self.texts), width)
            embeddings = np.random.default_rng(0).standard_normal(shape)
        self.pooled = self.embeddings = np.asarray(embeddings, np.float32)
        self.keys = text_keys(self.texts)
        self.space = {}
        self._derived = {}

    def __len__(self):
        return len(self.texts)

    def parts(self):
        yield self

    def derived(self, key, compute):
        if key not in self._derived:
            self._derived[key] = compute()
        return self._derived[key]


class GivenHead:
    """Token logits are the embedding times a matrix, and a bias."""

    needs_corpus = False
    fit_record = None
    flops_per_text = 100.0

    def __init__(self, matrix, bias=None):
        self.matrix = np.asarray(matrix, np.float32)
        self.bias = None if bias is None else np.asarray(bias, np.float32)
        self.vocabulary = len(self.matrix)
        self.transform = NoTransform(NoTransformConfig())
        self.blocks = []

    def identity(self):
        return {"kind": "given"}

    def fit(self, corpus):
        pass

    def read(self, texts):
        return texts.pooled

    def project(self, embeddings):
        self.blocks.append(len(embeddings))
        return embeddings


def encoder_with(tokenizer=None, model=None, store_dir=None):
    return SimpleNamespace(
        model=model or SimpleNamespace(tokenizer=tokenizer),
        backend=SimpleNamespace(device="cpu"),
        store_dir=store_dir,
        store_address=None,
    )


def word_piece(*tokens, lower=False):
    """A tokenizer of these tokens, ids from 0."""
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    if lower:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


@pytest.fixture
def given_head(monkeypatch):
    """Makes a head of words whose tokens' logits are the embedding, or another head's."""

    def make(tokenizer, texts, of=None, **settings):
        of = of or GivenHead(np.eye(len(tokenizer)))
        monkeypatch.setattr(derived, "build", lambda config, **_: of)
        head = WholeWordHead(WholeWordHeadConfig(**settings), encoder=encoder_with(tokenizer))
        head.fit(Corpus(texts, width=of.matrix.shape[1]))
        return head

    return make


HAND = word_piece("[UNK]", "a", "dog", "Dog", "un", "##do", "cat")
HAND_TEXTS = ["Dog undo", "dog, dog", "cat"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [-3, 5, 3]),
        ({"subwords": "sum"}, [-3, 5, 6]),
        ({"subwords": "max"}, [-3, 5, 4]),
        ({"forms": "sum"}, [-3, 6, 3]),
        ({"subwords": "sum", "forms": "sum"}, [-3, 6, 6]),
    ],
)
def test_by_hand(given_head, settings, expected):
    """cat -3; dog 1 and Dog 5; undo of un 2 and ##do 4."""
    head = given_head(HAND, HAND_TEXTS, **settings)
    assert head.lexicon.words == ["cat", "dog", "undo"]
    assert head.vocabulary == 3
    logits = head.project(np.array([[9, 0, 1, 5, 2, 4, -3]], np.float32))
    assert logits.dtype == np.float32
    assert logits.tolist() == [expected]
    assert (head.matrix, head.bias, head.fit_record, head.needs_corpus) == (None, None, None, True)


def test_flops_by_hand(given_head):
    """Five tokens, four forms, three words: two additions or comparisons, four divisions."""
    assert given_head(HAND, HAND_TEXTS).flops_per_text == 100 + 2 + 4
    assert given_head(HAND, HAND_TEXTS, subwords="max", forms="sum").flops_per_text == 100 + 2


def test_the_bias_counts(given_head):
    of = GivenHead(np.zeros((7, 2)), bias=[9, 0, 1, 5, 2, 4, -3])
    head = given_head(HAND, HAND_TEXTS, of=of)
    assert head.project(np.ones((2, 2), np.float32)).tolist() == [[-3, 5, 3]] * 2


def forms_of(tokenizer, texts, stemmer=None, min_documents=1):
    """Each word's forms, as lists of tokens."""
    found = WordForms.of(Corpus(texts), tokenizer, stemmer=stemmer, min_documents=min_documents)
    read = tokenizer.convert_ids_to_tokens
    return {
        word: [read(found.pieces[row].tolist()) for row in range(first, last)]
        for word, first, last in zip(
            found.lexicon.words, found.offsets[:-1], found.offsets[1:], strict=True
        )
    }


def test_a_word_keeps_its_most_frequent_forms():
    tokenizer = word_piece("[UNK]", "a", "dog", "Dog", "DOG", "dOg", "doG", "dOG")
    texts = ["dog dog dog DOG DOG", "doG Dog dOg dOG dOG"]
    assert forms_of(tokenizer, texts) == {"dog": [["dog"], ["DOG"], ["dOG"], ["Dog"]]}
    assert forms_of(tokenizer, texts[::-1]) == forms_of(tokenizer, texts)


def test_forms_of_the_same_tokens_are_one():
    """Two Dogs and a dog are more than two cats; told apart they would come after."""
    tokenizer = word_piece("[UNK]", "a", "dog", "run", "##s", lower=True)
    assert forms_of(tokenizer, ["Dog dog DOG"]) == {"dog": [["dog"]]}
    texts = ["Run RUN run runs runs"]
    assert forms_of(tokenizer, texts, "english") == {"run": [["run"], ["run", "##s"]]}


def test_a_stem_has_the_forms_of_its_words():
    tokenizer = word_piece("[UNK]", "a", "run", "##s", "##ning", "Run")
    texts = ["Running runs", "run. Run, run"]
    assert forms_of(tokenizer, texts, "english") == {
        "run": [["run"], ["Run"], ["Run", "##ning"], ["run", "##s"]]
    }
    assert list(forms_of(tokenizer, texts)) == ["run", "running", "runs"]


def test_what_the_tokenizer_cannot_write_is_left_out():
    tokenizer = word_piece("[UNK]", "a", "dog", "Zebra")
    assert forms_of(tokenizer, ["dog zebra ZEBRA", "cow"]) == {"dog": [["dog"]]}
    assert forms_of(tokenizer, ["dog zebra Zebra"]) == {"dog": [["dog"]], "zebra": [["Zebra"]]}


def test_rare_words_are_left_out():
    assert list(forms_of(HAND, ["dog dog cat", "cat Dog", "undo"], min_documents=2)) == [
        "cat",
        "dog",
    ]


def test_a_long_form_is_known_by_its_beginning():
    tokenizer = word_piece("[UNK]", "a", *"bcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abc"))
    assert forms_of(tokenizer, ["b" + "a" * 14 + "bcccccc"]) == {
        "b" + "a" * 14 + "bcccccc": [["b"] + ["##a"] * 14 + ["##b"]]
    }


def test_a_text_in_lower_case_may_have_other_words():
    """The lower-case İ is an i with a mark, and one word with what follows."""
    tokenizer = word_piece("[UNK]", "a", "i", "stanbul", "İ", "##stanbul")
    assert forms_of(tokenizer, ["İstanbul"]) == {"i̇stanbul": [["İ", "##stanbul"]]}


@pytest.fixture(scope="module")
def tokenizers(stories, tiny_bert, tiny_llama):
    return {
        "sentencepiece": AutoTokenizer.from_pretrained(stories),
        "wordpiece": AutoTokenizer.from_pretrained(tiny_bert),
        "byte_level": AutoTokenizer.from_pretrained(tiny_llama),
        "llama_3": PreTrainedTokenizerFast(tokenizer_file=str(GOLDEN / "tokenizer_bytelevel.json")),
    }


KINDS = ["sentencepiece", "wordpiece", "byte_level", "llama_3"]


def tokens_inside(tokenizer, word):
    """Tokens that hold a character of the word where it stands in a sentence."""
    sentence = f"The {word} was."
    encoded = tokenizer(sentence, add_special_tokens=False, return_offsets_mapping=True)
    first, last = 4, 4 + len(word)
    return [
        token
        for token, (start, stop) in zip(
            encoded["input_ids"], encoded["offset_mapping"], strict=True
        )
        if start < last and stop > first
    ]


@pytest.mark.parametrize("kind", KINDS)
@given(word=st.from_regex(r"[a-zA-Z0-9_é]{1,12}", fullmatch=True))
def test_tokens_are_those_of_a_word_inside_a_text(tokenizers, kind, word):
    tokenizer = tokenizers[kind]
    expected = tokens_inside(tokenizer, word)[:16]
    if tokenizer.unk_token_id in expected:
        expected = []
    assert list(word_tokens(tokenizer, [word])) == [tuple(expected)]


@pytest.mark.parametrize(
    ("kind", "word", "tokens"),
    [
        ("sentencepiece", "Lily", ["▁Lily"]),
        ("sentencepiece", "park", ["▁p", "ar", "k"]),
        ("sentencepiece", "zoo", ["z", "oo"]),
        ("wordpiece", "Cat", ["cat"]),
        ("wordpiece", "cats", ["cat", "##s"]),
        ("byte_level", "cat", ["Ġcat"]),
        ("byte_level", "cats", ["Ġcat", "s"]),
        ("llama_3", "river", ["Ġr", "iv", "er"]),
        ("llama_3", "1963", ["196", "3"]),
    ],
)
def test_the_first_token_begins_a_word(tokenizers, kind, word, tokens):
    """Unless the space before the word is a token of its own, which is none of the word's."""
    (found,) = word_tokens(tokenizers[kind], [word])
    assert tokenizers[kind].convert_ids_to_tokens(found) == tokens


def test_a_letter_that_marks_a_space_elsewhere():
    tokenizer = word_piece("[UNK]", "a", "Ġ", "##org")
    assert list(word_tokens(tokenizer, ["Ġorg"])) == [(2, 3)]


def test_a_word_that_merges_across_the_space_is_tokenised_alone():
    model = models.BPE({"a": 0, " ": 1, "f": 2, "a ": 3, "o": 4}, [("a", " ")])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model))
    assert tokenizer("a fo")["input_ids"] == [3, 2, 4]
    assert list(word_tokens(tokenizer, ["fo"])) == [(2, 4)]


def plain_words(tokenizer, texts):
    """Words to their forms' tokens, with no more than four forms."""
    counts = Counter(word for text in texts for word in re.findall(r"\w+", text))
    words = {}
    for form in sorted(counts):
        tokens = tuple(tokens_inside(tokenizer, form)[:16])
        if tokenizer.unk_token_id not in tokens:
            ways = words.setdefault(form.lower(), {})
            ways[tokens] = ways.get(tokens, 0) + counts[form]
    return {
        word: sorted(ways, key=lambda tokens: -ways[tokens])[:4]
        for word, ways in sorted(words.items())
    }


REDUCE = {"mean": lambda values: sum(values) / len(values), "sum": sum, "max": max}


def plain_logits(words, logits, subwords, forms):
    return [
        [
            REDUCE[forms]([REDUCE[subwords]([row[t] for t in tokens]) for tokens in ways])
            for ways in words.values()
        ]
        for row in logits
    ]


@pytest.mark.parametrize("kind", ["sentencepiece", "wordpiece", "byte_level"])
@pytest.mark.parametrize("subwords", ["mean", "sum", "max"])
@pytest.mark.parametrize("forms", ["max", "sum"])
def test_real_heads_equal_loops(stories, tiny_bert, tiny_llama, kind, subwords, forms):
    folder = {"sentencepiece": stories, "wordpiece": tiny_bert, "byte_level": tiny_llama}[kind]
    of = MlmHeadConfig() if kind == "wordpiece" else LmHeadConfig()
    model = EmbeddingModel(ModelConfig(path=str(folder)))
    head = build(
        WholeWordHeadConfig(of=of, subwords=subwords, forms=forms),
        encoder=encoder_with(model=model),
    )
    corpus = Corpus(TEXTS, width=64 if kind == "sentencepiece" else 16)
    head.fit(corpus)
    words = plain_words(model.tokenizer, TEXTS)
    assert head.lexicon.words == list(words)
    assert max(map(len, words.values())) >= (1 if kind == "wordpiece" else 2)
    logits = head.of.project(corpus.pooled).astype(np.float64) @ head.of.matrix.T.astype(float)
    if head.of.bias is not None:
        logits += head.of.bias
    expected = plain_logits(words, logits.tolist(), subwords, forms)
    np.testing.assert_allclose(head.project(corpus.pooled), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [1, 4 * 3 * 7, 10_000])
def test_blocks_do_not_matter(given_head, monkeypatch, size):
    rng = np.random.default_rng(1)
    of = GivenHead(rng.standard_normal((7, 5)))
    head = given_head(HAND, HAND_TEXTS, of=of)
    embeddings = rng.standard_normal((8, 5)).astype(np.float32)
    whole = head.project(embeddings)
    of.blocks.clear()
    monkeypatch.setattr(module, "_BLOCK_BYTES", size)
    np.testing.assert_allclose(head.project(embeddings), whole, rtol=1e-5, atol=1e-6)
    assert of.blocks == {1: [1] * 8, 84: [3, 3, 2], 10_000: [8]}[size]
    assert head.project(embeddings[:0]).shape == (0, 3)


def test_blocks_hold_forms_too(given_head, monkeypatch):
    """Six forms of five tokens: 4·6 bytes a row."""
    tokenizer = word_piece("[UNK]", "a", "b", "##a", "##b")
    head = given_head(tokenizer, ["a b aa ab ba bb"])
    monkeypatch.setattr(module, "_BLOCK_BYTES", 2 * 4 * 6)
    embeddings = np.arange(25, dtype=np.float32).reshape(5, 5)
    logits = head.project(embeddings)
    assert head.of.blocks == [2, 2, 1]
    assert logits[0].tolist() == [1, 2, 2.5, 2, 2.5, 3]


def test_aligned_words(given_head):
    head = given_head(HAND, HAND_TEXTS)
    embeddings = np.array([[0, 0, 1, 5, 2, 4, -3], [0, 0, 0, 0, 9, 9, 1]], np.float32)
    allowed = head.lexicon.allowed(drop_special=True, drop_punctuation=True, drop_stopwords=True)
    found = aligned_tokens(head, embeddings, 2, allowed=allowed)
    names = [[head.lexicon.name(term) for term in row] for row in found.ids.tolist()]
    assert names == [["dog", "undo"], ["undo", "cat"]]
    assert found.weights.tolist() == [[5, 3], [9, 1]]
    terms = Ragged.from_rows([[0], [2, 1]])
    assert logits_at(head, embeddings, terms).tolist() == [-3, 9, 0]


@pytest.mark.parametrize("subwords", ["mean", "sum", "max"])
@pytest.mark.parametrize("place", [4, 5])
def test_nan_is_not_lost(given_head, subwords, place):
    matrix = np.ones((7, 1))
    matrix[place] = np.nan
    head = given_head(HAND, HAND_TEXTS, of=GivenHead(matrix), subwords=subwords)
    logits = head.project(np.ones((1, 1), np.float32))
    assert np.isfinite(logits).tolist() == [[True, True, False]]


def test_words_are_found_once_a_corpus(given_head, monkeypatch):
    head = given_head(HAND, HAND_TEXTS)
    corpus = Corpus(HAND_TEXTS, width=7)
    head.fit(corpus)
    monkeypatch.setattr(module, "WordForms", None)
    head.fit(corpus)
    assert head.lexicon.words == ["cat", "dog", "undo"]


def test_another_corpus_has_other_words(given_head):
    head = given_head(HAND, HAND_TEXTS)
    head.fit(Corpus(["undo"], width=7))
    assert head.lexicon.words == ["undo"]
    assert head.project(np.array([[9, 0, 1, 5, 2, 4, -3]], np.float32)).tolist() == [[3]]


def test_a_transform_reaches_the_head_of_tokens(stories):
    model, transform = EmbeddingModel(ModelConfig(path=str(stories))), build(CenterConfig())
    config = WholeWordHeadConfig(of=LmHeadConfig())
    head = build(config, encoder=encoder_with(model=model), transform=transform)
    corpus = Corpus(TEXTS)
    head.fit(corpus)
    assert head.transform is head.of.transform is transform
    centred = corpus.pooled - corpus.pooled.mean(axis=0)
    plain = build(config, encoder=encoder_with(model=model))
    plain.fit(corpus)
    np.testing.assert_allclose(
        head.project(corpus.pooled), plain.project(centred), rtol=1e-4, atol=1e-4
    )
    assert not np.allclose(plain.project(corpus.pooled), plain.project(centred), atol=0.1)


def test_words_before_a_fit_are_an_error(monkeypatch):
    monkeypatch.setattr(derived, "build", lambda config, **_: GivenHead(np.eye(7)))
    head = WholeWordHead(WholeWordHeadConfig(), encoder=encoder_with(HAND))
    with pytest.raises(RuntimeError, match="fit the head before its words are read"):
        _ = head.vocabulary


def test_no_words_are_refused(given_head, refusal):
    message = refusal(lambda: given_head(HAND, ["...", "zebra"]))
    assert message == (
        "head=whole_word finds no word in the 2 documents that are indexed; lower "
        "head.min_documents, or use a head of tokens"
    )
    assert "no word in the 3" in refusal(lambda: given_head(HAND, HAND_TEXTS, min_documents=3))
    assert "no word in the 0" in refusal(lambda: given_head(HAND, []))


def test_an_unknown_language_is_refused_before_anything_is_built(refusal):
    config = WholeWordHeadConfig(stemmer="klingon")
    message = refusal(lambda: WholeWordHead(config, encoder=None))
    assert message.startswith("head.stemmer='klingon' is unknown; choose one of: ")


WORDS = {"kind": "ridge", "unit": "word"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"subwords": "min"}, "head.subwords='min' is unknown; choose one of: mean, sum, max"),
        ({"forms": "mean"}, "head.forms='mean' is unknown; choose one of: max, sum"),
        ({"min_documents": 0}, "head.min_documents=0 must be at least 1"),
        ({"of": {"kind": "tide"}}, "head.of.kind='tide' is unknown"),
        ({"of": "ridge"}, "head.of.kind=None is unknown"),
        ({"of": {"kind": "tied", "normalize": 3.5}}, "head.of.normalize: "),
        ({"of": {"kind": "ridge", "seed": -1}}, "head.of.seed=-1 must be at least 0"),
        (
            {"of": {"kind": "whole_word"}},
            "head.of.kind=whole_word reads words, not tokens; choose a head of tokens with "
            "head@head.of=...",
        ),
        (
            {"of": WORDS},
            "head.of.unit=word reads words, not tokens; set head.of.unit=token, or use head=ridge "
            "head.unit=word alone",
        ),
        (
            {"of": {"kind": "compressed", "of": {"kind": "tied", "path": [1]}}},
            "head.of.of.path: ",
        ),
        ({"of": {"kind": "compressed", "rank": None}}, "head.of.rank=null compresses nothing"),
        ({"of": {"kind": "compressed", "of": WORDS}}, "head.of.of.unit=word reads words"),
    ],
)
def test_refused_settings(settings, message, refusal):
    mapping = {"kind": "whole_word", **settings}
    assert refusal(lambda: parse_component("head", mapping, where="head")).startswith(message)


@pytest.mark.parametrize(
    ("overrides", "of"),
    [
        ([], AutoHeadConfig()),
        (
            ["head@head.of=ridge", "head.of.regularisation=2"],
            RidgeHeadConfig(regularisation=2.0),
        ),
        (
            ["head@head.of=compressed", "head@head.of.of=ridge", "head.of.rank=9"],
            CompressedHeadConfig(of=RidgeHeadConfig(), rank=9),
        ),
    ],
)
def test_the_head_of_tokens_is_an_option_too(overrides, of):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("run", overrides=["head=whole_word", *overrides])
    found = parse_component("head", config.head, where="head")
    assert found == WholeWordHeadConfig(of=of)


def test_auto_is_resolved_inside(stories, tiny_bert):
    config = WholeWordHeadConfig(of=CompressedHeadConfig(rank=3), forms="sum", stemmer="english")
    model = EmbeddingModel(ModelConfig(path=str(stories)))
    assert head_of(config, model, MeanPoolingConfig()) == WholeWordHeadConfig(
        of=CompressedHeadConfig(of=LmHeadConfig(), rank=3), forms="sum", stemmer="english"
    )
    assert config.of.of == AutoHeadConfig()
    bert = EmbeddingModel(ModelConfig(path=str(tiny_bert)))
    found = head_of(WholeWordHeadConfig(), bert, MeanPoolingConfig())
    assert found.of == MlmHeadConfig()
    assert head_of(WholeWordHeadConfig(), bert, SpladePoolingConfig()).of.kind == "identity"
    assert head_of(found, bert, MeanPoolingConfig()) == found


def test_identity_holds_that_of_the_head_of_tokens(stories, weights_folder):
    encoder = encoder_with(model=EmbeddingModel(ModelConfig(path=str(stories))))
    matrix = np.arange(512 * 64, dtype=np.float32).reshape(512, 64)
    other = weights_folder("other", {"lm_head.weight": matrix})

    def identity(path=None, **settings):
        of = LmHeadConfig(path=path and str(path))
        return build(WholeWordHeadConfig(of=of, **settings), encoder=encoder).identity()

    own = identity()
    assert json.loads(json.dumps(own)) == own
    assert own == {
        "kind": "whole_word",
        "of": build(LmHeadConfig(), encoder=encoder).identity(),
        "subwords": "mean",
        "forms": "max",
        "stemmer": None,
        "min_documents": 1,
    }
    assert len(own["of"]["weights"]) > 20
    assert identity(other) != own
    assert identity(stemmer="english") != own
    copy = other.with_name("copy")
    shutil.copytree(other, copy)
    assert identity(copy) == identity(other)


def test_a_ridge_head_is_fitted_inside(stories, tmp_path):
    """Its other corpus reaches it, and its fit is what the record is of."""
    encoder = encoder_with(model=EmbeddingModel(ModelConfig(path=str(stories))), store_dir=tmp_path)
    ridge = RidgeHeadConfig(regularisation=0.1, corpus="elsewhere")
    learned = Corpus(TEXTS[:3])
    learned.literal_tokens = Ragged.from_rows(
        encoder.model.tokenizer(TEXTS[:3], add_special_tokens=False)["input_ids"]
    )
    head = build(
        WholeWordHeadConfig(of=ridge), encoder=encoder, other_corpus=lambda encoder: learned
    )
    indexed = Corpus(TEXTS[3:])
    indexed.encoder = encoder
    head.fit(indexed)
    assert head.fit_record.documents == 3
    assert head.lexicon.words == sorted(plain_words(encoder.model.tokenizer, TEXTS[3:]))
    assert np.isfinite(head.project(indexed.embeddings)).all()


DOCUMENTS = [
    "Tom had a red ball. He liked to play with it in the park.",
    "The dog was sad. It could not find the bone.",
    "",
    "Mom said we can go to the Park and see the dog!",
]
QUERIES = ["PARK", "the sad dog", "unheard", "bone ball"]


@pytest.fixture(scope="module")
def real(stories, tmp_path_factory):
    """An encoder of the stories model."""
    model, pooling = build(ModelConfig(path=str(stories))), MeanPoolingConfig()
    return TextEncoder(
        model=model,
        pooling=pooling,
        template=build(InstructionConfig()),
        backend=build(TransformersBackendConfig(device="cpu"), model=model, pooling=build(pooling)),
        store_dir=tmp_path_factory.mktemp("store"),
    )


@pytest.mark.parametrize("of", [LmHeadConfig(), RidgeHeadConfig(regularisation=0.1)])
def test_a_query_finds_the_documents_that_hold_its_words(real, of):
    head = build(WholeWordHeadConfig(of=of), encoder=real)
    config = AlignedSparseConfig(
        scope="literal", doc_top_k=50, doc_weight="binary", doc_norm="none", query_weight="binary"
    )
    retriever = AlignedSparseRetriever(
        config,
        dependencies=Dependencies(name="sparse", encoder=real, head=head, retrievers={}),
    )
    corpus = real.texts([str(i) for i in range(len(DOCUMENTS))], DOCUMENTS, "document")
    queries = real.texts([str(i) for i in range(len(QUERIES))], QUERIES, "query")
    retriever.index(corpus)
    found = retriever.search(queries, 10)
    scores = [
        {document: score for document, score in zip(*row, strict=True) if document >= 0}
        for row in zip(found.documents.tolist(), found.scores.tolist(), strict=True)
    ]
    assert scores == [{0: 1, 3: 1}, {0: 1, 1: 3, 3: 2}, {}, {0: 1, 1: 1}]
    assert "pooled" not in vars(queries)  # no model runs for a query


def test_aligned_words_of_a_real_model_are_an_index(real):
    head = build(WholeWordHeadConfig(of=LmHeadConfig()), encoder=real)
    retriever = AlignedSparseRetriever(
        AlignedSparseConfig(doc_top_k=5, query_expansion=2, doc_weight="raw", doc_norm="none"),
        dependencies=Dependencies(name="sparse", encoder=real, head=head, retrievers={}),
    )
    corpus = real.texts([str(i) for i in range(len(DOCUMENTS))], DOCUMENTS, "document")
    retriever.index(corpus)
    words = plain_words(real.model.tokenizer, DOCUMENTS)
    logits = corpus.pooled.astype(np.float64) @ head.of.matrix.T.astype(np.float64)
    expected = np.array(plain_logits(words, logits.tolist(), "mean", "max"))
    kept = retriever.vectors(corpus).toarray()
    assert kept.shape == (4, len(words))
    for row, values in zip(kept, expected, strict=True):
        best = np.argsort(-values)[:5]
        assert set(np.flatnonzero(row)) == set(best)
        np.testing.assert_allclose(row[best], values[best], rtol=1e-4)
    work = retriever.work(real.texts(["0"], ["dog"], "query"))
    assert work.head_reads_queries
    assert head.flops_per_text > head.of.flops_per_text


def test_identity_head_of_token_weights(tiny_bert):
    """Words from SPLADE's weights, which no matrix is multiplied with."""
    model = EmbeddingModel(ModelConfig(path=str(tiny_bert)))
    config = head_of(WholeWordHeadConfig(), model, SpladePoolingConfig())
    head = build(config, encoder=encoder_with(model=model))
    size = len(model.tokenizer)
    corpus = Corpus(["the cat", "a fox"], embeddings=np.arange(2 * size).reshape(2, size))
    head.fit(corpus)
    words = plain_words(model.tokenizer, corpus.texts)
    expected = plain_logits(words, corpus.pooled.tolist(), "mean", "max")
    np.testing.assert_allclose(head.project(corpus.pooled), expected)
    with pytest.raises(BadInputError, match="head=identity: embeddings are 3 wide"):
        head.fit(Corpus(["the cat"], embeddings=[[1, 2, 3]]))
