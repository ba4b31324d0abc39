"""Embeddings of every architecture against a plain loop: one text at a time, no padding, float64.

The loop tokenises with the `tokenizers` library, runs transformers' network as it is loaded from
the folder (under masks made by hand where a decoder is bidirectional) and pools with numpy. Proven
further: padding, its side, neighbours, order and token budget change nothing; the prompts of the
eos and bos poolings hold those tokens once; long texts are cut at their end.
"""

import functools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from harness.config import InstructionConfig, ModelConfig, TransformersBackendConfig, build
from harness.config import parse_component as parse
from harness.embedding.encoder import TextEncoder
from harness.embedding.instructions import Template
from harness.embedding.model import EmbeddingModel
from harness.embedding.transformers_backend import TransformersBackend
from harness.errors import BadInputError
from tests.embedding.tiny import (
    ARCHITECTURES,
    DECODERS,
    ENCODERS,
    HIDDEN,
    POSITIONS,
    TEXTS,
    VOCABULARIES,
    expected_states,
    model_folder,
)

pytestmark = pytest.mark.usefixtures("one_thread")

CASES = [
    *((name, attention) for name in DECODERS for attention in ("causal", "bidirectional")),
    *((name, None) for name in ENCODERS),
    *((name, None) for name in ("embeddinggemma", "gpt_neox", "bloom")),
]
POOLINGS = ("mean", "weighted_mean", "last_token", "cls", "max", "eos", "bos")


def vocabulary_of(name):
    return VOCABULARIES[ARCHITECTURES[name].vocabulary]


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    return tmp_path_factory.getbasetemp()


def encoder_of(folder, pooling="mean", *, attention=None, template=None, store=None, **options):
    """A text encoder; options of the model and the backend."""
    of_model = {key: options.pop(key) for key in ("max_length",) if key in options}
    model = EmbeddingModel(ModelConfig(path=str(folder), attention=attention, **of_model))
    config = parse("pooling", {"kind": pooling}, where="pooling")
    return TextEncoder(
        model=model,
        pooling=config,
        template=Template(template or InstructionConfig()),
        backend=TransformersBackend(
            TransformersBackendConfig(device="cpu", **options), model=model, pooling=build(config)
        ),
        store_dir=store or Path("no-store"),
    )


def embedded(encoder, texts=TEXTS):
    ids = [str(row) for row in range(len(texts))]
    return encoder.fresh(ids, texts, "document").embeddings


def prompt_ids(folder, name, texts, pooling, max_length=POSITIONS):
    """Token ids of each text as the tokenizer cuts it, with what the pooling needs around them."""
    vocabulary = vocabulary_of(name)
    first, last = [], []
    if pooling == "eos" and vocabulary.after[-1:] != (vocabulary.roles["eos"],):
        last = [vocabulary.id("eos")]
    if pooling == "bos" and vocabulary.before[:1] != (vocabulary.roles["bos"],):
        first = [vocabulary.id("bos")]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(max_length - len(first) - len(last))
    return [[*first, *tokenizer.encode(text).ids, *last] for text in texts]


def pooled(states, pooling):
    """One text's embedding in float64; a text without tokens pools to zeros."""
    states = states.astype(np.float64)
    if not len(states):
        return np.zeros(HIDDEN)
    if pooling == "mean":
        return sum(states) / len(states)
    if pooling == "weighted_mean":
        return sum(place * state for place, state in enumerate(states, 1)) / sum(
            range(1, len(states) + 1)
        )
    if pooling == "max":
        return np.array([max(column) for column in states.T])
    return states[0] if pooling in ("cls", "bos") else states[-1]


@functools.cache
def states_function(folder, name, attention):
    if name == "embeddinggemma":
        attention = "bidirectional"  # as it was published
    states = expected_states(folder, name, attention)

    @functools.cache
    def of(ids):
        return states(list(ids)) if ids else np.zeros((0, HIDDEN))

    return of


