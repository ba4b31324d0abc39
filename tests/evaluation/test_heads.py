"""A head with what it draws on: another corpus, and another embedder for its transform."""

import shutil

import numpy as np
import pytest

from harness.alignment.spectrum import blocks_of, leading_directions, variation
from harness.components import parse_component
from harness.evaluation.encoder import with_published_settings
from harness.evaluation.heads import build_head
from tests.analysis.conftest import (
    DOCUMENTS,
    analyze_config,
    encoder_of,
    folder,
    moved_model,
    tiny_embedder,
    write_collection,
)

__all__ = ["analyze_config", "encoder_of", "folder", "tiny_embedder"]

pytestmark = pytest.mark.usefixtures("one_thread")

OTHERS = [
    ("z", "Last", "a boat on the sea"),
    ("a", "", "the dog and the cat"),
    ("m", "Mid", "a red ball in the park"),
]


@pytest.fixture
def built(analyze_config, encoder_of):
    """The head of a configuration and its encoder."""

    def make(model, *overrides, head=None):
        config = analyze_config(model, *overrides)
        encoder = encoder_of(config)
        config = with_published_settings(config, encoder.model)
        if head is not None:
            config.head = parse_component("head", head, where="head")
        return build_head(config, encoder), encoder

    return make


def documents(encoder, given=DOCUMENTS):
    pairs = sorted((name, f"{title} {text}".strip()) for name, title, text in given)
    return encoder.texts([name for name, _ in pairs], [text for _, text in pairs], "document")


# Another corpus.


@pytest.mark.parametrize(
    "wrap",
    [
        lambda ridge: ridge,
        lambda ridge: {"kind": "compressed", "rank": None, "int8": True, "of": ridge},
        lambda ridge: {"kind": "whole_word", "of": {"kind": "compressed", "rank": 8, "of": ridge}},
    ],
    ids=["ridge", "compressed", "whole_word"],
)
def test_a_ridge_head_learns_from_the_corpus_that_is_named(built, tiny_bert, tmp_path, wrap):
    """Within other heads too: what is indexed changes nothing of its weights."""
    other = write_collection(tmp_path / "others", OTHERS, [("q", "x", {"a": 1})])
    ridge = {"kind": "ridge", "regularisation": 0.5}
    head, encoder = built(tiny_bert, head=wrap(ridge | {"corpus": str(other)}))
    head.fit(documents(encoder))
    plain, _ = built(tiny_bert, head=ridge)
    plain.fit(documents(encoder, OTHERS))
    own, _ = built(tiny_bert, head=ridge)
    own.fit(documents(encoder))
    inner = head
    while hasattr(inner, "of"):
        inner = inner.of
    np.testing.assert_array_equal(inner.matrix, plain.matrix)
    assert inner.fit_record.documents == 3
    assert np.abs(own.matrix - plain.matrix).max() > 1e-3


def test_the_corpus_is_known_by_its_content(built, tiny_bert, tmp_path):
    given = [*OTHERS, ("extra", "", "one more")]
    names = {"one": OTHERS, "two": OTHERS[::-1], "three": given}
    identities = {}
    for name, lines in names.items():
        place = write_collection(tmp_path / name, lines, [("q", "x", {"a": 1})])
        head, _ = built(tiny_bert, head={"kind": "ridge", "corpus": str(place)})
        identities[name] = head.identity()
        assert str(tmp_path) not in str(head.identity())
    assert identities["one"] == identities["two"]
    assert identities["one"] != identities["three"]
    plain, _ = built(tiny_bert, head={"kind": "ridge"})
    assert plain.identity()["corpus"] is None


def test_a_corpus_that_cannot_be_read_is_refused_in_one_line(built, tiny_bert, tmp_path, refusal):
    (tmp_path / "corpus.jsonl").write_text('{"_id": "a", "text": "x"}\n{"_id": "b"}\n')

    def named(place):
        return lambda: built(tiny_bert, head={"kind": "ridge", "corpus": str(place)})

    assert f"{tmp_path / 'corpus.jsonl'}" in refusal(named(tmp_path))
    assert "line 2" in refusal(named(tmp_path))
    assert "nowhere" in refusal(named(tmp_path / "nowhere"))


# Another embedder.


def test_lambda_is_the_variation_of_the_reference(built, encoder_of, tiny_llama, tiny_embedder):
    """pc1 with a reference adds v_1·u_1, and is pc1 with that weight."""
    head, encoder = built(tiny_llama, "transform=pc1", f"transform.reference={tiny_embedder}")
    texts = documents(encoder)
    head.fit(texts)
    _, other = built(tiny_embedder)
    moved = documents(other).pooled
    first = leading_directions(blocks_of(texts.pooled), 1, seed=0).directions
    v_1 = variation(moved, texts.pooled, first)[0]
    assert abs(v_1) > 0.01
    expected = texts.pooled + v_1 * first[0]
    np.testing.assert_allclose(head.project(texts.pooled), expected, atol=1e-5)
    assert (head.project(texts.pooled) @ first[0]).mean() == pytest.approx(
        (moved @ first[0]).mean(), abs=1e-4
    )
    given, _ = built(tiny_llama, "transform=pc1", f"transform.weight={v_1}")
    given.fit(texts)
    np.testing.assert_allclose(given.project(texts.pooled), expected, atol=1e-5)


def test_the_reference_reads_the_task_s_template(built, tiny_llama, tiny_embedder):
    from harness.embedding.instructions import TaskInstruction

    head, encoder = built(
        tiny_llama,
        *("transform=pc1", f"transform.reference={tiny_embedder}", "instruction=none"),
        "instruction.document='{instruction} {text}'",
    )
    bound = encoder.for_task(TaskInstruction(query="", document="Tell:"))
    texts = documents(bound)
    head.fit(texts)
    _, other = built(tiny_embedder, "instruction=none", "instruction.document='Tell: {text}'")
    moved = documents(other).pooled
    first = leading_directions(blocks_of(texts.pooled), 1, seed=0).directions[0]
    assert (head.project(texts.pooled) @ first).mean() == pytest.approx(
        (moved @ first).mean(), abs=1e-4
    )


def test_the_reference_is_known_by_what_it_is(built, tiny_llama, tiny_embedder, tmp_path):
    """Its weights stand for it, wherever it lies."""
    copy = shutil.copytree(tiny_embedder, tmp_path / "copy")
    other = moved_model(tiny_llama, tmp_path / "other", seed=1)

    def identity(reference):
        settings = ("transform=pc1", f"transform.reference={reference}")
        return built(tiny_llama, *settings)[0].identity()

    own = identity(tiny_embedder)
    assert own == identity(copy)
    assert own != identity(other)
    assert str(tiny_embedder) not in str(own)
    plain = built(tiny_llama, "transform=pc1", "transform.weight=1")[0].identity()
    assert plain["transform"]["reference"] is None


def test_a_reference_of_another_width_is_refused(built, tiny_llama, stories, refusal):
    head, encoder = built(tiny_llama, "transform=pc1", f"transform.reference={stories}")
    message = refusal(lambda: head.fit(documents(encoder)))
    assert message == (
        f"transform.reference={stories}: its embeddings are 64 wide and the model's are 16; name "
        "an embedder that was trained from the same backbone"
    )


def test_a_head_without_a_transform_reads_embeddings_as_they_are(built, tiny_llama):
    head, encoder = built(tiny_llama)
    texts = documents(encoder)
    head.fit(texts)
    np.testing.assert_array_equal(head.project(texts.pooled), texts.pooled)
