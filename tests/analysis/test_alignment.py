"""Rates and aligned tokens of texts against plain loops."""

import numpy as np
import pandas as pd
import pytest
import transformers

from harness.alignment.rates import alignment_rates
from harness.analysis.alignment import counts_of, own_tokens, rates_table, tokens_table
from harness.config import parse_component
from harness.evaluation.heads import build_head
from tests.analysis.conftest import DOCUMENTS

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["Once upon a time there was a dog.", "the the the", "Lily!", "", "He had a red ball."]


@pytest.fixture
def fitted(analyze_config, encoder_of):
    """A model's head, fitted on the collection's documents, and texts under its encoder."""

    def make(model, *overrides, head=None, texts=TEXTS, side="query"):
        config = analyze_config(model, *overrides)
        encoder = encoder_of(config)
        from harness.evaluation.encoder import with_published_settings

        config = with_published_settings(config, encoder.model)
        if head is not None:
            config.head = parse_component("head", head, where="head")
        head = build_head(config, encoder)
        names = [name for name, _, _ in DOCUMENTS]
        head.fit(encoder.texts(names, [text for _, _, text in DOCUMENTS], "document"))
        return head, encoder.texts([f"t{n}" for n in range(len(texts))], texts, side)

    return make


def logits_of(head, texts):
    logits = head.project(head.read(texts)).astype(np.float64)
    if head.matrix is not None:
        logits = logits @ head.matrix.T.astype(np.float64)
    return logits if head.bias is None else logits + head.bias


def plain_rates(logits, own, k):
    """Hit@K, LAR and GAR as paper section 1 defines them."""
    hits, shares, every, matched = [], [], set(), set()
    for row, tokens in zip(logits, own, strict=True):
        order = sorted(range(len(row)), key=lambda token: (-row[token], token))
        hits.append(bool(set(order[:k]) & set(tokens)))
        if tokens:
            found = set(order[: len(tokens)]) & set(tokens)
            shares.append(len(found) / len(set(tokens)))
            every |= set(tokens)
            matched |= found
    return np.mean(hits), np.mean(shares), len(matched) / len(every)


@pytest.mark.parametrize("k", [1, 10])
def test_rates_of_stories_equal_a_plain_loop(stories, fitted, k):
    head, texts = fitted(stories)
    tokenizer = transformers.AutoTokenizer.from_pretrained(stories)
    own = [tokenizer(text)["input_ids"] for text in TEXTS]
    assert own[3] == [tokenizer.bos_token_id]
    table = rates_table(head, "tales", texts, k=k, seed=5)
    expected = plain_rates(logits_of(head, texts), own, k)
    assert table["value"].to_numpy() == pytest.approx(expected)
    assert table["metric"].tolist() == ["hit", "lar", "gar"]
    assert 0 < table["value"][1] < 1
    constant = table[["task", "side", "texts", "k"]].drop_duplicates().to_numpy().tolist()
    assert constant == [["tales", "query", len(TEXTS), k]]
    device = texts.encoder.backend.device
    counts = counts_of(head, head.read(texts), own_tokens(head, texts), k=k, device=device)
    rates = alignment_rates(counts, seed=5)
    intervals = [(rate.low, rate.high) for rate in (rates.hit, rates.lar, rates.gar)]
    assert [*zip(table["low"], table["high"], strict=True)] == intervals
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()


@pytest.mark.parametrize("side", ["query", "document", "symmetric"])
@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("instruction=none", "instruction.query='Tell: {text}'", "instruction.document='x {text}'"),
        ("pooling=echo",),
        ("pooling=eos",),
    ],
    ids=["plain", "template", "echo", "eos"],
)
def test_t_is_what_the_tokenizer_makes_of_the_bare_text(stories, fitted, side, overrides):
    """Neither a template, nor a second copy, nor a token that the pooling wants stands in T."""
    head, texts = fitted(stories, *overrides, side=side)
    tokenizer = transformers.AutoTokenizer.from_pretrained(stories)
    found = own_tokens(head, texts)
    assert [row.tolist() for row in found] == [tokenizer(text)["input_ids"] for text in TEXTS]


def test_another_prompt_is_read_than_the_bare_text(stories, fitted):
    """What the tests of T would not see if the settings had no effect."""
    head, texts = fitted(stories, "pooling=eos")
    assert texts.prompts.ids[0].tolist()[-1] == texts.encoder.model.tokenizer.eos_token_id
    head, texts = fitted(stories, "pooling=echo")
    assert len(texts.prompts.ids[0]) > 1.5 * len(own_tokens(head, texts)[0])


def test_t_of_a_long_text_is_cut_where_the_model_s_input_is(stories, fitted):
    head, texts = fitted(stories, "model.max_length=8", texts=["Once upon a time there was a dog."])
    tokenizer = transformers.AutoTokenizer.from_pretrained(stories)
    expected = tokenizer(texts.texts[0], truncation=True, max_length=8)["input_ids"]
    assert own_tokens(head, texts)[0].tolist() == expected
    assert len(expected) == 8


