"""The spectrum of two random Llamas of one width, the second a moved copy, against numpy."""

import numpy as np
import pytest

from harness.analysis.adjusted import AdjustedHead
from harness.analysis.alignment import own_tokens
from harness.analysis.spectrum import (
    adjusted_table,
    contributions_table,
    decoded,
    hits,
    spectrum_of,
)
from harness.config import parse_component
from harness.evaluation.encoder import with_published_settings
from harness.evaluation.heads import build_head
from tests.analysis.conftest import DOCUMENTS

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def read(analyze_config, encoder_of):
    """A model's head, fitted on the documents, and the documents under its encoder."""

    def make(model, head=None, *overrides):
        config = analyze_config(model, *overrides)
        encoder = encoder_of(config)
        config = with_published_settings(config, encoder.model)
        if head is not None:
            config.head = parse_component("head", head, where="head")
        head = build_head(config, encoder)
        names, texts = [d[0] for d in DOCUMENTS], [d[2] for d in DOCUMENTS]
        texts = encoder.texts(names, texts, "document")
        head.fit(texts)
        return head, texts

    return make


@pytest.fixture
def both(read, tiny_llama, tiny_embedder):
    """The backbone's head and texts, its embeddings, the embedder's, and what is found."""
    head, texts = read(tiny_llama)
    backbone = texts.pooled
    embedder = read(tiny_embedder)[1].pooled
    assert backbone.shape == embedder.shape == (len(DOCUMENTS), 16)
    found = spectrum_of(head, backbone, embedder, components=5, seed=0)
    return head, texts, backbone.astype(np.float64), embedder.astype(np.float64), found


def test_directions_shares_and_variation_equal_numpy_s(both):
    head, _, backbone, embedder, found = both
    _, values, directions = np.linalg.svd(backbone, full_matrices=False)
    table = found.table
    assert table["component"].tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(table["singular_value"], values[:5], rtol=1e-5)
    np.testing.assert_allclose(table["share"], values[:5] ** 2 / (values**2).sum(), rtol=1e-4)
    # A direction is one up to its sign: the mean projection is not negative.
    signs = np.sign((backbone @ directions[:5].T).mean(axis=0))
    expected = signs[:, None] * directions[:5]
    np.testing.assert_allclose(found.directions, expected, atol=1e-4)
    projections = (backbone @ expected.T).mean(axis=0)
    np.testing.assert_allclose(table["mean_projection"], projections, atol=1e-4)
    assert (table["mean_projection"] >= 0).all()
    moves = np.array([np.mean([(e - h) @ u for e, h in zip(embedder, backbone, strict=True)])
                      for u in expected])  # fmt: skip
    np.testing.assert_allclose(table["variation"], moves, atol=1e-4)
    assert np.abs(moves).max() > 0.01
    assert found.first_variation == table["variation"][0]
    assert found.mean_projection == table["mean_projection"][0]
    tokens = (head.matrix @ expected[0]).argsort()[::-1]
    special = head.lexicon.allowed(drop_special=True, drop_punctuation=False, drop_stopwords=False)
    names = [head.lexicon.name(int(token)) for token in tokens if special[token]]
    assert table["tokens"][0] == " ".join(names[:8])


def test_v_1_moves_the_backbone_s_mean_along_u_1_onto_the_embedder_s(both):
    head, texts, backbone, embedder, found = both
    first = found.directions[0].astype(np.float64)
    moved = AdjustedHead(head, found.directions[0], found.first_variation)
    adjusted = moved.project(moved.read(texts)).astype(np.float64)
    assert (adjusted @ first).mean() == pytest.approx((embedder @ first).mean(), abs=1e-4)
    assert (backbone @ first).mean() != pytest.approx((embedder @ first).mean(), abs=1e-2)
    others = found.directions[1:].astype(np.float64)
    np.testing.assert_allclose(adjusted @ others.T, backbone @ others.T, atol=1e-4)


def test_the_weights_of_a_sweep(both):
    *_, found = both
    v_1 = found.first_variation
    multiples = [-0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2]
    np.testing.assert_allclose(found.weights([]), sorted(v_1 * m for m in multiples))
    assert found.weights([7.0, -7.0]) == sorted([-7.0, 0.0, 7.0, v_1])
    assert found.weights([v_1, 0.0]) == sorted([0.0, v_1])
    assert not any(np.signbit(weight) for weight in found.weights([]) if weight == 0)


