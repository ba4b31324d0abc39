"""The ridge head against direct solves, and its fit on disk."""

import json
import math
import re
import tracemalloc
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from harness.alignment import head as head_module
from harness.alignment import ridge_fit as module
from harness.alignment.head import normalise
from harness.alignment.lexicon import WordLexicon
from harness.alignment.regularisation import CRITERIA, STRENGTHS, regularisation_losses
from harness.alignment.ridge import RidgeHead
from harness.alignment.ridge_fit import RidgeSums
from harness.alignment.term_weights import TermWeights
from harness.alignment.vocabulary import token_counts, token_sets
from harness.config import RidgeHeadConfig, build
from harness.config.transform import (
    AllButTopConfig,
    CenterConfig,
    EmbedFilterConfig,
    FirstComponentConfig,
    NoTransformConfig,
)
from harness.embedding.ragged import Ragged
from harness.embedding.store import text_keys
from harness.errors import BadInputError


def problem(seed, count=60, width=9, size=40):
    rng = np.random.default_rng(seed)
    x = normalise(rng.standard_normal((count, width)).astype(np.float32))
    y = rng.random((count, size)) * (rng.random((count, size)) < 0.1)
    return x, sparse.csr_array(y.astype(np.float32))


def direct(x, y, regularisation):
    design = np.hstack([x.astype(np.float64), np.ones((len(x), 1))])
    gram = design.T @ design + regularisation * np.eye(design.shape[1])
    return np.linalg.inv(gram) @ design.T @ y.toarray().astype(np.float64)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 50),
    regularisation=st.sampled_from([0.01, 0.1, 1.0, 10.0]),
    block=st.sampled_from([1, 7, 50, 8192]),
)
def test_weights_equal_a_direct_solve(seed, count, regularisation, block):
    x, y = problem(seed, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        found = RidgeSums.of(x, y).weights(regularisation)
    np.testing.assert_allclose(found, direct(x, y, regularisation), atol=1e-5)
    assert found.dtype == np.float32
    assert found.shape == (10, 40)


def test_weights_equal_scikit_learn():
    from sklearn.linear_model import Ridge

    x, y = problem(1, count=200)
    design = np.hstack([x, np.ones((200, 1))]).astype(np.float64)
    reference = Ridge(alpha=0.1, fit_intercept=False).fit(design, y.toarray().astype(np.float64))
    found = RidgeSums.of(x, y).weights(0.1)
    np.testing.assert_allclose(found, reference.coef_.T, atol=1e-5)


def test_too_little_regularisation_is_refused():
    x = np.tile(np.eye(1, 8, dtype=np.float32), (100, 1))
    with pytest.raises(BadInputError, match=r"regularisation=1e-30 is too small.*raise it"):
        RidgeSums.of(x, sparse.csr_array(np.ones((100, 5), np.float32))).weights(1e-30)


def test_targets_are_never_dense():
    count, size = 2_000, 200_000
    rng = np.random.default_rng(0)
    tokens = Ragged.from_rows(rng.integers(0, size, (count, 20)).tolist())
    x = normalise(rng.standard_normal((count, 8)).astype(np.float32))
    tracemalloc.start()
    try:
        sets = token_sets(tokens, np.ones(size, np.bool_))
        targets = TermWeights.of(sets).rows(sets, "idf")
        weights = RidgeSums.of(x, targets).weights(0.1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert weights.shape == (9, size)
    assert peak < count * size * 4 / 20  # n×V in float32 needs 1.6 GB


def test_targets_by_hand():
    # Token 0 is in all three documents and weighs nothing; 1 and 2 weigh ln(4/3) and ln(4/2).
    sets = token_sets(Ragged.from_rows([[0, 1], [0, 1, 2], [0]]), np.ones(4, np.bool_))
    one, two = math.log(4 / 3), math.log(2)
    norm = math.hypot(one, two)
    expected = [[0, 1, 0, 0], [0, one / norm, two / norm, 0], [0, 0, 0, 0]]
    targets = TermWeights.of(sets).rows(sets, "idf")
    np.testing.assert_allclose(targets.toarray(), expected, rtol=1e-6)
    assert targets.nnz == 3


@pytest.mark.parametrize("block", [1, 3, 16_384])
def test_normalise(monkeypatch, block):
    monkeypatch.setattr(head_module, "_BLOCK", block)
    vectors = np.array([[3, 4], [0, 0], [1e-20, 0], [-1e30, 1e30], [0, -7]], np.float32)
    half = math.sqrt(0.5)
    expected = [[0.6, 0.8], [0, 0], [1e-8, 0], [-half, half], [0, -1]]
    found = normalise(vectors)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32
    assert normalise(np.zeros((0, 0), np.float32)).shape == (0, 0)


def test_normalise_does_not_depend_on_the_row(monkeypatch):
    monkeypatch.setattr(head_module, "_BLOCK", 10)
    vector = np.random.default_rng(0).standard_normal((1, 101)).astype(np.float32)
    assert (normalise(np.repeat(vector, 37, axis=0)) == normalise(vector)).all()


TOKENS = [[0, 1, 2], [1, 3, 3], [4], []]
EMBEDDINGS = [[3, 0], [0, 2], [1, 1], [-1, 1]]


@pytest.fixture
def fitted(encoder, texts):
    """Fits a head on a corpus; no argument, no difference."""

    def fit(tokens=TOKENS, regularisation=0.1, **space):
        head = RidgeHead(RidgeHeadConfig(regularisation=regularisation), encoder=encoder())
        head.fit(texts(tokens, EMBEDDINGS[: len(tokens)], **space))
        return head

    return fit


@pytest.fixture
def stored(tmp_path):
    return lambda: sorted((tmp_path / "store" / "heads").glob("*"))


def test_fit_without_special_tokens(fitted):
    head = fitted()
    counts = token_counts(Ragged.from_rows(TOKENS), np.array([False] + [True] * 5))
    x = normalise(np.array(EMBEDDINGS, np.float32))
    weights = direct(x, TermWeights.of(counts).rows(counts, "bm25"), 0.1)
    np.testing.assert_allclose(head.matrix, weights[:-1].T, atol=1e-6)
    np.testing.assert_allclose(head.bias, weights[-1], atol=1e-6)
    np.testing.assert_array_equal(head.project(np.array(EMBEDDINGS, np.float32)), x)
    record = head.fit_record
    assert (record.documents, record.width, record.vocabulary) == (4, 3, 4)  # 1 to 4 are learned
    assert record.nonzeros == 5
    assert record.seconds > 0
    assert (record.regularisation, record.chosen) == (0.1, False)


def test_texts_without_a_token_teach_nothing(fitted):
    head = fitted(tokens=[[], [0]], regularisation="self_retrieval")
    assert head.matrix.shape == (6, 2)
    assert not head.matrix.any()
    assert not head.bias.any()
    assert (head.fit_record.vocabulary, head.fit_record.nonzeros) == (0, 0)


def test_a_fit_and_what_is_read_back_of_it_multiply_alike():
    """A product's last bits depend on how a matrix lies in memory, so both must lie alike."""
    rng = np.random.default_rng(5)
    embeddings = rng.standard_normal((40, 16), np.float32)
    targets = sparse.random_array((40, 300), density=0.1, format="csr", rng=rng)
    assert RidgeSums.of(embeddings, targets).weights(0.1).flags.c_contiguous


def test_a_stored_fit_is_read_back(fitted, stored, monkeypatch):
    first = fitted()
    monkeypatch.setattr(RidgeSums, "of", None)  # not called again
    second = fitted()
    np.testing.assert_array_equal(first.matrix, second.matrix)
    np.testing.assert_array_equal(first.bias, second.bias)
    assert first.fit_record == second.fit_record
    assert len(stored()) == 1


def test_another_corpus_space_or_regularisation_is_another_file(fitted, stored):
    matrices = [
        fitted().matrix,
        fitted(regularisation=1.0).matrix,
        fitted(tokens=TOKENS[:3]).matrix,
        fitted(tokens=[TOKENS[1], TOKENS[0], *TOKENS[2:]]).matrix,
        fitted(dtype="bfloat16").matrix,
    ]
    assert len(stored()) == 5
    assert not np.array_equal(matrices[0], matrices[1])
    np.testing.assert_array_equal(fitted().matrix, matrices[0])


def test_a_head_fits_one_corpus_after_another(fitted, texts):
    head = fitted()
    first = head.matrix.copy()
    head.fit(texts(TOKENS[:2], EMBEDDINGS[:2]))
    assert head.fit_record.documents == 2
    assert not np.array_equal(head.matrix, first)
    head.fit(texts(TOKENS, EMBEDDINGS))
    np.testing.assert_array_equal(head.matrix, first)


def flip(content):
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda content: content[:-4],
        lambda content: content[: len(content) // 2],
        lambda content: content[:5],
        lambda content: b"",
        lambda content: b"\xff" * len(content),
        lambda content: content.replace(b"checksum", b"checksvm"),
        lambda content: content.replace(b"documents", b"dokuments"),
        lambda content: content.replace(b'"words":"null"', b'"words":"[""]"'),
        lambda content: content.replace(b'"words":"null"', b'"words":"[  ]"'),
    ],
)
def test_a_damaged_fit_is_refused_with_the_remedy(fitted, stored, damage):
    fitted()
    (path,) = stored()
    content = path.read_bytes()
    assert damage(content) != content
    path.write_bytes(damage(content))
    with pytest.raises(BadInputError) as caught:
        fitted()
    assert f"delete {path}" in str(caught.value)
    assert "\n" not in str(caught.value)
    path.unlink()
    fitted()


def test_an_empty_corpus_is_refused(fitted):
    with pytest.raises(BadInputError, match="empty corpus"):
        fitted(tokens=[])


def test_one_document_gives_a_head_without_weights(fitted):
    assert not fitted(tokens=[[1, 2]]).matrix.any()  # its tokens are in all documents


def test_weights_before_a_fit_are_an_error(encoder):
    head = RidgeHead(RidgeHeadConfig(), encoder=encoder())
    with pytest.raises(RuntimeError, match="fit"):
        _ = head.matrix


def test_identity_is_json_and_holds_the_regularisation(encoder):
    first = RidgeHead(RidgeHeadConfig(regularisation=0.5), encoder=encoder()).identity()
    assert json.loads(json.dumps(first)) == first
    assert first["regularisation"] == 0.5
    assert first != RidgeHead(RidgeHeadConfig(), encoder=encoder()).identity()


DOCUMENTS = (
    "The cat sat; cats sit.",
    "A dog, the DOG, sat on the mat",
    "",
    "Dogs and cats: 2 dogs",
    "the mat",
    "A cat on a mat.",
    "the 2 mats",
)
SPECIAL = "[PAD]"
TOKENS_OF_WORDS = (SPECIAL, *sorted({*re.findall(r"\w+", " ".join(DOCUMENTS).lower()), "zebra"}))


class Tokenizer:
    """A token for each word of the documents, and for one that none of them holds."""

    all_special_ids = (0,)
    added_tokens_decoder: ClassVar = {}

    def __len__(self):
        return len(TOKENS_OF_WORDS)

    def convert_ids_to_tokens(self, ids):
        return [TOKENS_OF_WORDS[i] for i in ids]

    def convert_tokens_to_string(self, tokens):
        return "".join(tokens)


class Words:
    """Documents with words, the tokens that are these words, and embeddings."""

    def __init__(self, texts=DOCUMENTS, seed=0, width=5, encoder=None):
        self.texts = list(texts)
        rng = np.random.default_rng(seed)
        self.embeddings = rng.standard_normal((len(self.texts), width)).astype(np.float32) + 0.5
        self.keys = text_keys(self.texts)
        self.space = {"weights": "w", "side": "document"}
        self.encoder = encoder
        self._derived = {}

    def __len__(self):
        return len(self.texts)

    @property
    def literal_tokens(self):
        rows = [words_in(text) for text in self.texts]
        return Ragged.from_rows([[TOKENS_OF_WORDS.index(word) for word in row] for row in rows])

    def parts(self):
        yield self

    def derived(self, key, compute):
        if key not in self._derived:
            self._derived[key] = compute()
        return self._derived[key]


def words_in(text):
    return re.findall(r"\w+", text.lower())


def learned_from(rows, terms, inputs, target, regularisation=0.1):
    """W (d + 1, V) of a direct solve for documents that hold the given terms."""
    counts = sparse.csr_array(
        np.array([[row.count(term) for term in terms] for row in rows], float)
    )
    return direct(inputs, TermWeights.of(counts).rows(counts, target), regularisation)


def assert_weights(head, expected):
    np.testing.assert_allclose(head.matrix, expected[:-1].T, atol=1e-6)
    np.testing.assert_allclose(head.bias, expected[-1], atol=1e-6)


@pytest.fixture
def words_encoder(tmp_path):
    return SimpleNamespace(
        model=SimpleNamespace(tokenizer=Tokenizer()),
        store_dir=tmp_path / "store",
        store_address=None,
    )


@pytest.fixture
def head_of(words_encoder):
    """Makes a head of given settings and fits it on documents, unless these are None."""

    def make(documents=DOCUMENTS, transform=None, other_corpus=None, **settings):
        head = RidgeHead(
            RidgeHeadConfig(**{"regularisation": 0.1, **settings}),
            encoder=words_encoder,
            transform=None if transform is None else build(transform),
            other_corpus=other_corpus,
        )
        if documents is not None:
            head.fit(documents if isinstance(documents, Words) else Words(documents))
        return head

    return make


TARGETS = ("bm25", "tf_idf", "idf", "binary")


class TestWords:
    @pytest.mark.parametrize("target", TARGETS)
    def test_columns_are_the_corpus_words(self, head_of, target):
        head = head_of(unit="word", target=target)
        words = ["2", "a", "and", "cat", "cats", "dog", "dogs", "mat", "mats"]
        words += ["on", "sat", "sit", "the"]
        rows = [words_in(text) for text in DOCUMENTS]
        x = normalise(Words().embeddings)
        assert head.lexicon.words == words
        assert [head.lexicon.name(term) for term in range(13)] == words
        assert_weights(head, learned_from(rows, words, x, target))
        assert head.vocabulary == head.fit_record.vocabulary == 13
        assert head.flops_per_text == 2 * 5 * 13

    def test_columns_are_stems(self, head_of):
        head = head_of(unit="word", stemmer="english")
        stems = ["2", "a", "and", "cat", "dog", "mat", "on", "sat", "sit", "the"]
        singular = {"cats": "cat", "dogs": "dog", "mats": "mat"}
        rows = [[singular.get(word, word) for word in words_in(text)] for text in DOCUMENTS]
        assert head.lexicon.words == stems
        assert_weights(head, learned_from(rows, stems, normalise(Words().embeddings), "bm25"))

    def test_queries_are_read_by_the_same_stems_and_unknown_words_left_out(self, head_of):
        lexicon = head_of(unit="word", stemmer="english").lexicon
        found = lexicon.literal(Words(["CATS dogs, zebras!", "mat mats"]))
        names = [[lexicon.name(term) for term in found[row]] for row in range(2)]
        assert names == [["cat", "dog"], ["mat", "mat"]]

    def test_the_documents_words_are_the_largest_logits(self, head_of):
        """As many dimensions as documents, and hardly any regularisation: Y is learned by heart."""
        corpus = Words(width=20)
        head = head_of(corpus, unit="word", target="binary", regularisation=1e-6)
        logits = head.project(corpus.embeddings) @ head.matrix.T + head.bias
        for text, row in zip(DOCUMENTS, logits, strict=True):
            own = set(words_in(text))
            best = np.argsort(-row)[: len(own)]
            assert {head.lexicon.name(term) for term in best} == own

    def test_another_corpus_brings_other_words(self, head_of):
        head = head_of(unit="word")
        head.fit(Words(["red fish", "blue fish"]))
        assert head.lexicon.words == ["blue", "fish", "red"]
        assert head.vocabulary == 3

    @pytest.mark.parametrize("texts", [["", "?!"], ["a b", "c d"]])
    def test_no_words_are_refused(self, head_of, refusal, texts, tmp_path):
        message = refusal(lambda: head_of(texts, unit="word", min_documents=2))
        assert message == (
            "head=ridge finds no word in the 2 documents that it is fitted on; lower "
            "head.min_documents, or use head.unit=token"
        )
        assert not (tmp_path / "store").exists()

    def test_an_unknown_stemmer_is_refused_before_anything_is_encoded(self, head_of, refusal):
        message = refusal(lambda: head_of(None, unit="word", stemmer="klingon"))
        assert message.startswith("head.stemmer='klingon' is unknown; choose one of: arabic, ")


class TestWhatIsLearned:
    ROWS = tuple(words_in(text) for text in DOCUMENTS)

    @pytest.mark.parametrize("unit", ["token", "word"])
    @pytest.mark.parametrize(
        ("least", "kept"), [(2, ["2", "a", "cat", "cats", "mat", "on", "sat", "the"]), (4, ["the"])]
    )
    def test_terms_of_few_documents_are_left_out(self, head_of, unit, least, kept):
        """Of words none remains; a token keeps its column, and has no weight."""
        head = head_of(unit=unit, min_documents=least)
        rows = [[word for word in row if word in kept] for row in self.ROWS]
        terms = kept if unit == "word" else TOKENS_OF_WORDS
        assert_weights(head, learned_from(rows, terms, normalise(Words().embeddings), "bm25"))
        assert head.lexicon.size == len(terms)
        learned = [terms[term] for term in np.flatnonzero(np.abs(head.matrix).sum(axis=1))]
        assert learned == kept

    @pytest.mark.parametrize("unit", ["token", "word"])
    def test_stopwords_are_left_out(self, head_of, unit):
        head = head_of(unit=unit, drop_stopwords=True)
        terms = head.lexicon.words if unit == "word" else list(TOKENS_OF_WORDS)
        stop = {"a", "and", "on", "the"}
        rows = [[word for word in row if word not in stop] for row in self.ROWS]
        assert stop < set(terms)  # they keep their columns
        assert_weights(head, learned_from(rows, terms, normalise(Words().embeddings), "bm25"))
        assert not head.matrix[[terms.index(word) for word in stop]].any()
        assert head.matrix[terms.index("cat")].any()

    def test_stopwords_are_left_out_by_their_stems(self, head_of):
        texts = ["very becoming cats", "bodies become", "cats"]
        head = head_of(texts, unit="word", stemmer="english", drop_stopwords=True)
        assert head.lexicon.words == ["becom", "bodi", "cat", "veri"]
        assert np.abs(head.matrix).sum(axis=1).astype(bool).tolist() == [False, True, True, False]

    @pytest.mark.parametrize("criterion", CRITERIA)
    def test_the_strength_is_chosen_on_what_is_learned(self, head_of, criterion):
        corpus = Words(DOCUMENTS * 3)
        head = head_of(corpus, unit="word", regularisation=criterion, seed=4)
        x = normalise(corpus.embeddings)
        counts = token_counts(head.lexicon.literal(corpus), np.ones(13, np.bool_))
        targets = TermWeights.of(counts).rows(counts, "bm25")
        sums = RidgeSums.of(x, targets)
        losses = regularisation_losses(sums, x, targets, criterion=criterion, seed=4)
        chosen = losses.best
        record = head.fit_record
        assert (record.regularisation, record.chosen, record.criterion) == (chosen, True, criterion)
        assert record.strengths == len(STRENGTHS)
        counts = ("sample", "sample_nonzeros", "query_nonzeros")
        assert [getattr(record, name) for name in counts] == [
            getattr(losses, name) for name in counts
        ]
        np.testing.assert_array_equal(head.matrix, sums.weights(chosen)[:-1].T)

    def test_the_seed_draws_the_words_that_a_strength_is_chosen_by(self, head_of):
        rng = np.random.default_rng(0)
        texts = [" ".join(rng.choice(TOKENS_OF_WORDS[1:], 12, replace=False)) for _ in range(12)]
        corpus = Words(texts)
        counts = token_counts(corpus.literal_tokens, np.arange(15) > 0)
        targets = TermWeights.of(counts).rows(counts, "bm25")
        x = normalise(corpus.embeddings)
        sums = RidgeSums.of(x, targets)
        chosen = []
        for seed in range(6):
            head = head_of(corpus, regularisation="self_retrieval", seed=seed)
            chosen.append(head.fit_record.regularisation)
            losses = regularisation_losses(sums, x, targets, criterion="self_retrieval", seed=seed)
            assert chosen[-1] == losses.best
        assert len(set(chosen)) > 1


class TestOtherCorpus:
    TEXTS = ("a cat", "a zebra mat", "dogs and cats and mats")

    @pytest.fixture
    def elsewhere(self, head_of):
        """Makes a head that is fitted on the documents of a folder, whatever is indexed."""

        def make(folder="wiki", texts=self.TEXTS, **settings):
            return head_of(other_corpus=lambda _: Words(texts, seed=9), corpus=folder, **settings)

        return make

    @pytest.mark.parametrize("unit", ["token", "word"])
    def test_equals_a_fit_on_these_documents_and_shares_its_file(
        self, head_of, elsewhere, stored, unit
    ):
        found = elsewhere(unit=unit)
        expected = head_of(Words(self.TEXTS, seed=9), unit=unit)
        np.testing.assert_array_equal(found.matrix, expected.matrix)
        np.testing.assert_array_equal(found.bias, expected.bias)
        assert found.fit_record == expected.fit_record
        assert found.fit_record.documents == 3
        assert len(stored()) == 1
        if unit == "word":
            assert found.lexicon.words == [
                "a",
                "and",
                "cat",
                "cats",
                "dogs",
                "mat",
                "mats",
                "zebra",
            ]

    def test_its_embeddings_are_of_the_template_under_which_is_indexed(self, head_of):
        asked = []

        def other(encoder):
            asked.append(encoder)
            return Words(self.TEXTS)

        indexed = Words(encoder="an encoder with a task's instruction")
        head_of(indexed, other_corpus=other, corpus="wiki")
        assert asked == [indexed.encoder]

    def test_what_is_indexed_changes_nothing(self, head_of, elsewhere):
        head = elsewhere()
        first = head.matrix.copy()
        head.fit(Words(DOCUMENTS[:2], seed=5))
        np.testing.assert_array_equal(head.matrix, first)

    def test_identity_is_of_its_content_and_not_of_its_place(self, head_of, elsewhere):
        first, moved, changed = (
            head.identity()
            for head in (elsewhere(), elsewhere("moved"), elsewhere(texts=[*self.TEXTS[:2], "mat"]))
        )
        assert first == moved
        assert "wiki" not in json.dumps(first)
        assert first["corpus"] != changed["corpus"]
        own = head_of().identity()
        assert own["corpus"] is None
        assert first | {"corpus": None} == own

    def test_an_empty_one_is_refused(self, elsewhere, refusal):
        assert "empty corpus" in refusal(lambda: elsewhere(texts=[]))


def centred(vectors):
    return vectors - vectors.mean(axis=0, dtype=np.float64)


def without_first_direction(vectors):
    """Centred, and without the first principal component."""
    first = np.linalg.svd(centred(vectors))[2][:1]
    return centred(vectors) @ (np.eye(vectors.shape[1]) - first.T @ first)


def shifted(vectors):
    """2 further along the first uncentred principal component."""
    first = np.linalg.svd(vectors.astype(np.float64))[2][0]
    return vectors + 2 * first * np.sign((vectors @ first).mean())


def filtered(vectors, matrix):
    """Without the two leading right singular vectors of the matrix."""
    leading = np.linalg.svd(matrix.astype(np.float64))[2][:2]
    return vectors @ (np.eye(vectors.shape[1]) - leading.T @ leading)


LEARNED = [
    (CenterConfig(), centred),
    (AllButTopConfig(components=1), without_first_direction),
    (FirstComponentConfig(weight=2.0), shifted),
]
FILTER = EmbedFilterConfig(drop=2)


class TestTransforms:
    ROWS = tuple(words_in(text) for text in DOCUMENTS)

    @pytest.mark.parametrize(
        ("config", "apply"), LEARNED, ids=lambda part: getattr(part, "kind", "")
    )
    @pytest.mark.parametrize("unit", ["token", "word"])
    def test_what_is_learned_from_embeddings_comes_before_the_fit(
        self, head_of, config, apply, unit
    ):
        head = head_of(unit=unit, transform=config)
        vectors = Words().embeddings
        inputs = normalise(apply(vectors).astype(np.float32))
        terms = head.lexicon.words if unit == "word" else TOKENS_OF_WORDS
        np.testing.assert_allclose(head.project(vectors), inputs, atol=1e-6)
        assert_weights(head, learned_from(self.ROWS, terms, inputs, "bm25"))

    @pytest.mark.parametrize("unit", ["token", "word"])
    def test_a_filter_is_of_the_matrix_of_the_plain_head(self, head_of, stored, unit):
        plain, head = head_of(unit=unit), head_of(unit=unit, transform=FILTER)
        np.testing.assert_array_equal(head.matrix, plain.matrix)
        np.testing.assert_array_equal(head.bias, plain.bias)
        assert len(stored()) == 1
        queries = Words(["cat", "dog"], seed=3).embeddings
        expected = normalise(filtered(queries, plain.matrix).astype(np.float32))
        np.testing.assert_allclose(head.project(queries), expected, atol=1e-5)
        assert np.abs(expected - plain.project(queries)).max() > 0.1
        assert head.lexicon.size == plain.lexicon.size == head.vocabulary
        assert head.flops_per_text == plain.flops_per_text + 4 * 2 * 5

    def test_a_filter_follows_the_corpus(self, head_of):
        head = head_of(unit="word", transform=FILTER)
        more = [*DOCUMENTS, "red fish", "red dogs"]
        head.fit(Words(more))
        other = head_of(more, unit="word")
        queries = Words(["cat"], seed=3).embeddings
        expected = normalise(filtered(queries, other.matrix).astype(np.float32))
        np.testing.assert_allclose(head.project(queries), expected, atol=1e-5)

    @pytest.mark.parametrize("config", [*(config for config, _ in LEARNED), FILTER])
    def test_a_stored_fit_projects_alike(self, head_of, monkeypatch, config):
        first = head_of(transform=config)
        monkeypatch.setattr(RidgeSums, "of", None)  # not called again
        second = head_of(transform=config)
        queries = Words(["cat", "dog"], seed=3).embeddings
        np.testing.assert_array_equal(first.project(queries), second.project(queries))
        np.testing.assert_array_equal(first.matrix, second.matrix)

    def test_all_are_learned_from_the_other_corpus(self, head_of):
        other = Words(DOCUMENTS[:4], seed=9)
        head = head_of(transform=CenterConfig(), other_corpus=lambda _: other, corpus="wiki")
        queries = Words(["cat"], seed=3).embeddings
        mean = other.embeddings.mean(axis=0, dtype=np.float64)
        expected = normalise((queries - mean).astype(np.float32))
        np.testing.assert_allclose(head.project(queries), expected, atol=1e-6)

    def test_identities_and_files(self, head_of, stored):
        transforms = [config for config, _ in LEARNED] + [FILTER, EmbedFilterConfig(drop=1)]
        heads = [head_of(transform=config) for config in transforms]
        plain, none = head_of(), head_of(transform=NoTransformConfig())
        identities = [json.dumps(head.identity()) for head in (plain, *heads)]
        assert len(set(identities)) == 6
        assert none.identity() == plain.identity()
        assert len(stored()) == 4  # one for each that the fit sees, and the plain one

    def test_a_refusal_of_the_transform_is_one_line(self, head_of, refusal):
        message = refusal(lambda: head_of(transform=EmbedFilterConfig(drop=5)))
        assert message.startswith("transform.drop=5 leaves nothing")


SETTINGS = [
    {},
    {"regularisation": 1.0},
    *({"regularisation": criterion} for criterion in CRITERIA),
    {"target": "idf"},
    {"min_documents": 2},
    {"drop_stopwords": True},
    {"unit": "word"},
    {"unit": "word", "stemmer": "english"},
    {"unit": "word", "stemmer": "porter"},
    {"regularisation": "self_retrieval", "seed": 1},
]


class TestStored:
    def test_every_setting_is_part_of_the_identity_and_of_the_files_name(self, head_of, stored):
        identities = {json.dumps(head_of(**settings).identity()) for settings in SETTINGS}
        assert len(identities) == len(stored()) == len(SETTINGS)

    @pytest.mark.parametrize("stemmer", [None, "english"])
    def test_words_are_kept(self, head_of, monkeypatch, stemmer):
        texts = [*DOCUMENTS, 'Ärger "ΕΛΛΆΔΑ" 中文']
        first = head_of(texts, unit="word", stemmer=stemmer)
        monkeypatch.setattr(WordLexicon, "of", None)  # not called again
        second = head_of(texts, unit="word", stemmer=stemmer)
        assert second.lexicon.words == first.lexicon.words
        assert {"ärger", "中文"} < set(second.lexicon.words)
        assert second.lexicon.stemmer == stemmer
        np.testing.assert_array_equal(second.matrix, first.matrix)
        assert second.fit_record == first.fit_record
        queries = Words(["Cats, a ÄRGER"])
        found = [head.lexicon.literal(queries).values.tolist() for head in (first, second)]
        assert found[0] == found[1]
        assert len(found[0]) == 3

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (rb"\"cats\"", rb"\"cots\""),  # another word
            (rb"\"cat\", \"cats\"", rb"\"cats\", \"cat\""),  # another order
            (rb"\"cats\"", rb'\"cats" '),  # no list any more
            (rb"\"cats\", ", b" " * 10),  # one less than there are columns
        ],
    )
    def test_damaged_words_are_refused(self, head_of, stored, refusal, old, new):
        head_of(unit="word")
        (path,) = stored()
        content = path.read_bytes()
        assert content.count(old) == 1
        path.write_bytes(content.replace(old, new))
        message = refusal(lambda: head_of(unit="word"))
        assert message.startswith("a fitted head is ")
        assert message.endswith(f"delete {path}; the head will be fitted again")
        path.unlink()
        assert head_of(unit="word").vocabulary == 13