@pytest.mark.parametrize(
    "head",
    [
        {"kind": "ridge", "unit": "word", "stemmer": "english"},
        {"kind": "whole_word", "of": {"kind": "lm_head"}, "stemmer": "english"},
    ],
    ids=["ridge", "whole_word"],
)
def test_rates_of_whole_words_equal_a_plain_loop(stories, fitted, head):
    texts = ["The dogs played in a park", "unheard of", "bird bird ball", ""]
    head, texts = fitted(stories, head=head, texts=texts)
    words = {head.lexicon.name(term): term for term in range(head.lexicon.size)}
    own = [
        [words[word] for word in line.split()]
        for line in ("the dog play in a park", "", "bird bird ball", "")
    ]
    table = rates_table(head, "tales", texts, k=3, seed=0)
    assert table["value"].to_numpy() == pytest.approx(plain_rates(logits_of(head, texts), own, 3))
    assert table["texts"].tolist() == [4, 4, 4]


def test_columns_that_no_token_has_never_stand_in_the_list(tiny_llama, tmp_path, fitted):
    """A matrix padded with columns whose logits are the largest of all."""
    import shutil

    from safetensors.numpy import load_file, save_file

    padded = tmp_path / "padded"
    shutil.copytree(tiny_llama, padded)
    plain, texts = fitted(tiny_llama)
    expected = rates_table(plain, "tales", texts, k=5, seed=0)
    tensors = load_file(padded / "model.safetensors")
    rows = tensors["lm_head.weight"]
    mean = plain.read(texts).mean(axis=0)
    extra = np.tile(100 * mean, (7, 1)).astype(rows.dtype)
    tensors["lm_head.weight"] = np.concatenate([rows, extra])
    save_file(tensors, padded / "model.safetensors", metadata={"format": "pt"})
    head, _ = fitted(padded)
    assert head.vocabulary == plain.vocabulary + 7
    assert (head.matrix[-1] @ mean) > (plain.matrix @ mean).max()
    pd.testing.assert_frame_equal(rates_table(head, "tales", texts, k=5, seed=0), expected)


# Aligned tokens.


def plain_tokens(head, texts, own, banned, top_k):
    rows = []
    for number, row in enumerate(logits_of(head, texts)):
        order = [t for t in sorted(range(len(row)), key=lambda t: (-row[t], t)) if t not in banned]
        rows += [
            (texts.ids[number], texts.texts[number], rank, term, row[term], term in own[number])
            for rank, term in enumerate(order[:top_k], 1)
        ]
    return rows


def test_tokens_of_stories_equal_a_plain_loop(stories, fitted):
    head, texts = fitted(stories)
    tokenizer = transformers.AutoTokenizer.from_pretrained(stories)
    own = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    table = tokens_table(head, "tales", texts, top_k=7)
    expected = plain_tokens(head, texts, own, set(tokenizer.all_special_ids), 7)
    assert list(table.columns) == [
        *("task", "side", "id", "text", "rank", "term", "token", "weight", "literal"),
    ]
    assert len(table) == 7 * len(TEXTS)
    assert table["id"].tolist() == [row[0] for row in expected]
    assert table["text"].tolist() == [row[1] for row in expected]
    assert table["rank"].tolist() == [row[2] for row in expected]
    assert table["term"].tolist() == [row[3] for row in expected]
    np.testing.assert_allclose(table["weight"], [row[4] for row in expected], atol=1e-4)
    assert table["literal"].tolist() == [row[5] for row in expected]
    assert 0 < table["literal"].sum() < len(table)
    assert (table["task"] == "tales").all()
    assert (table["side"] == "query").all()
    names = dict(zip(table["term"], table["token"], strict=True))
    assert names == {term: head.lexicon.name(term) for term in names}


def test_tokens_of_whole_words(stories, fitted):
    texts = ["The dogs played", "unheard of"]
    head, texts = fitted(
        stories, head={"kind": "ridge", "unit": "word", "stemmer": "english"}, texts=texts
    )
    words = {head.lexicon.name(term): term for term in range(head.lexicon.size)}
    own = [[words["the"], words["dog"], words["play"]], []]
    table = tokens_table(head, "tales", texts, top_k=1000)
    assert len(table) == 2 * len(words)  # no more than there are
    expected = plain_tokens(head, texts, own, set(), 1000)
    assert sorted(zip(table["id"], table["term"], table["literal"], strict=True)) == sorted(
        (row[0], row[3], row[5]) for row in expected
    )
    assert table["literal"].sum() == 3
    assert set(table["token"]) == set(words)


def test_ids_and_texts_stay_what_they_are(stories, fitted):
    head, _ = fitted(stories)
    encoder = head._encoder
    texts = encoder.texts(["<b>/\n", "01", "1"], ["one dog", "two dogs", "<i>three</i>"], "query")
    table = tokens_table(head, "tales", texts, top_k=1)
    assert table["id"].tolist() == ["<b>/\n", "01", "1"]
    assert table["text"].tolist() == ["one dog", "two dogs", "<i>three</i>"]


def test_no_texts_make_empty_tables(stories, fitted):
    head, texts = fitted(stories, texts=[])
    assert len(tokens_table(head, "tales", texts, top_k=3)) == 0