def looped(root, name, attention, pooling, texts=TEXTS, **limits):
    """The expected embeddings of texts, (n, d)."""
    folder = model_folder(root, name)
    states = states_function(folder, name, attention)
    rows = prompt_ids(folder, name, texts, pooling, **limits)
    return np.stack([pooled(states(tuple(row)), pooling) for row in rows])


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "attention", "pooling"),
    [
        (name, attention, pooling)
        for name, attention in CASES
        for pooling in POOLINGS
        if pooling not in ("eos", "bos") or pooling in vocabulary_of(name).roles
    ],
)
def test_embeddings_equal_a_plain_loop(root, name, attention, pooling):
    found = embedded(encoder_of(model_folder(root, name), pooling, attention=attention))
    assert (found.dtype, found.shape) == (np.float32, (len(TEXTS), HIDDEN))
    expected = looped(root, name, attention, pooling)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("name", "attention"), CASES)
def test_embeddings_out_of_the_store_equal_a_plain_loop(root, tmp_path, name, attention):
    encoder = encoder_of(model_folder(root, name), attention=attention, store=tmp_path)
    ids = [str(row) for row in range(len(TEXTS))]
    expected = looped(root, name, attention, "mean")
    for encoded in (len(set(TEXTS)), 0):  # written, then read
        texts = encoder.texts(ids, TEXTS, "document")
        np.testing.assert_allclose(texts.embeddings, expected, rtol=0, atol=1e-4)
        assert texts.encoding.encoded == encoded


@pytest.mark.parametrize("pooling", ["mean", "eos"])
@pytest.mark.parametrize(
    ("name", "attention"),
    [("llama", "bidirectional"), ("qwen3", "causal"), ("opt", "causal"), ("t5", None)],
)
def test_a_text_beyond_max_length_loses_tokens_from_its_end(root, name, attention, pooling):
    folder = model_folder(root, name)
    encoder = encoder_of(folder, pooling, attention=attention, max_length=11)
    rows = prompt_ids(folder, name, TEXTS, pooling, max_length=11)
    assert max(len(row) for row in rows) == 11
    prompts = encoder.tokenise(TEXTS, "document").ids
    assert [row.tolist() for row in prompts] == rows
    expected = looped(root, name, attention, pooling, max_length=11)
    np.testing.assert_allclose(embedded(encoder), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("include_instruction", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "weighted_mean", "last_token", "max"])
@pytest.mark.parametrize(
    ("name", "attention"),
    [("llama", "causal"), ("gemma3_text", "bidirectional"), ("gpt2", "causal"), ("roberta", None)],
)
def test_a_template_is_kept_whole_and_pooled_when_asked(
    root, name, attention, pooling, include_instruction
):
    folder = model_folder(root, name)
    texts = [text for text in TEXTS if text.strip() == text != ""]
    template = InstructionConfig(document="the query: {text} .")
    encoder = encoder_of(folder, pooling, attention=attention, template=template, max_length=20)
    # These tokenizers part words before a space, so that no token spans the template and the text.
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def tokens(part):
        return tokenizer.encode(part, add_special_tokens=False).ids

    vocabulary = vocabulary_of(name)
    head = [vocabulary.tokens.index(token) for token in vocabulary.before] + tokens("the query:")
    tail = tokens(" .") + [vocabulary.tokens.index(token) for token in vocabulary.after]
    rows = [[*head, *tokens(f" {text}")[: 20 - len(head) - len(tail)], *tail] for text in texts]
    states = states_function(folder, name, attention)
    expected = []
    for row in rows:
        # A space that no word has taken in is the template's.
        start = len(head) + (row[len(head)] == tokens(" ")[0])
        expected.append(pooled(states(tuple(row))[0 if include_instruction else start :], pooling))
    encoder.pooling.include_instruction = include_instruction
    assert [row.tolist() for row in encoder.tokenise(texts, "document").ids] == rows
    np.testing.assert_allclose(embedded(encoder, texts), np.stack(expected), rtol=0, atol=1e-4)


@functools.cache
def encoder_for_batches(folder, attention, side):
    return encoder_of(folder, "weighted_mean", attention=attention, padding_side=side)