def test_without_a_backbone_nothing_varies(read, tiny_llama):
    head, texts = read(tiny_llama)
    found = spectrum_of(head, texts.pooled, None, components=3, seed=0)
    assert found.embedder is None
    assert np.isnan(found.first_variation)
    assert found.table["variation"].isna().all()
    assert len(found.table) == 3
    mean = found.mean_projection
    assert mean > 0
    multiples = [-0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2]
    np.testing.assert_allclose(found.weights([]), sorted(-mean * m for m in multiples))
    assert found.weights([3]) == [-mean, 0.0, 3.0]
    # λ of minus the mean projection takes the texts' common part in u_1 away.
    adjusted = AdjustedHead(head, found.directions[0], -mean).project(texts.pooled)
    assert (adjusted @ found.directions[0]).mean() == pytest.approx(0, abs=1e-4)
    states = adjusted_table(head, found, texts, weight=-mean, examples=1, top_k=2)["state"]
    assert states.unique().tolist() == ["backbone", "adjusted"]


def test_components_are_at_most_the_texts_and_the_width(read, tiny_llama):
    head, texts = read(tiny_llama)
    assert len(spectrum_of(head, texts.pooled[:3], None, components=9, seed=0).table) == 3
    assert len(spectrum_of(head, texts.pooled, None, components=99, seed=0).table) == 14


def test_embeddings_of_another_width_are_refused(read, tiny_llama, refusal):
    head, texts = read(tiny_llama)
    message = refusal(
        lambda: spectrum_of(head, texts.pooled, np.ones((14, 64), np.float32), components=2, seed=0)
    )
    assert message == (
        "spectrum.backbone: its embeddings are 16 wide and the model's 64; name the backbone that "
        "the model was trained from"
    )


def test_a_head_without_a_matrix_is_refused_before_the_work(read, tiny_llama, refusal, monkeypatch):
    head, texts = read(tiny_llama, {"kind": "whole_word", "of": {"kind": "lm_head"}})
    monkeypatch.setattr(type(head), "project", lambda self, _: pytest.fail("it was read"))
    message = refusal(lambda: spectrum_of(head, texts.pooled, None, components=2, seed=0))
    assert message.startswith("the spectrum is read through a head's matrix, which this head has")


# Tokens.


def test_contributions_add_up_to_the_logits(both):
    head, texts, backbone, _, found = both
    table = contributions_table(head, found, texts, examples=3, top_k=6)
    assert table["id"].tolist() == [name for name, _, _ in DOCUMENTS[:3] for _ in range(6)]
    assert table["rank"].tolist() == [1, 2, 3, 4, 5, 6] * 3
    first = found.directions[0].astype(np.float64)
    matrix = head.matrix.astype(np.float64)
    special = head.lexicon.allowed(drop_special=True, drop_punctuation=False, drop_stopwords=False)
    for number, (name, _, text) in enumerate(DOCUMENTS[:3]):
        rows = table[table["id"] == name]
        logits = np.where(special, matrix @ backbone[number], -np.inf)
        terms = rows["term"].to_numpy()
        assert terms.tolist() == np.argsort(-logits, kind="stable")[:6].tolist()
        along = matrix[terms] @ ((backbone[number] @ first) * first)
        np.testing.assert_allclose(rows["first"], along, atol=1e-4)
        np.testing.assert_allclose(rows["first"] + rows["rest"], logits[terms], atol=1e-4)
        np.testing.assert_allclose(rows["logit"], rows["first"] + rows["rest"])
        assert rows["text"].unique().tolist() == [text]
        own = set(texts.literal_tokens[number].tolist())
        assert rows["literal"].tolist() == [term in own for term in terms.tolist()]


def test_adjusted_tokens_are_those_of_each_state(both):
    head, texts, backbone, embedder, found = both
    weight = found.first_variation
    table = adjusted_table(head, found, texts, weight=weight, examples=2, top_k=4)
    assert table["state"].tolist() == [
        state for state in ("backbone", "adjusted", "embedder") for _ in range(2 * 4)
    ]
    states = {
        "backbone": backbone,
        "adjusted": backbone + weight * found.directions[0].astype(np.float64),
        "embedder": embedder,
    }
    special = head.lexicon.allowed(drop_special=True, drop_punctuation=False, drop_stopwords=False)
    for state, vectors in states.items():
        for number in range(2):
            rows = table[(table["state"] == state) & (table["id"] == DOCUMENTS[number][0])]
            logits = np.where(special, head.matrix.astype(np.float64) @ vectors[number], -np.inf)
            best = np.argsort(-logits, kind="stable")[:4]
            assert rows["term"].tolist() == best.tolist()
            np.testing.assert_allclose(rows["weight"], logits[best], atol=1e-4)


