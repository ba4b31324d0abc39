"""The ridge head against direct solves, and its fit on disk."""

import json
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from harness.alignment import head as head_module
from harness.alignment import ridge_fit as module
from harness.alignment.head import normalise
from harness.alignment.ridge import RidgeHead
from harness.alignment.ridge_fit import RidgeSums, ridge_targets, ridge_weights
from harness.alignment.vocabulary import token_counts, token_sets
from harness.config import RidgeHeadConfig
from harness.embedding.ragged import Ragged
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
        found = ridge_weights(x, y, regularisation=regularisation)
    np.testing.assert_allclose(found, direct(x, y, regularisation), atol=1e-5)
    assert found.dtype == np.float32
    assert found.shape == (10, 40)


def test_weights_equal_scikit_learn():
    from sklearn.linear_model import Ridge

    x, y = problem(1, count=200)
    design = np.hstack([x, np.ones((200, 1))]).astype(np.float64)
    reference = Ridge(alpha=0.1, fit_intercept=False).fit(design, y.toarray().astype(np.float64))
    found = ridge_weights(x, y, regularisation=0.1)
    np.testing.assert_allclose(found, reference.coef_.T, atol=1e-5)


def test_too_little_regularisation_is_refused():
    x = np.tile(np.eye(1, 8, dtype=np.float32), (100, 1))
    with pytest.raises(BadInputError, match=r"regularisation=1e-30 is too small.*raise it"):
        ridge_weights(x, sparse.csr_array(np.ones((100, 5), np.float32)), regularisation=1e-30)


def test_targets_are_never_dense():
    count, size = 2_000, 200_000
    rng = np.random.default_rng(0)
    tokens = Ragged.from_rows(rng.integers(0, size, (count, 20)).tolist())
    x = normalise(rng.standard_normal((count, 8)).astype(np.float32))
    tracemalloc.start()
    try:
        targets = ridge_targets(token_sets(tokens, np.ones(size, np.bool_)))
        weights = ridge_weights(x, targets, regularisation=0.1)
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
    targets = ridge_targets(sets)
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
    weights = direct(x, ridge_targets(counts, "bm25"), 0.1)
    np.testing.assert_allclose(head.matrix, weights[:-1].T, atol=1e-6)
    np.testing.assert_allclose(head.bias, weights[-1], atol=1e-6)
    np.testing.assert_array_equal(head.project(np.array(EMBEDDINGS, np.float32)), x)
    record = head.fit_record
    assert (record.documents, record.width, record.vocabulary) == (4, 3, 6)
    assert record.nonzeros == 5
    assert record.seconds > 0
    assert (record.regularisation, record.chosen) == (0.1, False)


def test_a_fit_and_what_is_read_back_of_it_multiply_alike():
    """A product's last bits depend on how a matrix lies in memory, so both must lie alike."""
    rng = np.random.default_rng(5)
    embeddings = rng.standard_normal((40, 16), np.float32)
    targets = sparse.random_array((40, 300), density=0.1, format="csr", rng=rng)
    assert ridge_weights(embeddings, targets, regularisation=0.1).flags.c_contiguous


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
        lambda content: content.replace(b'"words":"null"', b'"words":"[\"\"]"'),
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