@functools.cache
def alone(root, name, attention):
    return looped(root, name, attention, "weighted_mean")


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(("name", "attention"), [case for case in CASES if case[0] != "bloom"])
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=st.lists(st.sampled_from(range(len(TEXTS))), min_size=1, max_size=9),
    budget=st.integers(1, 9 * POSITIONS),
)
def test_nothing_around_a_text_changes_its_embedding(root, name, attention, side, rows, budget):
    """Padding, its side, neighbours, order, repetition and budget: each text is as if alone."""
    encoder = encoder_for_batches(model_folder(root, name), attention, side)
    encoder.backend.config.token_budget = budget
    found = embedded(encoder, [TEXTS[row] for row in rows])
    close(found, alone(root, name, attention)[rows])


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(
    ("name", "attention"), [("llama", "causal"), ("gemma3_text", "bidirectional"), ("mpnet", None)]
)
def test_every_pooling_finds_its_tokens_after_padding_on_the_left(root, name, attention, pooling):
    folder = model_folder(root, name)
    encoder = encoder_of(folder, pooling, attention=attention, padding_side="left")
    close(embedded(encoder), looped(root, name, attention, pooling))


def test_an_architecture_that_takes_no_positions_is_padded_on_the_right_only(root):
    folder = model_folder(root, "bloom")
    with pytest.raises(BadInputError, match=r"backend\.padding_side=left") as error:
        embedded(encoder_of(folder, padding_side="left"))
    assert "\n" not in str(error.value)
    close(embedded(encoder_of(folder, "weighted_mean")), alone(root, "bloom", None))


# Whether the tokenizer puts the token there itself, the pooling must, or there is none.
OWN, ADDED, NONE = "own", "added", "none"


@pytest.mark.parametrize(
    ("name", "eos", "bos"),
    [
        ("llama", ADDED, OWN),
        ("gemma", ADDED, OWN),
        ("opt", ADDED, OWN),
        ("gpt2", ADDED, ADDED),
        ("qwen2", ADDED, NONE),
        ("t5", OWN, NONE),
        ("roberta", OWN, OWN),
        ("bert", NONE, NONE),
    ],
)
class TestEnds:
    """The prompts of the eos and bos poolings, token by token."""

    def test_eos_ends_every_prompt_once(self, root, name, eos, bos):
        self.check(root, name, "eos", eos)

    def test_bos_begins_every_prompt_once(self, root, name, eos, bos):
        self.check(root, name, "bos", bos)

    def check(self, root, name, pooling, where):
        folder = model_folder(root, name)
        encoder = encoder_of(folder, pooling)
        if where == NONE:
            with pytest.raises(BadInputError) as error:
                encoder.tokenise(TEXTS, "document")
            assert "\n" not in str(error.value)
            assert f"pooling={pooling}" in str(error.value)
            assert f"{pooling}_token" in str(error.value)
            return
        token = [vocabulary_of(name).id(pooling)] if where == ADDED else []
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_truncation(POSITIONS - len(token))
        plain = [tokenizer.encode(text).ids for text in TEXTS]
        wanted = [row + token if pooling == "eos" else token + row for row in plain]
        assert [row.tolist() for row in encoder.tokenise(TEXTS, "document").ids] == wanted
        at, beside = (-1, -2) if pooling == "eos" else (0, 1)
        end = vocabulary_of(name).id(pooling)
        for row in wanted:
            assert row[at] == end
            assert len(row) <= POSITIONS
            if len(row) > 2:
                assert row[beside] != end

    def test_a_template_that_brings_the_token_is_given_no_second_one(self, root, name, eos, bos):
        vocabulary = vocabulary_of(name)
        if eos == ADDED:
            token = vocabulary.roles["eos"]
            template = InstructionConfig(document="{text}" + token)
            encoder = encoder_of(model_folder(root, name), "eos", template=template)
            for row in encoder.tokenise(["a cat", TEXTS[6]], "document").ids:
                assert row[-1] == vocabulary.id("eos")
                assert row[-2] != vocabulary.id("eos")
                assert len(row) <= POSITIONS
        if bos == ADDED:
            template = InstructionConfig(document=vocabulary.roles["bos"] + "{text}")
            encoder = encoder_of(model_folder(root, name), "bos", template=template)
            for row in encoder.tokenise(["a cat", TEXTS[6]], "document").ids:
                assert row[0] == vocabulary.id("bos")
                assert row[1] != vocabulary.id("bos")
                assert len(row) <= POSITIONS