def test_no_examples_are_empty_tables(both):
    head, texts, *_, found = both
    assert len(contributions_table(head, found, texts, examples=0, top_k=3)) == 0
    assert len(adjusted_table(head, found, texts, weight=1.0, examples=0, top_k=3)) == 0


def test_hits_of_adjusted_embeddings_equal_a_plain_loop(both):
    head, texts, backbone, _, found = both
    own = [set(row.tolist()) for row in own_tokens(head, texts)]
    shares = []
    for weight in (0.0, found.first_variation, -50.0, 50.0):
        logits = (backbone + weight * found.directions[0].astype(np.float64)) @ head.matrix.T
        best = np.argsort(-logits, axis=1, kind="stable")[:, :2].tolist()
        expected = np.mean([bool(own[n] & set(row)) for n, row in enumerate(best)])
        assert hits(head, found, texts, weight=weight, k=2) == pytest.approx(expected)
        shares.append(expected)
    assert len(set(shares)) > 1


def test_a_direction_s_tokens_leave_special_ones_out(both):
    head, *_ = both
    special = head.lexicon.allowed(drop_special=True, drop_punctuation=False, drop_stopwords=False)
    towards = head.matrix[np.flatnonzero(~special)[0]]
    names = decoded(head, towards, 3)
    scores = np.where(special, head.matrix @ towards, -np.inf)
    assert names == [head.lexicon.name(int(t)) for t in np.argsort(-scores, kind="stable")[:3]]
    assert len(decoded(head, towards, 10_000)) == special.sum()


# A ridge head, which normalises what it multiplies and has a bias.


def test_a_ridge_head_s_spectrum_is_of_normalised_embeddings(read, tiny_bert):
    head, texts = read(tiny_bert, {"kind": "ridge"})
    found = spectrum_of(head, head.read(texts), None, components=4, seed=0)
    unit = texts.embeddings / np.linalg.norm(texts.embeddings, axis=1, keepdims=True)
    np.testing.assert_allclose(found.backbone, unit, atol=1e-5)
    values = np.linalg.svd(unit.astype(np.float64), compute_uv=False)
    np.testing.assert_allclose(found.table["singular_value"], values[:4], rtol=1e-4)
    assert found.table["share"].sum() < 1
    table = contributions_table(head, found, texts, examples=2, top_k=3)
    terms = table["term"].to_numpy()
    logits = head.matrix[terms] * unit[[0, 0, 0, 1, 1, 1]]
    np.testing.assert_allclose(table["logit"], logits.sum(axis=1), atol=1e-4)  # without the bias
    weights = adjusted_table(head, found, texts, weight=0.0, examples=2, top_k=3)["weight"][:6]
    np.testing.assert_allclose(weights, logits.sum(axis=1) + head.bias[terms], atol=1e-4)


def test_an_adjusted_head_reads_its_matrix_at_moved_embeddings(read, tiny_bert):
    head, texts = read(tiny_bert, {"kind": "ridge"})
    direction = np.eye(16, dtype=np.float32)[3]
    moved = AdjustedHead(head, direction, 0.5)
    moved.fit(texts)
    expected = head.project(head.read(texts)) + 0.5 * direction
    np.testing.assert_array_equal(moved.project(moved.read(texts)), expected)
    np.testing.assert_array_equal(moved.matrix, head.matrix)
    np.testing.assert_array_equal(moved.bias, head.bias)
    assert moved.vocabulary == head.vocabulary
    assert moved.lexicon.name(9) == head.lexicon.name(9)
    assert moved.lexicon.size == head.lexicon.size
    assert moved.flops_per_text == head.flops_per_text + 16
    assert moved.identity() != AdjustedHead(head, direction, 0.25).identity()
    assert moved.identity() != AdjustedHead(head, -direction, 0.5).identity()
    assert moved.identity()["of"] == head.identity()
